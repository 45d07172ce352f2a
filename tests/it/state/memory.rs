//! Greylisting: who is new, early, in time, known; by what; and that nobody waits for ever.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use gatepost::facts::rate::Rate;
use gatepost::facts::word::GreylistKey::{Dkim as ByDkim, Network, Spf};
use gatepost::facts::word::GreylistResult::{Early, Known, New, Pass};
use gatepost::facts::word::{MethodResult, Role};
use gatepost::facts::{Dkim, Facts};
use gatepost::state::store::{Answer, Entry, Key, Shelf, Store, StoreError};
use gatepost::state::{Settings, State};

use super::{DAY, HOUR, MINUTE, START, accepted, at_once, counts, greylist, rate, sent, state, tries, vouched, word};

fn stranger() -> Facts {
    sent("192.0.2.7", "a@sender.example", "alice@local.example")
}

#[test]
fn a_stranger_is_new_then_early_then_in_time_then_known() {
    let (state, facts) = (state(1000), stranger());
    assert_eq!(tries(&state, &facts, START), greylist(New, Network, 300));
    assert_eq!(tries(&state, &facts, START + 1), greylist(Early, Network, 300), "rounded up");
    assert_eq!(tries(&state, &facts, START + MINUTE), greylist(Early, Network, 240));
    assert_eq!(tries(&state, &facts, START + 5 * MINUTE - 1), greylist(Early, Network, 1));
    assert_eq!(tries(&state, &facts, START + 5 * MINUTE), greylist(Pass, Network, 0), "retries do not begin anew");
    accepted(&state, &facts, START + 5 * MINUTE);
    assert_eq!(tries(&state, &facts, START + 6 * MINUTE), greylist(Known, Network, 0));
    assert_eq!(state.entries(), [1, 1, 0]);
}

#[test]
fn who_comes_in_time_but_is_not_accepted_is_not_known() {
    let state = state(1000);
    word(&state, &stranger(), START);
    assert_eq!(word(&state, &stranger(), START + HOUR), Pass);
    assert_eq!(word(&state, &stranger(), START + 2 * HOUR), Pass, "and may come again");
    assert_eq!(word(&state, &sent("192.0.2.7", "b@sender.example", "alice@local.example"), START + 2 * HOUR), New);
}

#[test]
fn who_comes_too_late_is_new_again() {
    let state = state(1000);
    word(&state, &stranger(), START);
    assert_eq!(word(&state, &stranger(), START + 2 * DAY), New);
    assert_eq!(word(&state, &stranger(), START + 2 * DAY + 4 * MINUTE), Early);
    assert_eq!(word(&state, &stranger(), START + 2 * DAY + 5 * MINUTE), Pass);
}

#[test]
fn a_known_sender_is_known_for_36_days_after_its_last_mail() {
    let state = state(1000);
    accepted(&state, &stranger(), START);
    let last = START + 35 * DAY;
    accepted(&state, &stranger(), last);
    assert_eq!(word(&state, &stranger(), last + 36 * DAY - 1), Known);
    assert_eq!(word(&state, &stranger(), last + 36 * DAY), New);
}

#[test]
fn the_settings_are_heeded_and_a_reload_changes_them() {
    let quick =
        Settings { delay: Duration::from_secs(1), window: Duration::from_secs(60), known: Duration::from_secs(3600) };
    let state = State::in_memory(quick, 1000);
    word(&state, &stranger(), START);
    assert_eq!(word(&state, &stranger(), START + 999), Early);
    assert_eq!(word(&state, &stranger(), START + 1000), Pass);
    let slow = state.with(Settings { delay: Duration::from_secs(30), ..quick });
    assert_eq!(tries(&slow, &stranger(), START + 1000), greylist(Early, Network, 29), "the same memory");
}

#[test]
fn a_sender_with_many_addresses_is_one() {
    for (first, second, same) in [
        ("192.0.2.7", "192.0.2.250", true),
        ("192.0.2.7", "192.0.3.7", false),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("::ffff:192.0.2.7", "192.0.2.9", true),
    ] {
        let state = state(1000);
        let from = |ip| sent(ip, "a@sender.example", "alice@local.example");
        assert_eq!(word(&state, &from(first), START), New);
        assert_eq!(word(&state, &from(second), START + HOUR), if same { Pass } else { New }, "{first} {second}");
    }
}

