//! `gatepost policy replay` and `gatepost policy forwarders`, the program itself, over journals on disk.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost::facts::word::{Action, DmarcPolicy};
use serde_json::Value as Json;

use super::{REJECT, honest, json, rule};
use crate::support::dns::Zone;
use crate::support::journal_lines::{self, POLICY, decided, record, reference, unaligned};
use crate::support::site::{Site, message};

/// Runs it and gives its exit code, standard output and standard error.
fn gatepost(directory: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.args(words).current_dir(directory).stdin(Stdio::null()).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn fine(directory: &Path, words: &[&str]) -> String {
    let (code, out, err) = gatepost(directory, words);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{words:?}: {out}");
    out
}

#[track_caller]
fn report(directory: &Path, words: &[&str]) -> Json {
    serde_json::from_str(&fine(directory, &[words, &["--json"]].concat())).unwrap()
}

/// A directory with a journal of so many made-up lines and one that is torn, and a policy of these rules.
fn journal(lines: u64, rules: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let text: String = (0..lines).map(|number| journal_lines::line(number) + "\n").collect();
    fs::write(directory.path().join("2026-11-22.jsonl"), text + "{\"v\":1,\"re").unwrap();
    fs::write(directory.path().join("new.toml"), format!("description = \"new\"\n{rules}")).unwrap();
    directory
}

#[test]
fn people_get_a_sentence_tables_and_refs() {
    let dmarc = rule("dmarc-reject", "data", "dmarc.result == 'fail' && dmarc.policy == 'reject'", REJECT)
        + &rule("dmarc-quarantine", "data", "dmarc.result == 'fail'", REJECT)
        + &rule("reverse-path-null-mx", "rcpt", "reverse_mx.mail_from.mx == 'null'", REJECT)
        + &rule("watch", "data", "iprev.result != 'pass'", &format!("{REJECT}\nobserve = true"))
        + &rule("busy", "data", "rate('client', '10m') > 1000", "score = 1.0");
    let directory = journal(2_000, &dmarc);
    let out = fine(directory.path(), &["policy", "replay", "new.toml", "2026-11-22.jsonl"]);
    let refs: Vec<String> = (190..200).rev().map(|n| reference(n * 10)).collect();
    for says in [
        "300 of 2,000 decisions would change.\n",
        "Compared with what was decided; records of all policies from 2026-11-01 to 2026-11-01.\n",
        "  COUNT  FROM        BY RULE               TO       BY RULE\n",
        "    100  quarantine  dmarc-quarantine      reject   dmarc-quarantine\n",
        "    100  accept      -                     reject   dmarc-quarantine\n",
        "    100  reject      reverse-path-null-mx  goes on  (to its message)\n",
        "authors sender",
        "clients out0.lists.example 34, out1.lists.example 33, out2.lists.example 33\n",
        "\nMost affected\n  author domains  sender",
        "\nRules that only observe would have acted\n  COUNT  RULE   AT    WOULD\n    100  watch  data  reject\n",
        "\nRules that hang on a fact which the record does not have: unknown\n  COUNT  RULE  AT\n",
        "note  200 decisions made without a rule (unknown mailbox, size, trouble of our own): that stays\n",
        "note  1 line passed over: torn, or not ours\n",
    ] {
        assert!(out.contains(says), "{says:?} is not in\n{out}");
    }
    assert!(out.contains(&format!("gatepost explain {}", reference(1_980))), "{} in\n{out}", refs.join(" "));
    assert!(!out.contains('\x1b'), "no colour where there is no terminal");
    // the same by another rule, and nothing at all
    let same = fine(directory.path(), &["policy", "replay", "new.toml", "--against", "new.toml", "2026-11-22.jsonl"]);
    assert!(
        same.starts_with("None of 2,000 decisions would change.\nCompared with what new.toml would have decided;"),
        "{same}"
    );
    fs::write(directory.path().join("empty.jsonl"), "").unwrap();
    let none = fine(directory.path(), &["policy", "replay", "new.toml", "empty.jsonl"]);
    assert!(none.starts_with("There is no decision to replay.\n"), "{none}");
}

#[test]
fn programs_get_it_all() {
    let directory = journal(2_000, &rule("dmarc", "data", "dmarc.result == 'fail' && dmarc.policy != 'none'", REJECT));
    let report = report(directory.path(), &["policy", "replay", "new.toml", "2026-11-22.jsonl"]);
    let number = |key: &str| report[key].as_u64().unwrap();
    assert_eq!((number("decisions"), number("changed"), number("unchanged")), (2_000, 200, 1_400));
    assert_eq!((number("by_another_rule"), number("without_rule"), number("skipped_lines")), (200, 200, 1));
    let sum = number("changed")
        + number("unchanged")
        + number("by_another_rule")
        + number("unknown")
        + number("without_rule");
    assert_eq!(sum, number("decisions"), "every decision is counted once");
    let change = &report["changes"][0];
    assert_eq!(change["count"], 100);
    assert_eq!(change["refs"].as_array().unwrap().len(), 10);
    let changes = report["changes"].as_array().unwrap();
    let quarantine = changes.iter().find(|change| change["from"]["action"] == "quarantine").unwrap();
    assert_eq!(quarantine["from"]["rule"], "dmarc-quarantine");
    assert_eq!(quarantine["to"], serde_json::json!({ "action": "reject", "rule": "dmarc" }));
    assert_eq!(quarantine["refs"][0], reference(1_980));
    assert_eq!((&report["approximate"], report["rules"][0]["matched"].as_u64()), (&Json::Bool(false), Some(300)));
}

#[test]
fn what_is_changed_of_the_copies_is_told_to_people_and_programs() {
    let directory =
        journal(0, &rule("tag", "data", "from.domain == 'sender.example'", "tag_subject = \"[EXTERNAL] \""));
    let mut honest = honest();
    honest.decision.changes = Some(Default::default());
    fs::write(directory.path().join("j"), json(&honest)).unwrap();
    let out = fine(directory.path(), &["policy", "replay", "new.toml", "j"]);
    let only = "1 of 1 decision would change, 1 of them only in folder, header, subject or mailbox.\n";
    assert!(out.starts_with(only) && out.contains("accept with tag \"[EXTERNAL] \""), "{out}");
    let report = report(directory.path(), &["policy", "replay", "new.toml", "j"]);
    assert_eq!((&report["changed"], &report["changed_copies_only"]), (&1.into(), &1.into()));
    let to = serde_json::json!({ "action": "accept", "rule": "", "changes": { "tag_subject": ["[EXTERNAL] "] } });
    assert_eq!((&report["changes"][0]["to"], &report["changes"][0]["from"]["changes"]), (&to, &Json::Null));
}

#[test]
fn files_that_can_not_be_used_exit_2_and_say_why() {
    let directory = journal(1, "");
    fs::write(directory.path().join("bad.toml"), "description = 1").unwrap();
    for (words, says) in [
        (&["policy", "replay", "gone.toml", "2026-11-22.jsonl"][..], "gone.toml"),
        (&["policy", "replay", "bad.toml", "2026-11-22.jsonl"], "bad.toml:1:15"),
        (&["policy", "replay", "new.toml", "--against", "bad.toml", "2026-11-22.jsonl"], "bad.toml:1:15"),
        (&["policy", "replay", "new.toml", "gone.jsonl"], "gone.jsonl cannot be read"),
        (&["policy", "replay", "new.toml", "."], ". cannot be read"),
        (&["policy", "replay", "new.toml"], "the journal in"),
        (&["policy", "replay", "new.toml", "--since", "soon"], "as 30d or 12h"),
        (&["policy", "forwarders", "gone.jsonl"], "gone.jsonl cannot be read"),
        (&["policy", "forwarders"], "name the configuration that says where the journal is: --config FILE"),
    ] {
        let (code, out, err) = gatepost(directory.path(), words);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{words:?}: {err}");
        assert!(err.contains(says), "{words:?}: {err}");
    }
}

/// A policy with rules at every stage.
const STAGES: &str = r#"
description = "something at every stage"
[[rule]]
name = "client-unwanted"
at = "connect"
when = "client.ip == '127.0.0.66'"
action = "reject"
[[rule]]
name = "postmaster-hears-all"
at = "rcpt"
when = "rcpt.role == 'postmaster'"
action = "accept"
[[rule]]
name = "bob-is-away"
at = "rcpt"
when = "rcpt.address == 'bob@local.example' && rcpt.domain == 'local.example'"
action = "defer"
[[rule]]
name = "no-reverse-name"
at = "mail"
when = "iprev.result != 'pass'"
score = 2.0
[[rule]]
name = "no-spf"
at = "data"
when = "spf.mail_from.result == 'none' && mail_from.domain == 'junk.example'"
score = 3.0
[[rule]]
name = "score-high"
at = "data"
when = "score >= 5.0"
action = "quarantine"
[[rule]]
name = "author-unwanted"
at = "data"
when = "from.domain == 'bad.example'"
action = "reject"
"#;

/// Sessions of many kinds over SMTP; then the journal is replayed.
fn site() -> Site {
    let site = Site::judging(STAGES, Zone::new());
    let say = |ip: [u8; 4], lines: &[&str]| {
        let mut client = site.dial_from(ip);
        client.say("EHLO client.example");
        lines.iter().for_each(|line| drop(client.say(line)));
        client
    };
    let home = [127, 0, 0, 1];
    for (from, to) in [("a@sender.example", "alice"), ("a@junk.example", "alice"), ("a@bad.example", "carol")] {
        let mut client = say(home, &[&format!("MAIL FROM:<{from}>"), &format!("RCPT TO:<{to}@local.example>")]);
        client.data(message(from));
    }
    let mail = "MAIL FROM:<a@sender.example>";
    let bob = "RCPT TO:<bob@local.example>";
    let alice = "RCPT TO:<alice@local.example>";
    let mut both = say(home, &[mail, alice, bob, "RCPT TO:<nobody@local.example>"]);
    both.data(message("a@sender.example"));
    let mut spared = say([127, 0, 0, 66], &[mail, alice, "RCPT TO:<postmaster>"]);
    spared.data(message("a@bad.example"));
    let early = [
        &[mail, bob, "RSET"][..],
        &[mail, alice, "RSET"],
        &[mail, "RSET"],
        &[mail, "RCPT TO:<x@abroad.example>", "RSET"],
    ];
    early.iter().for_each(|lines| drop(say(home, lines).say("QUIT")));
    say([127, 0, 0, 66], &[mail, alice, "RSET"]).say("QUIT");
    site.records(10);
    site
}

#[test]
fn the_same_policy_over_what_the_server_did_changes_nothing() {
    let site = site();
    let journal = site.path("journal");
    let day = fs::read_dir(&journal).unwrap().next().unwrap().unwrap().path();
    let words = ["policy", "replay", "policy.toml", day.to_str().unwrap()];
    let directory = site.path("policy.toml").parent().unwrap().to_path_buf();
    let same = report(&directory, &words);
    assert_eq!((same["decisions"].as_u64(), same["without_recipient"].as_u64()), (Some(9), Some(1)), "{same}");
    assert_eq!((same["unchanged"].as_u64(), same["without_rule"].as_u64()), (Some(8), Some(1)), "{same}");
    // and what changes is what was changed
    let other = STAGES.replace("bob@local.example", "carol@local.example").replace("bad.example", "none.example");
    fs::write(site.path("other.toml"), other).unwrap();
    let other = report(&directory, &["policy", "replay", "other.toml", day.to_str().unwrap()]);
    let mut changes: Vec<String> = other["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            format!("{} {} -> {}", change["count"], change["from"]["action"], change["to"]["action"]).replace('"', "")
        })
        .collect();
    changes.sort();
    // bob's beside alice, bob's alone, carol's
    assert_eq!(changes, ["1 defer -> accept", "1 defer -> goes on", "1 reject -> defer"], "{other}");
}

