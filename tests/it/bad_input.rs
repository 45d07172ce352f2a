//! What hostile messages and zones cost: bounded queries and verifications, an answer in RFC words, and others are not kept waiting.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use futures_util::future::{Either, select};
use gatepost::authenticate::header::without_ours;
use gatepost::authenticate::sign::Signer;
use gatepost::authenticate::{Authenticator, Dns};
use gatepost::facts::{DmarcResult, Facts, IprevResult, MethodResult, ReverseMxResult};
use gatepost::message::content::Content;

use super::dkim::{NOW, signed};
use super::support::dns::{DnsServer, Fault, RecordType, Zone, asking, block_on, serve};
use super::support::evaluation::{Envelope, evaluate};
use super::support::server::{Server, Setup, reference};

const MESSAGE: &str = "From: A <a@hostile.example>\r\nTo: b@receiver.example\r\nSubject: hello\r\n\r\nHello\r\n";

/// A zone with an honest domain beside what is hostile.
fn zone() -> Zone {
    Zone::new().txt("honest.example", "v=spf1 ip4:192.0.2.1 -all")
}

/// Silence is believed sooner than in the product, so that the tests end.
async fn quick(zone: Zone) -> (DnsServer, Authenticator) {
    let server = serve(zone).await;
    let dns = Dns { timeout: Duration::from_millis(400), attempts: 2, ..asking(server.addr()) };
    let authenticator = Authenticator::new(&dns).expect("no I/O");
    (server, authenticator)
}

fn hostile() -> Envelope {
    Envelope::new(Some("192.0.2.1"), "hostile.example", "x@hostile.example")
}

/// Evaluates the hostile message; an honest look-up that begins after it must not end after it.
fn overtaken(zone: Zone, message: &str) -> (Facts, u64) {
    block_on(async {
        let (server, authenticator) = quick(zone).await;
        let envelope = hostile();
        let slow = Box::pin(evaluate(&authenticator, &envelope, message.as_bytes(), NOW));
        let honest = Box::pin(authenticator.check_host([192, 0, 2, 1].into(), "honest.example", "", "honest.example"));
        match select(slow, honest).await {
            Either::Left(_) => panic!("the honest one waited for the hostile one"),
            Either::Right((honest, slow)) => {
                assert_eq!(honest.result, MethodResult::Pass);
                let facts = tokio::time::timeout(Duration::from_secs(30), slow).await.expect("within 30 s");
                (facts, server.queries())
            }
        }
    })
}

/// SPF of hostile.example: its word, and how many queries it took.
fn spf(zone: Zone) -> (&'static str, u64) {
    block_on(async {
        let (server, authenticator) = quick(zone).await;
        let found = authenticator.check_host([192, 0, 2, 1].into(), "hostile.example", "x", "hostile.example").await;
        (found.result.as_str(), server.queries())
    })
}

#[test]
fn ten_thousand_signatures_cost_ten_verifications() {
    let signer = Signer::new_ed25519("hostile.example", "s1").unwrap();
    let field = signer.sign(MESSAGE.as_bytes(), NOW).unwrap();
    let message = signed(format!("{}{MESSAGE}", field.repeat(10_000)).as_bytes(), 64 * 1024);
    block_on(async {
        let (server, authenticator) = quick(zone().txt(&signer.key_name(), &signer.key_record())).await;
        let found = authenticator.dkim(&message, NOW).await;
        assert!(found.len() <= 20 && message.verifications() <= 10, "{} {}", found.len(), message.verifications());
        assert!(server.queries() <= 10, "{}", server.queries());
        assert!(found.iter().skip(10).all(|dkim| dkim.result == MethodResult::Policy));
    });
}

#[test]
fn twenty_thousand_names_in_h_are_not_read_and_another_signature_still_holds() {
    let signer = Signer::new_ed25519("hostile.example", "s1").unwrap();
    let genuine = signer.sign(MESSAGE.as_bytes(), NOW).unwrap();
    let greedy = genuine.replace(" h=", &format!(" h={}", "from:".repeat(20_000)));
    let message = signed(format!("{greedy}{genuine}{MESSAGE}").as_bytes(), 64 * 1024);
    block_on(async {
        let (_server, authenticator) = quick(zone().txt(&signer.key_name(), &signer.key_record())).await;
        let found = authenticator.dkim(&message, NOW).await;
        let words: Vec<_> = found.iter().map(|dkim| dkim.result.as_str()).collect();
        assert_eq!((words, message.verifications()), (vec!["policy", "pass"], 1));
    });
}