#[test]
fn who_spf_passed_for_is_one_wherever_it_sends_from() {
    let state = state(1000);
    let from = |ip| vouched(sent(ip, "a@sender.example", "alice@local.example"));
    assert_eq!(tries(&state, &from("192.0.2.7"), START), greylist(New, Spf, 300));
    assert_eq!(tries(&state, &from("198.51.100.1"), START + HOUR), greylist(Pass, Spf, 0));
    accepted(&state, &from("198.51.100.1"), START + HOUR);
    let other = vouched(sent("203.0.113.5", "b@sender.example", "bob@local.example"));
    assert_eq!(tries(&state, &other, START + HOUR), greylist(Known, Spf, 0), "whoever writes to whomever there");
    let forged = sent("203.0.113.5", "b@sender.example", "bob@local.example");
    assert_eq!(tries(&state, &forged, START + HOUR), greylist(New, Network, 300), "its name alone is nothing");
    let mut broken = other.clone();
    broken.spf.mail_from.result = MethodResult::TempError;
    assert_eq!(tries(&state, &broken, START + HOUR), greylist(Early, Network, 300), "nor is a look-up that failed");
}

#[test]
fn at_data_a_signature_tells_who_it_is_the_author_s_first() {
    let state = state(1000);
    let signed = |ip: &str, signatures: &[(&str, MethodResult)]| {
        let mut facts = vouched(sent(ip, "a@list.example", ""));
        facts.from.domain = "news.bank.example".into();
        let one = |(domain, result): &(&str, MethodResult)| Dkim {
            domain: (*domain).into(),
            result: *result,
            ..Dkim::default()
        };
        facts.dkim = signatures.iter().map(one).collect();
        facts
    };
    use MethodResult::{Fail, Pass as Passed};
    let facts = signed("192.0.2.7", &[("list.example", Passed), ("bank.example", Passed)]);
    let paths = ["alice@local.example"];
    assert_eq!(at_once(state.greylist(&facts, &paths, START)), greylist(New, ByDkim, 300));
    accepted(&state, &facts, START);
    let elsewhere = |signatures: &[(&str, MethodResult)]| {
        at_once(state.greylist(&signed("198.51.100.9", signatures), &paths, START + 1)).result
    };
    assert_eq!(elsewhere(&[("bank.example", Passed)]), Known, "it was accepted as the author's");
    assert_eq!(elsewhere(&[("other.example", Passed), ("bank.example", Fail)]), New);
    assert_eq!(elsewhere(&[("nk.example", Passed)]), New, "no parent of the author's domain");
    assert_eq!(elsewhere(&[]), Known, "the domain that SPF passed for was accepted with it");
}