#[test]
fn the_configuration_names_the_journal_and_the_policy_that_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir_all(path("journal")).unwrap();
    let policies = ["policy.toml", "strict.toml"];
    policies.iter().for_each(|name| fs::write(path(name), "description = \"old\"\n").unwrap());
    fs::write(path("new.toml"), format!("description = \"new\"\n{}", rule("r", "data", "true", REJECT))).unwrap();
    let config = "hostname = \"mx.local.example\"\n[smtp]\nlisten = [\"127.0.0.1:0\"]\npostmaster = \"alice@local.example\"\n\
        [maildir]\nroot = \"mail\"\n[domains.\"local.example\"]\nmailboxes = [\"alice\"]\n\
        [domains.\"strict.example\"]\nmailboxes = [\"alice\"]\npolicy = \"strict.toml\"\n\
        [policy]\nfile = \"policy.toml\"\n[journal]\ndirectory = \"journal\"\n";
    fs::write(path("gatepost.toml"), config).unwrap();
    let of = |name: &str, number: u64, day: &str| {
        let mut record = record(number, "mx.sender.example", "sender.example");
        record.policy.file = name.into();
        record.time = format!("{day}T12:00:00.000Z");
        json(&record) + "\n"
    };
    fs::write(path("journal/2026-11-01.jsonl"), of("policy.toml", 1, "2026-11-01")).unwrap();
    fs::write(
        path("journal/2026-11-20.jsonl"),
        of("policy.toml", 2, "2026-11-20") + &of("strict.toml", 3, "2026-11-20"),
    )
    .unwrap();
    let counts = |words: &[&str]| {
        let report = report(directory.path(), &[&["policy", "replay"], words].concat());
        (report["changed"].as_u64().unwrap(), report["of_other_policies"].as_u64().unwrap())
    };
    assert_eq!(counts(&["new.toml"]), (2, 1), "the default policy's");
    assert_eq!(counts(&["new.toml", "--config", "gatepost.toml", "--since", "2026-11-20"]), (1, 1));
    assert_eq!(counts(&["new.toml", "--replaces", "strict.toml"]), (1, 2));
    assert_eq!(counts(&["new.toml", "--all"]), (3, 0));
    assert_eq!(counts(&["new.toml", "--against", "strict.toml"]), (1, 2), "the next version of that one");
    let out = fine(directory.path(), &["policy", "replay", "new.toml"]);
    assert!(
        out.contains("note  1 decision left out, made by other policies (strict.toml 1); --replaces FILE or --all"),
        "{out}"
    );
}

