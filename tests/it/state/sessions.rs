//! Greylisting and rates over SMTP: what is answered, what the record has, what is counted.

use std::time::Duration;

use gatepost::facts::word::GreylistKey::Network;
use gatepost::facts::word::GreylistResult::{Early, Known, New, Pass};
use gatepost::facts::word::{Action, Stage};

use crate::support::dns::Zone;
use crate::support::site::{Setup, Site, message};

/// A delay that a test can wait for.
const QUICK: &str = "[state]\ndirectory = \"state\"\ngreylist_delay = \"1s\"\n";
const DELAY: Duration = Duration::from_millis(1100);
/// One that no test reaches.
const SLOW: &str = "[state]\ndirectory = \"state\"\ngreylist_delay = \"1h\"\n";

fn site(policy: &str, more: &str) -> Site {
    Site::start(Setup { policy, more, ..Setup::default() })
}

const AT_RCPT: &str = r#"
[[rule]]
name = "stranger"
at = "rcpt"
when = "greylist.result in ['new', 'early']"
action = "defer"
reply = "451 4.7.1 come again in {greylist.wait} seconds"
"#;

#[test]
fn a_stranger_is_asked_to_come_again_and_then_it_and_its_network_are_known() {
    let site = site(AT_RCPT, QUICK);
    let mut client = site.dial_from([127, 0, 5, 1]);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    let first = client.expect("RCPT TO:<alice@local.example>", "451 4.7.1 come again in 1 seconds ref=");
    client.expect("RCPT TO:<alice@local.example>", "451 4.7.1");
    client.expect("RSET", "250");
    let record = site.record(&first);
    assert_eq!((record.stage, record.decision.action), (Stage::Rcpt, Action::Defer));
    assert_eq!((record.facts.greylist.result, record.facts.greylist.key), (Early, Network), "of what was decided last");
    std::thread::sleep(DELAY);
    let mut client = site.dial_from([127, 0, 5, 99]);
    client.begin("a@sender.example", &["alice@local.example"]);
    let reply = client.data(message("a@sender.example"));
    let record = site.record(reply.is("250"));
    assert_eq!((record.facts.greylist.result, record.facts.greylist.wait), (Pass, 0));
    client.mail("b@elsewhere.example", &["bob@local.example"]);
    let reply = client.data(message("b@elsewhere.example"));
    assert_eq!(site.record(reply.is("250")).facts.greylist.result, Known);
    let mut other = site.dial_from([127, 0, 6, 1]);
    other.expect("EHLO client.example", "250");
    other.expect("MAIL FROM:<a@sender.example>", "250");
    other.expect("RCPT TO:<alice@local.example>", "451 4.7.1");
    for (result, count) in [("new", 2.0), ("early", 1.0), ("pass", 1.0), ("known", 1.0)] {
        let labels = [&*format!("result=\"{result}\""), "key=\"network\""];
        site.wait_for_metric("gatepost_greylist_results_total", &labels, count);
    }
    site.wait_for_metric("gatepost_state_entries", &["known"], 1.0);
    site.wait_for_metric("gatepost_state_up", &[], 1.0);
}

#[test]
fn spf_is_waited_for_and_tells_the_sender() {
    let zone = Zone::new().txt("sender.example", "v=spf1 ip4:127.0.0.0/8 -all");
    let site = Site::start(Setup { zone, policy: AT_RCPT, more: SLOW, ..Setup::default() });
    let mut client = site.dial_from([127, 0, 5, 1]);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    let reply = client.expect("RCPT TO:<alice@local.example>", "451 4.7.1");
    client.expect("QUIT", "221");
    let record = site.record(&reply);
    assert_eq!(record.facts.greylist.key.as_str(), "spf");
    let mut client = site.dial_from([127, 0, 77, 1]);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    let reply = client.expect("RCPT TO:<alice@local.example>", "451 4.7.1");
    client.expect("QUIT", "221");
    assert_eq!(site.record(&reply).facts.greylist.result, Early, "from elsewhere it is the same sender");
}

#[test]
fn a_bounce_to_postmaster_does_not_wait() {
    let site = site(AT_RCPT, SLOW);
    let mut client = site.dial();
    client.begin("", &["postmaster"]);
    client.expect("RCPT TO:<alice@local.example>", "451 4.7.1");
    let reply = client.data(message("mailer-daemon@sender.example"));
    reply.is("250");
    site.wait_for_metric("gatepost_state_entries", &["known"], 0.0);
}

