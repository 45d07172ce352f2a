//! Rules that were heard before there was a message stand in the record and are counted, however the transaction ends.

use std::process::Command;

use gatepost::facts::record::Record;
use gatepost::facts::word::{Action, Outcome, Stage};

use crate::support::site::{OPEN, Setup, Site};

const HEARD: &str = r#"
description = "scores before there is a message"
[[rule]]
name = "of-connect"
at = "connect"
when = "client.ip == '127.0.0.1'"
score = 1.0
[[rule]]
name = "of-mail"
at = "mail"
when = "mail_from.domain == 'sender.example'"
action = "reject"
observe = true
[[rule]]
name = "of-rcpt"
at = "rcpt"
when = "rcpt.role == ''"
score = 0.5
"#;

fn outcomes(record: &Record) -> Vec<(&str, Stage, Outcome)> {
    record.rules.iter().map(|rule| (rule.name.as_str(), rule.at, rule.outcome)).collect()
}

const ALL: [(&str, Stage, Outcome); 3] = [
    ("of-connect", Stage::Connect, Outcome::Scored),
    ("of-mail", Stage::Mail, Outcome::Observed),
    ("of-rcpt", Stage::Rcpt, Outcome::Scored),
];

#[test]
fn rules_stand_in_the_record_of_a_transaction_without_a_message() {
    for (number, ending) in ["QUIT", "RSET", "EHLO client.example", "gone", "bare LF"].into_iter().enumerate() {
        let site = Site::judging(HEARD, crate::support::dns::Zone::new());
        let mut client = site.dial();
        client.begin("a@sender.example", &["alice@local.example", "bob@local.example"]);
        client.expect("RCPT TO:<nobody@local.example>", "550");
        match ending {
            "gone" => client.hang_up(),
            "bare LF" => {
                client.expect("DATA", "354");
                client.send(b"Subject: x\r\n\r\nbare\nLF\r\n.\r\n");
                client.reply().is("550 5.6.0");
            }
            verb => drop(client.say(verb)),
        }
        let record = site.records(1).pop().unwrap();
        assert_eq!(outcomes(&record), ALL, "{ending}");
        assert!((record.facts.score - 1.5).abs() < 1e-9, "{ending}: {}", record.facts.score);
        let (stage, action) = if number == 4 { (Stage::Data, Action::Reject) } else { (Stage::Rcpt, Action::Accept) };
        assert_eq!((record.stage, record.decision.action, record.decision.rule.as_str()), (stage, action, ""));
        for (rule, _, outcome) in ALL {
            // both recipients have one standing
            assert_eq!(site.metric("gatepost_rules_total", &[rule, outcome.as_str()]), 1.0, "{ending}: {rule}");
        }
    }
}

#[test]
fn rules_of_every_policy_are_counted_where_no_message_comes() {
    let site = Site::start(Setup {
        policy: OPEN,
        domains: "[domains.\"local.example\"]\nmailboxes = [\"alice\", \"bob\"]\n\
                  [domains.\"local.example\".mailbox.\"bob\"]\npolicy = \"heard.toml\"\n",
        files: &[("heard.toml", HEARD)],
        ..Setup::default()
    });
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example", "bob@local.example"]);
    client.expect("QUIT", "221");
    let record = site.records(1).pop().unwrap();
    assert_eq!(outcomes(&record), [], "the record tells of the first");
    assert_eq!(record.facts.score, 0.0);
    for (rule, _, outcome) in ALL {
        assert_eq!(site.metric("gatepost_rules_total", &[rule, outcome.as_str()]), 1.0, "{rule}");
    }
}

#[test]
fn a_rehearsal_without_a_message_tells_the_rules() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("heard.toml"), HEARD).unwrap();
    let text = "hostname = \"mx.local.example\"\n[dns]\nservers = [\"127.0.0.1:1\"]\n[policy]\nfile = \"heard.toml\"\n\
                [domains.\"local.example\"]\nmailboxes = [\"alice\", \"postmaster\"]\n";
    std::fs::write(directory.path().join("gatepost.toml"), text).unwrap();
    let tried = |more: &[&str]| {
        let words = ["try", "--config", "gatepost.toml", "--ip", "127.0.0.1", "--mail-from", "a@sender.example"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(words).args(["--rcpt", "alice@local.example"]).args(more).current_dir(directory.path());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let record: Record = serde_json::from_str(&tried(&["--json"])).unwrap();
    assert_eq!(outcomes(&record), ALL);
    assert!((record.facts.score - 1.5).abs() < 1e-9, "{}", record.facts.score);
    let told = tried(&[]);
    assert!(ALL.iter().all(|(rule, _, _)| told.contains(rule)), "{told}");
}