/// What is longer than any signature is not read and its key not asked for; folding, however much of it, is no part of a signature.
#[test]
fn a_signature_that_is_longer_than_any_is_not_read() {
    let signer = Signer::new_ed25519("hostile.example", "s1").unwrap();
    let genuine = signer.sign(MESSAGE.as_bytes(), NOW).unwrap();
    let (before, octets) = genuine.trim_end().rsplit_once("b=").unwrap();
    let folded: String = octets.chars().filter(|c| !c.is_whitespace()).map(|c| format!("{c}\r\n\t")).collect();
    for (value, result, verified) in [
        (folded, "pass", 1),
        (format!("{octets}{}", "\r\n ".repeat(2000)), "pass", 1),
        (format!("{octets}{}=", "\r\n ".repeat(3000)), "permerror", 0),
        ("QUJD".repeat(60_000), "permerror", 0),
    ] {
        let message = signed(format!("{before}b={value}\r\n{MESSAGE}").as_bytes(), 64 * 1024);
        block_on(async {
            let (server, authenticator) = quick(zone().txt(&signer.key_name(), &signer.key_record())).await;
            let found = authenticator.dkim(&message, NOW).await;
            assert_eq!((found[0].result.as_str(), message.verifications()), (result, verified), "{}", value.len());
            assert_eq!(server.queries(), verified, "{}", value.len());
        });
    }
}

/// Signatures over a large header are verified elsewhere: the thread goes on with others in the meantime, and the words are the same.
#[test]
fn large_headers_do_not_hold_the_thread() {
    let signer = Signer::new_ed25519("hostile.example", "s1").unwrap().with_names("from:x-large");
    let message = format!("X-Large: {}\r\n{MESSAGE}", "words ".repeat(30_000));
    let field = signer.sign(message.as_bytes(), NOW).unwrap();
    let message = signed(format!("{}{message}", field.repeat(10)).as_bytes(), 64 * 1024);
    block_on(async {
        let (_server, authenticator) = quick(zone().txt(&signer.key_name(), &signer.key_record())).await;
        authenticator.dkim(&message, NOW).await;
        // All keys are in the cache now: nothing but the verification itself can let others go on.
        let (found, turns) = turns_during(authenticator.dkim(&message, NOW)).await;
        assert!(found.len() == 10 && found.iter().all(|dkim| dkim.result == MethodResult::Pass), "{found:?}");
        assert!(turns > 10, "{turns} turns");
    });
}

/// Four keys at one selector may have to be tried one after the other.
#[test]
fn several_keys_do_not_hold_the_thread_and_one_does() {
    let signer = Signer::new_ed25519("hostile.example", "s1").unwrap();
    let field = signer.sign(MESSAGE.as_bytes(), NOW).unwrap();
    let message = signed(format!("{field}{MESSAGE}").as_bytes(), usize::MAX);
    let one = zone().txt(&signer.key_name(), &signer.key_record());
    let others = (0..3).fold(one.clone(), |zone, _| {
        let other = Signer::new_ed25519("hostile.example", "s1").unwrap();
        zone.txt(&other.key_name(), &other.key_record())
    });
    for (zone, is_elsewhere) in [(one, false), (others, true)] {
        block_on(async {
            let (_server, authenticator) = quick(zone).await;
            authenticator.dkim(&message, NOW).await;
            // What is done elsewhere may be done before anybody looks, but not every time.
            let mut all = 0;
            for _ in 0..200 {
                let (found, turns) = turns_during(authenticator.dkim(&message, NOW)).await;
                assert_eq!(found[0].result, MethodResult::Pass);
                all += turns;
            }
            assert_eq!(all > 0, is_elsewhere, "{all} turns");
        });
    }
}

/// To tell whether 256 kB of others' results claim to be ours takes long: nobody waits for it, and what is ours is found.
#[test]
fn much_of_others_results_does_not_hold_the_thread() {
    let other = format!("Authentication-Results: {} none\r\n", "\u{e4}.example".repeat(20));
    let ours = "Authentication-Results: mx.receiver.example; dkim=pass\r\n";
    let text = format!("{}{ours}Subject: hello\r\nX-Gatepost-Decision: accept\r\n", other.repeat(900));
    let header = Content::parse(text.as_bytes()).header;
    block_on(async {
        let (kept, turns) = turns_during(without_ours(&header, "mx.receiver.example")).await;
        assert_eq!(String::from_utf8(kept).unwrap(), format!("{}Subject: hello\r\n", other.repeat(900)));
        assert!(turns > 1, "{turns} turns");
    });
}