#[test]
fn what_postmaster_takes_makes_nobody_known() {
    let policy = AT_RCPT.replace("when = \"", "when = \"rcpt.role == '' && ");
    let site = site(&policy, SLOW);
    let mut client = site.dial();
    for _ in 0..2 {
        client.begin("x@sender.example", &["postmaster"]);
        client.expect("RCPT TO:<alice@local.example>", "451 4.7.1");
        client.data(message("x@sender.example")).is("250");
        client.expect("MAIL FROM:<x@sender.example>", "250");
        client.expect("RCPT TO:<alice@local.example>", "451 4.7.1");
        client.expect("RSET", "250");
    }
    site.wait_for_metric("gatepost_state_entries", &["known"], 0.0);
}

#[test]
fn a_bounce_to_postmaster_and_others_does_not_wait_at_data() {
    let site = site(&AT_RCPT.replace("at = \"rcpt\"", "at = \"data\""), SLOW);
    let mut client = site.dial();
    client.begin("", &["postmaster"]);
    client.say("RCPT TO:<alice@local.example>");
    client.data(message("mailer-daemon@sender.example")).is("250");
}

#[test]
fn one_that_only_observes_delays_nobody_and_tells_whom_it_would_have() {
    let policy = AT_RCPT.replace("action = \"defer\"", "action = \"defer\"\nobserve = true");
    let site = site(&policy, SLOW);
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    let record = site.record(&client.data(message("a@sender.example")));
    assert_eq!(record.facts.greylist.result, New);
    client.mail("a@sender.example", &["alice@local.example"]);
    let record = site.record(&client.data(message("a@sender.example")));
    assert_eq!(record.facts.greylist.result, Known, "its mail was accepted");
}

#[test]
fn a_message_that_is_not_accepted_makes_nobody_known() {
    let policy =
        format!("{AT_RCPT}[[rule]]\nname = \"junk\"\nat = \"data\"\nwhen = \"true\"\naction = \"quarantine\"\n");
    let site = site(&policy.replace("action = \"defer\"", "action = \"defer\"\nobserve = true"), SLOW);
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    client.data(message("a@sender.example")).is("250");
    site.wait_for_metric("gatepost_state_entries", &["strangers"], 1.0);
    site.wait_for_metric("gatepost_state_entries", &["known"], 0.0);
}

#[test]
fn at_data_the_message_comes_again_for_all_its_recipients() {
    let policy = AT_RCPT.replace("at = \"rcpt\"", "at = \"data\"");
    let site = site(&policy, QUICK);
    let both = ["alice@local.example", "bob@local.example"];
    let mut client = site.dial();
    client.begin("a@sender.example", &both);
    let reply = client.data(message("a@sender.example"));
    let record = site.record(reply.is("451 4.7.1 come again"));
    assert_eq!((record.stage, record.facts.greylist.result), (Stage::Data, New));
    site.wait_for_metric("gatepost_state_entries", &["strangers"], 2.0);
    std::thread::sleep(DELAY);
    client.mail("a@sender.example", &both);
    client.data(message("a@sender.example")).is("250");
    assert_eq!(site.all_files().len(), 2);
}

#[test]
fn a_restart_of_the_server_forgets_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let more = format!("[state]\ndirectory = {:?}\ngreylist_delay = \"1s\"\n", directory.path().join("state"));
    let mut first = site(AT_RCPT, &more);
    let mut client = first.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "451 4.7.1");
    client.expect("QUIT", "221");
    first.stop();
    std::thread::sleep(DELAY);
    site(AT_RCPT, &more).dial().begin("a@sender.example", &["alice@local.example"]);
}

#[test]
fn a_policy_that_asks_for_nothing_makes_no_file() {
    let mut site = site("description = \"takes everything\"\n", SLOW);
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    let record = site.record(&client.data(message("a@sender.example")));
    assert!(record.facts.greylist.is_empty() && record.facts.rates.is_empty());
    site.stop();
    assert!(!site.path("state").exists());
}

const RATES: &str = r#"
[[rule]]
name = "client-too-quick"
at = "rcpt"
when = "rate('client', '1h') >= 3 && rcpt.address != 'carol@local.example'"
action = "defer"
reply = "451 4.7.1 too many messages"
[[rule]]
name = "carol-has-enough"
at = "rcpt"
when = "rate('rcpt.address', '1h') >= 2 && rcpt.address == 'carol@local.example'"
action = "defer"
reply = "451 4.7.1 too many for one mailbox"
[[rule]]
name = "author-too-quick"
at = "data"
when = "rate('from.domain', '1h') >= 1"
action = "reject"
reply = "550 5.7.1 once an hour from {from.domain}"
"#;

#[test]
fn a_rate_counts_transactions_once_however_many_recipients_and_whatever_is_answered() {
    let site = site(RATES, SLOW);
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example", "bob@local.example"]);
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<b@sender.example>", "250");
    client.expect("RCPT TO:<nobody@local.example>", "550 5.1.1");
    client.expect("RCPT TO:<alice@local.example>", "250");
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<c@sender.example>", "250");
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<c@sender.example>", "250");
    client.expect("RCPT TO:<x@elsewhere.example>", "550 5.7.1");
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<d@sender.example>", "250");
    let reply = client.expect("RCPT TO:<alice@local.example>", "451 4.7.1 too many messages");
    client.expect("RSET", "250");
    let record = site.record(&reply);
    assert_eq!(record.facts.rates["client/1h"], 3, "three named a recipient before this one");
    assert_eq!(record.facts.rates["rcpt.address/1h"], 2);
    site.dial_from([127, 0, 0, 9]).begin("a@sender.example", &["alice@local.example"]);
}