#[test]
fn several_recipients_of_a_message_have_the_best_of_their_words() {
    let state = state(1000);
    let (alice, bob) = ("alice@local.example", "bob@local.example");
    let facts = sent("192.0.2.7", "a@sender.example", "");
    word(&state, &Facts { rcpt: sent("192.0.2.7", "", alice).rcpt, ..facts.clone() }, START);
    let later = START + HOUR;
    assert_eq!(at_once(state.greylist(&facts, &[bob], later)).result, New);
    assert_eq!(at_once(state.greylist(&facts, &[bob, alice], later)).result, Pass);
    assert_eq!(at_once(state.greylist(&facts, &[bob, alice], START + MINUTE)), greylist(Early, Network, 240));
    let many: Vec<String> = (0..5000).map(|n| format!("u{n}@local.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let judged = Facts { greylist: at_once(state.greylist(&facts, &many, later)), ..facts.clone() };
    at_once(state.note_stranger(&judged, &many, later));
    assert_eq!(state.entries()[0], 101, "one message makes a bounded number of entries");
}

#[test]
fn bounces_to_postmaster_and_abuse_and_our_own_hosts_never_wait() {
    let state = state(1000);
    let bounce = |role| {
        let mut facts = sent("192.0.2.7", "", "x@local.example");
        facts.rcpt.role = role;
        facts
    };
    assert_eq!(tries(&state, &bounce(Role::Postmaster), START), greylist(Known, Network, 0));
    assert_eq!(tries(&state, &bounce(Role::Abuse), START), greylist(Known, Network, 0));
    let mut ours = stranger();
    ours.client.trusted = true;
    assert_eq!(word(&state, &ours, START), Known);
    accepted(&state, &ours, START);
    accepted(&state, &bounce(Role::Abuse), START);
    assert_eq!(state.entries(), [0, 0, 0], "and vouch for nobody");
    assert_eq!(word(&state, &bounce(Role::Ordinary), START), New);
    let mut written = stranger();
    written.rcpt.role = Role::Postmaster;
    assert_eq!(word(&state, &written, START), New, "with a reverse-path postmaster is a recipient like others");
}

#[test]
fn a_reverse_path_that_changes_with_every_try_is_the_same() {
    for (first, second, same) in [
        ("bounce+4711@news.example", "bounce+4712@news.example", true),
        ("Bounce+4711@News.Example", "bounce+4712@news.example", true),
        ("bounce-md_123.5f3a-v1-aa9@m.example", "bounce-md_999.77bc-v1-0b1@m.example", true),
        ("b+alice=local.example+8f3a@list.example", "b+alice=local.example+91bc@list.example", true),
        ("b+alice=local.example@list.example", "b+bob=local.example@list.example", false),
        ("prvs=2024abcdef=bob@sender.example", "prvs=2029fedcba=bob@sender.example", true),
        ("prvs=2024abcdef=bob@sender.example", "prvs=2029fedcba=eve@sender.example", false),
        ("SRS0=abcd=TT=orig.example=bob@fwd.example", "SRS0=wxyz=UV=orig.example=bob@fwd.example", true),
        ("SRS0=abcd=TT=orig.example=bob@fwd.example", "SRS0=abcd=TT=orig.example=eve@fwd.example", false),
        (
            "SRS1=aaaa=fwd.example==bbbb=TT=o.example=b@g.example",
            "SRS1=cccc=fwd.example==dddd=TT=o.example=b@g.example",
            true,
        ),
        ("abcdefghijklmnopqrstuvwxyz@x.example", "zyxwvutsrqponmlkjihgfedcba@x.example", true),
        ("anna@sender.example", "berta@sender.example", false),
        ("a@one.example", "a@two.example", false),
    ] {
        let state = state(1000);
        word(&state, &sent("192.0.2.7", first, "alice@local.example"), START);
        let again = word(&state, &sent("192.0.2.7", second, "Alice@LOCAL.example"), START + HOUR);
        assert_eq!(again, if same { Pass } else { New }, "{first} {second}");
    }
}

#[test]
fn strangers_push_out_neither_the_known_nor_each_other_before_they_can_come_back() {
    let state = state(100);
    accepted(&state, &stranger(), START);
    let one = |n: u64| sent(&format!("10.{}.{}.1", n / 250, n % 250), "a@b.example", "alice@local.example");
    for n in 0..100 {
        assert_eq!(word(&state, &one(n), START + n), New);
    }
    // no room: whoever can't be remembered must not wait for ever
    for n in 100..400 {
        assert_eq!(word(&state, &one(n), START + 1000), Known);
    }
    assert_eq!(state.entries(), [100, 1, 0]);
    assert_eq!((state.counters().no_room(), state.pushed_out()), (300, 0));
    for n in 0..100 {
        assert_eq!(word(&state, &one(n), START + 5 * MINUTE + n), Pass, "all who were told to come back could");
    }
    assert_eq!(word(&state, &stranger(), START + HOUR), Known);
    // hours later those who never came back go, the oldest first
    for n in 400..450 {
        assert_eq!(word(&state, &one(n), START + 5 * HOUR), New);
    }
    assert_eq!((state.entries(), state.pushed_out()), ([100, 1, 0], 50));
    assert_eq!(word(&state, &one(99), START + 5 * HOUR), Pass, "the youngest are still there");
}

#[test]
fn one_network_fills_no_more_than_its_share() {
    // (a network's hosts, a host elsewhere)
    for (inside, elsewhere) in [("10.9", "10.8.0.1"), ("2001:db8", "2001:db9::1")] {
        let state = state(20_000);
        let one = |n: u64| {
            let ip =
                if inside.contains(':') { format!("{inside}:{n:x}::1") } else { format!("{inside}.{}.1", n % 256) };
            sent(&ip, "a@b.example", &format!("u{n}@local.example"))
        };
        let other = |n: u64| sent(elsewhere, "a@b.example", &format!("u{n}@local.example"));
        assert_eq!(word(&state, &other(0), START), New);
        for n in 0..3_000 {
            assert_eq!(word(&state, &one(n), START + n), if n < 1_250 { New } else { Known }, "{inside}: {n}");
        }
        assert_eq!((state.entries()[0], state.counters().no_room(), state.pushed_out()), (1_251, 1_750, 0), "{inside}");
        assert_eq!(word(&state, &other(1), START + HOUR), New, "{inside}: others have their room");
        assert_eq!(word(&state, &one(0), START + HOUR), Pass, "{inside}: who was told to come back can");
        // hours later its own oldest go for its newest, and nobody else
        for n in 3_000..3_100 {
            assert_eq!(word(&state, &one(n), START + 5 * HOUR), New, "{inside}: {n}");
        }
        assert_eq!((state.entries()[0], state.pushed_out()), (1_252, 100), "{inside}");
        assert_eq!(
            word(&state, &other(0), START + 5 * HOUR),
            Pass,
            "{inside}: the oldest of all is another's and stays"
        );
    }
}

#[test]
fn the_known_are_bounded_and_the_longest_silent_go_first() {
    let state = state(50);
    let one = |n: u64| sent(&format!("10.0.{n}.1"), "a@b.example", "alice@local.example");
    for n in 0..80 {
        accepted(&state, &one(n), START + n * DAY / 10);
    }
    assert_eq!((state.entries()[1], state.pushed_out()), (50, 30));
    let now = START + 8 * DAY;
    assert_eq!((word(&state, &one(29), now), word(&state, &one(30), now)), (New, Known));
}

#[test]
fn a_clock_that_was_wrong_delays_nobody_for_longer_than_the_delay() {
    let state = state(1000);
    word(&state, &stranger(), START + 100 * DAY);
    assert_eq!(word(&state, &stranger(), START), New, "noted in the future: begins anew");
    assert_eq!(word(&state, &stranger(), START + 5 * MINUTE), Pass);
}

#[test]
fn hosts_that_share_a_store_need_a_secret_in_common() {
    let store = Arc::new(gatepost::state::Local::new(1000));
    let host = || State::with_store(store.clone(), Settings::default());
    assert_eq!(word(&host().named_under([7; 32]), &stranger(), START), New);
    assert_eq!(word(&host().named_under([7; 32]), &stranger(), START + 5 * MINUTE), Pass);
    assert_eq!(word(&host(), &stranger(), START + 5 * MINUTE), New, "under another secret it is nobody");
}

/// A store that is out of reach.
struct Gone;

fn gone<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(ready(Err(StoreError::Unreachable("it is gone".into()))))
}

impl Store for Gone {
    fn get(&self, _: Shelf, _: Key, _: u64) -> Answer<'_, Option<Entry>> {
        gone()
    }
    fn put(&self, _: Shelf, _: Key, _: Entry, _: u64) -> Answer<'_, ()> {
        gone()
    }
    fn has_room(&self, _: u32, _: u64) -> Answer<'_, bool> {
        gone()
    }
    fn count(&self, _: Rate, _: Key, _: u64) -> Answer<'_, u64> {
        gone()
    }
    fn increment(&self, _: Rate, _: Key, _: u64) -> Answer<'_, ()> {
        gone()
    }
    fn expire(&self, _: u64) -> Answer<'_, ()> {
        gone()
    }
}

#[test]
fn where_the_store_is_out_of_reach_nobody_waits_and_nothing_was_counted() {
    let state = State::with_store(Arc::new(Gone), Settings::default());
    assert_eq!(tries(&state, &stranger(), START), greylist(Known, Network, 0));
    accepted(&state, &stranger(), START);
    assert_eq!(counts(&state, &stranger(), rate("client", "1h"), START), 0);
    assert_eq!(state.counters().unanswered(), 4, "each is told");
    assert_eq!(state.counters().results(Known, Network), 1);
}