#[test]
fn a_policy_whose_tests_fail_is_replayed_and_that_is_said() {
    let failing = "[[test]]\nname = \"t\"\ngiven = {}\nexpect = { action = \"reject\" }\n";
    let directory = journal(20, failing);
    let out = fine(directory.path(), &["policy", "replay", "new.toml", "2026-11-22.jsonl"]);
    assert!(
        out.contains("note  1 test fails: the new policy would not be loaded; see gatepost policy test\n"),
        "{out}"
    );
}

#[test]
fn what_strangers_wrote_can_not_act_on_the_terminal() {
    let directory = journal(0, &rule("r", "data", "true", REJECT));
    let mut evil = honest();
    evil.facts.from.domain = "\x1b[2Jbank.example".into();
    evil.facts.client.name = "a\nb".into();
    evil.policy.file = POLICY.into();
    decided(&mut evil, Action::Quarantine, "\x1b]0;x\x07");
    fs::write(directory.path().join("j"), json(&evil)).unwrap();
    let out = fine(directory.path(), &["policy", "replay", "new.toml", "j"]);
    assert!(!out.contains('\x1b') && !out.contains('\x07') && out.contains("\\u{1b}[2Jbank.example"), "{out}");
}

/// A journal of one list with two hosts, a university that forwards, a provider's customers, and a host that forges one bank.
fn forwarding() -> tempfile::TempDir {
    let directory = journal(0, "");
    let mut lines = Vec::new();
    let mut failing = |client: &str, author: &str, signed: Option<&str>| {
        let mut record = record(lines.len() as u64 + 1, client, author);
        unaligned(&mut record, DmarcPolicy::Reject, signed);
        decided(&mut record, Action::Quarantine, "dmarc");
        lines.push(record);
    };
    for author in ["a.example", "b.example", "c.example"] {
        failing("out1.lists.example", author, Some("lists.example"));
        failing("out2.lists.example", author, Some("lists.example"));
    }
    for author in ["a.example", "d.example"] {
        failing("mail.univ.example", author, None);
        failing("vm1.provider.example", author, Some("customer1.example"));
        failing("vm2.provider.example", author, Some("customer2.example"));
    }
    failing("mx.evil.example", "bank.example", None);
    failing("mx.evil.example", "bank.example", None);
    let mut unconfirmed = lines[0].clone();
    unconfirmed.facts.iprev.result = gatepost::facts::word::IprevResult::Fail;
    unconfirmed.facts.client.name.clear();
    lines.push(unconfirmed);
    lines.push(honest());
    let text: String = lines.iter().map(|record| json(record) + "\n").collect();
    fs::write(directory.path().join("j"), text + "torn").unwrap();
    directory
}