#[test]
fn a_rate_of_a_recipient_counts_each_time_it_is_named() {
    let site = site(RATES, SLOW);
    let mut client = site.dial();
    client.begin("a@sender.example", &["carol@local.example", "carol@local.example"]);
    client.expect("RCPT TO:<CAROL@local.example>", "250");
    client.expect("RCPT TO:<carol@local.example>", "451 4.7.1 too many for one mailbox");
    client.expect("RCPT TO:<alice@local.example>", "250");
}

#[test]
fn a_rate_of_the_author_counts_messages() {
    let site = site(RATES, SLOW);
    let mut client = site.dial();
    client.begin("x@sender.example", &["alice@local.example"]);
    let record = site.record(&client.data(message("a@author.example")));
    assert_eq!(record.facts.rates["from.domain/1h"], 0);
    client.mail("y@sender.example", &["alice@local.example"]);
    let reply = client.data(message("b@author.example"));
    reply.is("550 5.7.1 once an hour from author.example");
    assert_eq!(site.record(&reply).facts.rates["from.domain/1h"], 1);
    client.mail("y@sender.example", &["alice@local.example"]);
    client.data(message("b@other.example")).is("250");
}

#[test]
fn the_record_has_what_was_remembered_of_each_recipient() {
    let policy = r#"
[[rule]]
name = "stranger"
at = "rcpt"
when = "rcpt.address == 'alice@local.example' && rate('rcpt.address', '1h') >= 0"
action = "greylist"
"#;
    let site = site(policy, SLOW);
    let mut client = site.dial_from([127, 0, 5, 1]);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<bob@local.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "451");
    client.expect("RCPT TO:<bob+news@local.example>", "250");
    client.expect("RCPT TO:<nobody@local.example>", "550");
    client.expect("RCPT TO:<alice@local.example>", "451");
    client.expect("RCPT TO:<bob@local.example>", "250");
    let reply = client.data(message("a@sender.example"));
    let record = site.record(reply.is("250"));
    let recalled: Vec<_> = record
        .recipients
        .iter()
        .map(|recipient| {
            let recalled = recipient.recalled.as_ref()?;
            Some((recalled.greylist.result, recalled.rates["rcpt.address/1h"], recalled.rates.len()))
        })
        .collect();
    let expected =
        [Some((New, 0, 1)), Some((New, 0, 1)), Some((New, 0, 1)), None, Some((Early, 1, 1)), Some((Early, 1, 1))];
    assert_eq!(recalled, expected);
    assert!(!record.greylist_of_message);
    let told = gatepost::observe::explain::story(&record);
    assert!(
        told.contains("greylisting     this sender (its network) has not written to this recipient before"),
        "{told}"
    );
    assert!(told.contains("came too early"), "{told}");
}

/// alice takes all, bob refuses one author: where both are written to at once, bob finds it in Junk.
#[test]
fn a_message_that_one_recipient_would_not_have_makes_nobody_known() {
    let greylists = "[[rule]]\nname = 'new'\nat = 'rcpt'\nwhen = 'true'\naction = 'greylist'\nobserve = true\n";
    let refuses = "[[rule]]\nname = 'no'\nat = 'data'\nwhen = \"from.domain == 'bad.example'\"\naction = 'reject'\n";
    let site = Site::start(Setup {
        policy: greylists,
        judging: "mixed = \"quarantine\"",
        domains: "[domains.\"local.example\"]\nmailboxes = [\"alice\", \"bob\"]\n[domains.\"local.example\".mailbox.\"bob\"]\npolicy = \"bob.toml\"\n",
        files: &[("bob.toml", &format!("{greylists}{refuses}"))],
        more: SLOW,
        ..Setup::default()
    });
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    for to in [["alice@local.example", "bob@local.example"], ["bob@local.example", "alice@local.example"]] {
        client.mail("a@bad.example", &to);
        client.data(message("a@bad.example")).is("250");
    }
    site.wait_for_metric("gatepost_state_entries", &["known"], 0.0);
    assert_eq!((site.delivered("local.example/alice").len(), site.delivered("local.example/bob/.Junk").len()), (2, 2));
    client.mail("a@sender.example", &["alice@local.example", "bob@local.example"]);
    client.data(message("a@sender.example")).is("250");
    site.wait_for_metric("gatepost_state_entries", &["known"], 1.0);
}