/// What comes of it, and how often others have their turn meanwhile.
async fn turns_during<T>(work: impl Future<Output = T>) -> (T, usize) {
    let turns = Cell::new(0);
    let others = async {
        loop {
            turns.set(turns.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    match select(Box::pin(work), Box::pin(others)).await {
        Either::Left((result, _)) => (result, turns.get()),
        Either::Right(_) => unreachable!("it loops"),
    }
}

#[test]
fn spf_that_includes_itself_ends() {
    let (word, queries) = spf(zone().txt("hostile.example", "v=spf1 include:hostile.example -all"));
    assert_eq!(word, "permerror");
    assert!(queries <= 11, "{queries}");
    let (word, queries) = spf(zone().txt("hostile.example", "v=spf1 redirect=hostile.example"));
    assert_eq!(word, "permerror");
    assert!(queries <= 11, "{queries}");
}

/// More than anybody publishes is not read; what is read lets others have their turn, though all of it is in the cache.
#[test]
fn large_spf_records_do_not_hold_the_thread() {
    let record = |octets: usize| format!("v=spf1 {}ip4:192.0.2.1 -all", "ip4:198.51.100.0/24 ".repeat(octets / 20));
    assert_eq!(spf(zone().txt("hostile.example", &record(15 * 1024))).0, "pass");
    assert_eq!(spf(zone().txt("hostile.example", &record(17 * 1024))).0, "permerror");
    assert_eq!(spf(zone().txt("hostile.example", &record(60 * 1024))).0, "permerror");
    let includes = (0..9).fold(String::new(), |all, at| format!("{all}include:n{at}.hostile.example "));
    let zone = (0..9).fold(zone().txt("hostile.example", &format!("v=spf1 {includes}-all")), |zone, at| {
        let record = record(6000).replace("ip4:192.0.2.1 ", "");
        zone.txt(&format!("n{at}.hostile.example"), &record)
    });
    block_on(async {
        let (server, authenticator) = quick(zone).await;
        let check = || authenticator.check_host([192, 0, 2, 1].into(), "hostile.example", "x", "hostile.example");
        assert_eq!(check().await.result, MethodResult::Fail);
        let before = server.queries();
        let (found, turns) = turns_during(check()).await;
        assert_eq!((found.result, server.queries()), (MethodResult::Fail, before));
        assert!(turns >= 5, "{turns} turns");
    });
}

#[test]
fn two_hundred_nested_includes_end_at_the_tenth() {
    let mut zone = zone().txt("hostile.example", "v=spf1 include:n0.hostile.example -all");
    for n in 0..200 {
        zone = zone.txt(&format!("n{n}.hostile.example"), &format!("v=spf1 include:n{}.hostile.example -all", n + 1));
    }
    let (word, queries) = spf(zone);
    assert_eq!(word, "permerror");
    assert!(queries <= 11, "{queries}");
}

/// Everything of the hostile domain fails like this; whatever it is asked for.
fn failing(fault: Fault) -> Zone {
    let client: std::net::IpAddr = [192, 0, 2, 1].into();
    let mut zone = zone().ptr_failing(client, fault);
    let names = ["hostile.example", "_dmarc.hostile.example", "s1._domainkey.hostile.example"];
    for name in names {
        for kind in [RecordType::TXT, RecordType::MX, RecordType::A, RecordType::AAAA] {
            zone = zone.failing(name, kind, fault);
        }
    }
    zone
}

fn assert_temporary(zone: Zone) {
    let signer = Signer::new_ed25519("hostile.example", "s1").unwrap();
    let message = signer.sign(MESSAGE.as_bytes(), NOW).unwrap() + MESSAGE;
    let (facts, queries) = overtaken(zone, &message);
    assert_eq!((facts.spf.mail_from.result, facts.spf.helo.result), (MethodResult::TempError, MethodResult::TempError));
    assert_eq!(facts.dkim[0].result, MethodResult::TempError);
    assert_eq!(facts.dmarc.result, DmarcResult::TempError);
    assert_eq!(facts.iprev.result, IprevResult::TempError);
    assert_eq!(facts.reverse_mx.mail_from.result, ReverseMxResult::TempError);
    assert!(queries <= 60, "{queries}");
}

#[test]
fn a_zone_that_answers_nothing_is_temporary_trouble() {
    assert_temporary(failing(Fault::NoAnswer));
}

#[test]
fn a_zone_that_answers_after_nine_seconds_is_temporary_trouble() {
    assert_temporary(failing(Fault::Delay(Duration::from_secs(9))));
}

#[test]
fn a_zone_that_fails_is_temporary_trouble() {
    assert_temporary(failing(Fault::ServFail));
}

#[test]
fn truncated_answers_come_over_tcp() {
    let zone = zone()
        .txt("hostile.example", "v=spf1 a -all")
        .a("hostile.example", [192, 0, 2, 1])
        .failing("hostile.example", RecordType::TXT, Fault::Truncated)
        .failing("hostile.example", RecordType::A, Fault::Truncated);
    let (word, queries) = spf(zone);
    assert_eq!(word, "pass");
    assert!(queries <= 8, "{queries}");
}

/// Thousands of records at one name are one answer, and lead to no thousands of queries.
#[test]
fn four_thousand_records_lead_to_few_queries() {
    const MANY: u16 = 4000;
    let client: std::net::IpAddr = [192, 0, 2, 1].into();
    let many = |zone: Zone, add: fn(Zone, u16) -> Zone| (0..MANY).fold(zone, add);
    let texts = many(zone(), |zone, n| zone.txt("hostile.example", &n.to_string()));
    let (word, queries) = spf(texts.txt("hostile.example", "v=spf1 ip4:192.0.2.1 -all"));
    assert!(["pass", "temperror"].contains(&word) && queries <= 4, "{word} {queries}");
    let records = many(zone(), |zone, _| zone.txt("hostile.example", "v=spf1"));
    let (word, queries) = spf(records);
    assert!(["permerror", "temperror"].contains(&word) && queries <= 4, "{word} {queries}");
    let addresses = many(zone().txt("hostile.example", "v=spf1 a -all"), |zone, n| {
        zone.a("hostile.example", [10, 0, (n >> 8) as u8, n as u8])
    });
    let (word, queries) = spf(addresses);
    assert!(["fail", "temperror"].contains(&word) && queries <= 8, "{word} {queries}");
    let exchangers = || {
        many(zone().txt("hostile.example", "v=spf1 mx -all"), |zone, n| {
            zone.mx("hostile.example", n, &format!("m{n}.hostile.example"))
        })
    };
    let (word, queries) = spf(exchangers());
    assert!(["permerror", "temperror"].contains(&word) && queries <= 8, "{word} {queries}");
    block_on(async {
        let (server, authenticator) = quick(exchangers()).await;
        let found = authenticator.reverse_mx("hostile.example", client).await;
        assert!([ReverseMxResult::PermError, ReverseMxResult::TempError].contains(&found.result), "{found:?}");
        assert!(server.queries() <= 60, "{}", server.queries());
        let names = many(zone(), |zone, n| zone.ptr([192, 0, 2, 1], &format!("p{n}.hostile.example")));
        let (server, authenticator) = quick(names).await;
        let found = authenticator.iprev(client).await;
        assert!([IprevResult::Fail, IprevResult::TempError].contains(&found.result), "{found:?}");
        assert!(server.queries() <= 14, "{}", server.queries());
    });
}

/// The resident memory of a process at its highest, in kB.
fn highest(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// hostile.example with each of the zones of above below it.
fn hostile_zone() -> Zone {
    const MANY: u16 = 4000;
    let mut zone = zone().mx("honest.example", 1, "mx.honest.example").a("mx.honest.example", [127, 0, 0, 1]);
    zone = zone
        .txt("self.hostile.example", "v=spf1 include:self.hostile.example -all")
        .txt("nested.hostile.example", "v=spf1 include:n0.hostile.example -all")
        .txt("cut.hostile.example", "v=spf1 ip4:127.0.0.0/8 -all")
        .failing("cut.hostile.example", RecordType::TXT, Fault::Truncated)
        .txt("many-mx.hostile.example", "v=spf1 mx -all")
        .txt("many-a.hostile.example", "v=spf1 a -all");
    for n in 0..200 {
        zone = zone.txt(&format!("n{n}.hostile.example"), &format!("v=spf1 include:n{}.hostile.example -all", n + 1));
    }
    for n in 0..MANY {
        zone = zone
            .txt("many-txt.hostile.example", "v=spf1")
            .mx("many-mx.hostile.example", n, &format!("m{n}.hostile.example"))
            .a("many-a.hostile.example", [10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
    }
    for (name, fault) in [("mute", Fault::NoAnswer), ("late", Fault::Delay(Duration::from_secs(9)))] {
        for kind in [RecordType::TXT, RecordType::MX, RecordType::A, RecordType::AAAA] {
            zone = zone.failing(&format!("{name}.hostile.example"), kind, fault);
            zone = zone.failing(&format!("_dmarc.{name}.hostile.example"), kind, fault);
        }
    }
    zone
}

/// A session by `domain` with this message; the reference of its transaction.
fn played(server: &Server, domain: &str, message: &str) -> String {
    let mut client = server.dial();
    client.expect(&format!("EHLO {domain}"), 250);
    client.expect(&format!("MAIL FROM:<x@{domain}>"), 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
    client.expect("DATA", 354);
    let answer = client.say(&format!("{message}\r\n."));
    reference(&answer).unwrap_or_else(|| panic!("{domain}: no ref in {answer}"))
}

/// All of it at once over real sessions: an honest sender is served meanwhile, again and again, the memory stays bounded, and each gets a
/// result in the RFC's words within 30 s.
#[test]
fn hostile_sessions_disturb_no_other_and_cost_bounded_memory() {
    let policy = "description = \"takes everything\"\n[[rule]]\nname = \"looks\"\nat = \"data\"\nscore = 1.0\nwhen = \"\"\"\n\
        spf.mail_from.result == 'none' || dmarc.result == 'none' || reverse_mx.mail_from.result == 'none'\"\"\"\n";
    let server = Server::start(Setup { zone: hostile_zone(), policy: Some(policy), ..Setup::default() });
    let plain = |domain: &str| format!("From: <x@{domain}>\r\nSubject: x\r\n\r\nhello\r\n");
    let field = "DKIM-Signature: v=1; a=rsa-sha256; d=self.hostile.example; s=none; h=from; bh=AAAA; b=AAAA\r\n";
    let greedy = field.replace("h=from", &format!("h={}from", "from:\r\n ".repeat(20_000)));
    played(&server, "honest.example", &plain("honest.example"));
    let before = highest(&server);
    let attacks: Vec<(&str, String, &[&str])> = vec![
        ("self.hostile.example", plain("self.hostile.example"), &["permerror"]),
        ("nested.hostile.example", plain("nested.hostile.example"), &["permerror"]),
        ("cut.hostile.example", plain("cut.hostile.example"), &["pass"]),
        ("many-txt.hostile.example", plain("many-txt.hostile.example"), &["permerror", "temperror"]),
        ("many-mx.hostile.example", plain("many-mx.hostile.example"), &["permerror", "temperror"]),
        ("many-a.hostile.example", plain("many-a.hostile.example"), &["fail", "temperror"]),
        ("mute.hostile.example", plain("mute.hostile.example"), &["temperror"]),
        ("late.hostile.example", plain("late.hostile.example"), &["temperror"]),
        (
            "self.hostile.example",
            format!("{}{}", field.repeat(10_000), plain("self.hostile.example")),
            &["permerror", ""],
        ),
        ("self.hostile.example", format!("{greedy}{}", plain("self.hostile.example")), &["permerror", ""]),
    ];
    std::thread::scope(|scope| {
        let server = &server;
        let threads: Vec<_> = attacks
            .iter()
            .map(|(domain, message, words)| (domain, words, scope.spawn(move || played(server, domain, message))))
            .collect();
        let mut served = 0;
        while threads.iter().any(|(.., thread)| !thread.is_finished()) {
            let record = server.record(&played(server, "honest.example", &plain("honest.example")));
            assert_eq!(record["delivery"].as_array().map(Vec::len), Some(1), "{record}");
            served += 1;
        }
        assert!(served >= 3, "{served} honest messages while a zone said nothing for seconds");
        for (domain, words, thread) in threads {
            let record = server.record(&thread.join().unwrap());
            let word = record["spf"]["mail_from"]["result"].as_str().unwrap_or_default().to_owned();
            assert!(words.contains(&word.as_str()), "{domain}: {word} {record}");
            assert!(record["timings_us"]["total"].as_u64().unwrap() < 30_000_000, "{domain}");
        }
    });
    let grown = highest(&server) - before;
    assert!(grown < 128 * 1024, "{grown} kB for messages of 1 MB and answers of 64 kB");
}