#[test]
fn forwarders_are_proposed_with_what_was_seen_of_them() {
    let directory = forwarding();
    let out = fine(directory.path(), &["policy", "forwarders", "j"]);
    let expected = format!(
        "# 16 records in the journal; 14 messages of clients with a confirmed name failed DMARC.\n\
         # 1 passed over: torn, or not ours.\n\
         # Look at each before you take it over: a spammer can look like a forwarder.\n\
         [lists]\n\
         forwarders = [\n    \
             # 6 messages failed DMARC, of 3 author domains: a.example 2, b.example 2, c.example 2\n    \
             # DKIM passes of lists.example 6; decided: quarantine 6\n    \
             # hosts out1.lists.example out2.lists.example\n    \
             # gatepost explain {} {} {}\n    \
             \".lists.example\",\n    \
             # 2 messages failed DMARC, of 2 author domains: a.example 1, d.example 1\n    \
             # no DKIM signature passed; decided: quarantine 2\n    \
             # gatepost explain {} {}\n    \
             \"mail.univ.example\",\n",
        reference(6),
        reference(5),
        reference(4),
        reference(10),
        reference(7)
    );
    assert!(out.starts_with(&expected), "{out}");
    let hosts = ["\"vm1.provider.example\",\n", "\"vm2.provider.example\",\n"];
    assert!(hosts.iter().all(|host| out.contains(host)), "customers of a provider stay apart: {out}");
    assert!(!out.contains("evil") && out.ends_with("]\n"), "{out}");
    // what is printed is what a policy takes
    let text = format!(
        "description = \"x\"\n{out}{}",
        rule("r", "data", "client.name in lists.forwarders", "action = \"accept\"")
    );
    fs::write(directory.path().join("pasted.toml"), text).unwrap();
    fine(directory.path(), &["policy", "check", "pasted.toml"]);
}

#[test]
fn programs_get_the_proposals_too() {
    let directory = forwarding();
    let words = ["policy", "forwarders", "j", "--json"];
    let json: Json = serde_json::from_str(&fine(directory.path(), &words)).unwrap();
    let entries = |json: &Json| -> Vec<String> {
        json["proposals"].as_array().unwrap().iter().map(|one| one["entry"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(entries(&json), [".lists.example", "mail.univ.example", "vm1.provider.example", "vm2.provider.example"]);
    assert_eq!(json["proposals"][0]["decisions"], serde_json::json!({ "quarantine": 6 }));
    assert_eq!((&json["records"], &json["failing"], &json["skipped_lines"]), (&16.into(), &14.into(), &1.into()));
    let most = fine(directory.path(), &["policy", "forwarders", "j", "--json", "--domains", "3"]);
    assert_eq!(entries(&serde_json::from_str(&most).unwrap()), [".lists.example"]);
    let none = fine(directory.path(), &["policy", "forwarders", "j", "--domains", "9"]);
    assert!(none.contains("there is nothing to propose"), "{none}");
}
