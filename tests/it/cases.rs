//! `gatepost policy test --cases`: messages with envelope and DNS, through the stages; known forwarders; the ten tasks of the page.

use std::path::Path;
use std::process::Command;

use crate::policy::{good, shipped_policies};

/// Runs `gatepost` in the repository: exit code, standard output, standard error.
fn gatepost(words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn test_with(policy: &Path, cases: &Path) -> (Option<i32>, String, String) {
    gatepost(&["policy", "test", policy.to_str().unwrap(), "--cases", cases.to_str().unwrap()])
}

const CASES: &str = "testdata/cases";
const DEFAULT: &str = include_str!("../../policies/default.toml");

/// A folder with one case: the files of one of ours, of which some are changed.
fn one_case(of: &str, change: impl Fn(&str, String) -> String) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("cases").join(of);
    std::fs::create_dir_all(&to).unwrap();
    for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join(CASES).join(of).read_dir().unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        std::fs::write(to.join(&name), change(&name, std::fs::read_to_string(entry.path()).unwrap())).unwrap();
    }
    directory
}

#[test]
fn the_shipped_cases_pass_under_the_default_policy_and_no_rule_is_left_out() {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join(CASES).read_dir().unwrap();
    let cases = folders.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    let (code, said, complained) = gatepost(&["policy", "test", "policies/default.toml", "--cases", CASES]);
    assert_eq!((code, complained.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains(&format!(" and {cases} cases, none failed\n")), "{said}");
    assert!(said.contains("ok      forged-bank: a bank that somebody's machine"), "{said}");
    assert!(!said.contains("note") && !said.contains("FAILED"), "{said}");
}

#[test]
fn the_tests_of_every_shipped_policy_leave_no_rule_out() {
    for name in ["default", "strict", "monitor", "greylist"] {
        let (code, said, complained) = gatepost(&["policy", "test", &format!("policies/{name}.toml")]);
        assert_eq!((code, complained.as_str()), (Some(0), ""), "{name}: {said}");
        assert!(said.contains("none failed") && !said.contains("note"), "{name}: {said}");
    }
}

/// The same message is refused from a forwarder that nobody knows (a shipped case) and taken from one that is named, and the record
/// says which rules that held back.
#[test]
fn a_known_forwarder_is_excepted_by_name_network_or_not_at_all() {
    let excepted = |name: &str, text: String| match name {
        "case.toml" => text
            .replace("action   = \"reject\"", "action   = \"accept\"")
            .replace("rule     = \"dmarc-reject\"", "rule     = \"\"")
            .replace(
                "excepted = []",
                "excepted = [\"dmarc-reject\", \"dmarc-quarantine\", \"spf-fail\", \"reverse-mx-fail\"]",
            ),
        _ => text,
    };
    for (entry, known) in [
        ("mx.uni.example", true),
        (".uni.example", true),
        ("198.51.100.0/24", true),
        ("mail.bank.example", false),
        ("203.0.113.0/24", false),
    ] {
        let directory = one_case("forwarded-bank", |name, text| if known { excepted(name, text) } else { text });
        let policy = directory.path().join("policy.toml");
        std::fs::write(&policy, DEFAULT.replace("\nforwarders = []", &format!("\nforwarders = [\"{entry}\"]")))
            .unwrap();
        let (code, said, complained) = test_with(&policy, &directory.path().join("cases"));
        assert_eq!((code, complained.as_str()), (Some(0), ""), "{entry}: {said}");
        assert!(said.contains(" and 1 case, none failed"), "{entry}: {said}");
    }
}

/// A name that leads nowhere is only claimed.
#[test]
fn a_forwarder_whose_reverse_name_does_not_lead_back_is_not_known() {
    let directory = one_case("forwarded-bank", |name, text| match name {
        "zone.toml" => text.replace("\"mx.uni.example\"      = { A = [\"198.51.100.7\"] }", ""),
        _ => text.replace("\"client.name\" = \"mx.uni.example\"", "\"client.name\" = \"\""),
    });
    let policy = directory.path().join("policy.toml");
    std::fs::write(&policy, DEFAULT.replace("\nforwarders = []", "\nforwarders = [\"mx.uni.example\"]")).unwrap();
    let (code, said, _) = test_with(&policy, &directory.path().join("cases"));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn every_shipped_policy_excepts_known_forwarders_wherever_it_looks_at_spf_or_dmarc() {
    for (name, policy) in shipped_policies() {
        let text = policy.source().text.parse::<toml::Table>().unwrap();
        let mut held = 0;
        for rule in text["rule"].as_array().unwrap() {
            let when = rule["when"].as_str().unwrap();
            let broken = ["dmarc.result ==", "spf.mail_from.result == 'fail'", "reverse_mx.mail_from.result == 'fail'"];
            let looks = broken.iter().any(|fact| when.contains(fact));
            let except = rule.get("except").and_then(toml::Value::as_str);
            assert_eq!(except, looks.then_some("forwarded_by(lists.forwarders)"), "{name}: {rule:?}");
            held += usize::from(looks);
        }
        assert!(held >= 7, "{name}: {held}");
    }
}

#[test]
fn a_case_that_fails_says_what_was_expected_and_what_was_got_and_exits_1() {
    let directory = one_case("forged-bank", |name, text| match name {
        "case.toml" => text
            .replace("\"reject\"\nrule", "\"accept\"\nrule")
            .replace("550 5.7.1 bank", "550 5.7.1 blank")
            .replace("\"spf.mail_from.result\" = \"fail\"", "\"spf.mail_from.result\" = \"softfail\"")
            .replace("[expect]\n", "[expect]\nscore = 4\nfolder = \"Junk\"\nobserved = [\"spf-fail\"]\n"),
        _ => text,
    });
    let (code, said, complained) = test_with(Path::new("policies/default.toml"), &directory.path().join("cases"));
    assert_eq!((code, complained.as_str()), (Some(1), ""), "{said}");
    for (what, expected, got) in [
        ("action", "accept", "reject"),
        (
            "reply",
            "\"550 5.7.1 blank.example asks receivers to refuse mail that fails DMARC\"",
            "\"550 5.7.1 bank.example asks",
        ),
        ("spf.mail_from.result", "'softfail'", "'fail'"),
        ("score", "4", "0"),
        ("folder", "\"Junk\"", "none"),
        ("observed", "\"spf-fail\"", "none"),
    ] {
        let (first, rest) = said
            .split_once(&format!("        {what}: expected {expected}\n"))
            .unwrap_or_else(|| panic!("{what}: {said}"));
        assert!(rest.trim_start().starts_with(&format!("got      {got}")), "{what}: {rest}");
        assert!(first.contains("FAILED  forged-bank"), "{said}");
    }
    assert_eq!(said.matches(": expected ").count(), 6, "{said}");
    assert!(said.ends_with(" and 1 case, 1 failed\n"), "{said}");
}

#[test]
fn bad_files_of_cases_are_told_all_at_once_each_at_its_place() {
    let directory = one_case("forged-bank", |name, text| match name {
        "case.toml" => text
            .replace("192.0.2.66\"\nhelo", "192.0.2.666\"\nhelo")
            .replace("rcpt        =", "rcptt       =")
            .replace("\"dmarc-reject\"", "\"dmarc-rejct\"")
            .replace("2026-03-01T12:00:00Z", "noon")
            .replace("\"dmarc.policy\"         = \"reject\"", "\"dmarc.policy\" = \"rejekt\"\n\"dmarc.polly\" = \"x\""),
        "zone.toml" => text
            .replace("10 mail.bank.example", "ten mail.bank.example")
            .replace("A = [\"192.0.2.25\"]", "A = [\"192.0.2.256\"]")
            .replace("TXT = [\"v=DMARC1; p=reject\"]", "TEXT = [\"v=DMARC1; p=reject\"]"),
        _ => text,
    });
    let other = directory.path().join("cases/without-files");
    std::fs::create_dir(&other).unwrap();
    let (code, said, complained) = test_with(Path::new("policies/default.toml"), &directory.path().join("cases"));
    assert_eq!((code, said.as_str()), (Some(2), ""), "{complained}");
    for told in [
        "case.toml:2:15: client: this is not an IP address",
        "case.toml:5:1: rcptt: this key is not known",
        "did you mean \"rcpt\"?",
        "rcpt is missing",
        "case.toml:6:15: time: this is not a time such as",
        "did you mean \"dmarc-reject\"?",
        "did you mean \"reject\"?",
        "did you mean \"dmarc.policy\"?",
        "zone.toml:1:33: bank.example.MX: this is no MX record",
        "zone.toml:2:32: mail.bank.example.A: this is no A record",
        "did you mean \"TXT\"?",
        "without-files/case.toml",
    ] {
        assert!(complained.contains(told), "{told}\n{complained}");
    }
    let (code, _, complained) = test_with(Path::new("policies/default.toml"), Path::new("/nonexistent"));
    assert!(code == Some(2) && complained.contains("the cases cannot be read"), "{complained}");
}

/// What neither kind of test holds both ways is named, and what one kind lacks the other can give.
#[test]
fn coverage_is_over_tests_and_cases_together() {
    let directory = one_case("forged-bank", |name, text| match name {
        "case.toml" => {
            let head = text.split("[expect]").next().unwrap().replace("12:00:00Z", "03:30:00+02:00");
            format!("{head}[expect]\naction = \"quarantine\"\nrule = \"night\"\nfacts = {{ \"clock.hour\" = 3 }}\n")
        }
        _ => text,
    });
    let rule = |name: &str, when: &str| {
        format!("[[rule]]\nname = \"{name}\"\nat = \"data\"\nwhen = \"{when}\"\naction = \"quarantine\"\n")
    };
    let tests = "[[test]]\nname = \"by day\"\ngiven = { \"clock.hour\" = 12 }\nexpect = { action = \"accept\" }\n";
    let policy = directory.path().join("policy.toml");
    let rules =
        [rule("big", "message.bytes > 1000000"), rule("night", "clock.hour < 6"), rule("late", "clock.hour > 22")];
    std::fs::write(&policy, format!("{}{tests}", rules.concat())).unwrap();
    let (code, said, complained) = test_with(&policy, &directory.path().join("cases"));
    assert_eq!((code, complained.as_str()), (Some(0), ""), "{said}");
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note")).collect();
    let wanted = ["note    rule \"big\": no test makes it match", "note    rule \"late\": no test makes it match"];
    assert_eq!(notes, wanted, "night is held by a test one way and by a case the other");
    assert!(said.ends_with("1 test and 1 case, none failed\n"), "{said}");
}

/// What is remembered of earlier mail, and what block lists say, a case gives itself.
#[test]
fn a_case_gives_what_is_remembered_and_what_block_lists_say() {
    let rules = "[[rule]]\nname = \"stranger\"\nat = \"rcpt\"\nwhen = \"!block_lists['zen.example'].listed\"\naction = \"greylist\"\n\
        [[rule]]\nname = \"often\"\nat = \"data\"\nwhen = \"rate('client', '10m') > 5 && rate('from.domain', '1h') == 2\"\naction = \"quarantine\"\n\
        [[rule]]\nname = \"listed\"\nat = \"data\"\nwhen = \"block_lists['zen.example'].listed\"\naction = \"reject\"\n";
    let config = "hostname = 'mx.example.com'\n[smtp]\npostmaster = 'alice@example.com'\n[domains.'example.com']\nmailboxes = ['alice']\n\
        [policy]\nfile = 'policy.toml'\n[[block_lists]]\nzone = 'zen.example'\nkind = 'address'\n";
    let listed = "\"66.2.0.192.zen.example\" = { A = [\"127.0.0.2\"] }\n";
    for (given, zone, action, rule) in [
        ("", "", "accept", ""),
        ("given = { \"greylist.result\" = \"new\", \"greylist.wait\" = 300 }", "", "defer", "stranger"),
        ("given = { greylist.result = \"pass\", greylist.key = \"network\" }", "", "accept", ""),
        ("given = { \"rate('client', '10m')\" = 6, rates.\"from.domain/1h\" = 2 }", "", "quarantine", "often"),
        ("given = { \"rate('client', '10m')\" = 6 }", "", "accept", ""),
        ("given = { \"greylist.result\" = \"new\" }", listed, "reject", "listed"),
    ] {
        let directory = one_case("forged-bank", |name, text| match name {
            "case.toml" => {
                let head = text.split("[expect]").next().unwrap();
                format!("{head}{given}\n[expect]\naction = \"{action}\"\nrule = \"{rule}\"\n")
            }
            "zone.toml" => text + zone,
            _ => text,
        });
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("policy.toml"), rules).unwrap();
        std::fs::write(path("gatepost.toml"), config).unwrap();
        let words =
            ["policy", "test", &path("policy.toml"), "--cases", &path("cases"), "--config", &path("gatepost.toml")];
        let (code, said, complained) = gatepost(&words);
        assert_eq!((code, complained.as_str()), (Some(0), ""), "{given}: {said}");
    }
}

#[test]
fn what_a_case_can_t_give_is_told_at_its_place() {
    let given = "given = { \"greylist.result\" = \"knew\", \"greylist.wait\" = -1, \"rate('clint', '10m')\" = 1, \"rate('client', '10m')\" = -1, \"dmarc.result\" = \"pass\" }\n[expect]";
    let directory = one_case("forged-bank", |name, text| match name {
        "case.toml" => text.replace("\n[expect]", given),
        _ => text,
    });
    let (code, _, complained) = test_with(Path::new("policies/default.toml"), &directory.path().join("cases"));
    assert_eq!(code, Some(2), "{complained}");
    for told in [
        "did you mean \"new\"?",
        "greylist.wait is never below 0",
        "did you mean 'client'?",
        "the rate client/10m is a count",
        "a case gives no dmarc.result: it is found out",
    ] {
        assert!(complained.contains(told), "{told}: {complained}");
    }
    assert!(complained.contains("case.toml:7:11: given: ") && complained.ends_with("5 problems\n"), "{complained}");
}

#[test]
fn programs_get_what_came_of_tests_and_cases() {
    let directory = one_case("forged-bank", |name, text| match name {
        "case.toml" => text.replace("\"reject\"\nrule", "\"accept\"\nrule"),
        _ => text,
    });
    let policy = directory.path().join("policy.toml");
    let test = "[[test]]\nname = \"it refuses\"\nexpect = { action = \"reject\" }\n";
    std::fs::write(&policy, format!("{DEFAULT}\n{test}")).unwrap();
    let cases = directory.path().join("cases");
    let words = ["policy", "test", policy.to_str().unwrap(), "--cases", cases.to_str().unwrap(), "--json"];
    let (code, said, complained) = gatepost(&words);
    assert_eq!((code, complained.as_str()), (Some(1), ""), "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&report["passed"], &report["uncovered"]), (&false.into(), &serde_json::json!([])));
    let tests = report["tests"].as_array().unwrap();
    let failed: Vec<_> = tests.iter().filter(|test| test["passed"] == false).collect();
    assert!(tests.len() > 20 && failed.len() == 1, "{failed:?}");
    assert_eq!((&failed[0]["name"], &failed[0]["expected"]), (&"it refuses".into(), &"reject".into()));
    assert_eq!(failed[0]["got"], "accept, by no rule");
    let case = &report["cases"][0];
    assert_eq!((&case["name"], &case["passed"]), (&"forged-bank".into(), &false.into()));
    let difference = serde_json::json!({ "what": "action", "expected": "accept", "got": "reject" });
    assert_eq!(case["differences"], serde_json::json!([difference]));
    let (code, said, _) = gatepost(&["policy", "test", "policies/greylist.toml", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["passed"], &report["cases"]), (Some(0), &true.into(), &serde_json::json!([])));
}

// The page

const PAGE: &str = include_str!("../../docs/policy.md");

#[test]
fn each_of_the_ten_tasks_of_the_page_is_held_both_ways_by_its_own_tests() {
    let mut blocks = 0;
    for section in PAGE.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap();
        for block in section.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)) {
            blocks += 1;
            assert!(title.starts_with(&format!("{blocks}. ")), "a block each: {title}");
            let report = good(block).run_tests();
            assert!(report.passed() && report.tests.len() >= 2, "{title}");
            assert_eq!(report.uncovered, [], "{title}");
        }
    }
    assert_eq!(blocks, 10);
}

/// The indented lines that follow a line of the page.
fn example(after: &str) -> String {
    let (_, rest) = PAGE.split_once(after).unwrap_or_else(|| panic!("{after}"));
    let lines = rest.lines().skip_while(|line| !line.starts_with("    "));
    let lines = lines.take_while(|line| line.starts_with("    "));
    lines.map(|line| format!("{}\n", &line[4..])).collect()
}

#[test]
fn the_case_of_the_page_passes() {
    let directory = one_case("forged-bank", |name, text| match name {
        "case.toml" => example("\n`case.toml`:\n"),
        "zone.toml" => example("\n`zone.toml` has an owner name"),
        _ => text,
    });
    let (code, said, complained) = test_with(Path::new("policies/default.toml"), &directory.path().join("cases"));
    assert_eq!((code, complained.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("ok      forged-bank: a forged bank is refused"), "{said}");
}

// Failing tests stop a load; tests/it/server/reload.rs has the reload

#[test]
fn a_server_does_not_start_with_a_policy_whose_test_fails() {
    let directory = tempfile::tempdir().unwrap();
    let test = "[[test]]\nname = \"it refuses\"\nexpect = { action = \"reject\" }\n";
    std::fs::write(directory.path().join("policy.toml"), test).unwrap();
    let config = directory.path().join("gatepost.toml");
    let text = "hostname = \"mx.example.com\"\n[smtp]\nlisten = [\"127.0.0.1:0\"]\npostmaster = \"alice@example.com\"\n\
                [maildir]\nroot = \"mail\"\n[domains.\"example.com\"]\nmailboxes = [\"alice\"]\n[policy]\nfile = \"policy.toml\"\n\
                [http]\nlisten = \"127.0.0.1:0\"\n[journal]\ndirectory = \"journal\"\n[state]\ndirectory = \"state\"\n";
    std::fs::write(&config, text).unwrap();
    let (code, said, complained) = gatepost(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!((code, said.as_str()), (Some(2), ""), "{complained}");
    assert!(
        complained.contains("policy.toml:1:1: test \"it refuses\": the test fails: expected reject"),
        "{complained}"
    );
}

#[test]
fn a_test_that_gives_a_list_that_is_not_there_or_bad_entries_is_told() {
    let rule = "[lists]\nforwarders = []\n[[rule]]\nname = \"x\"\nat = \"data\"\nwhen = \"client.name in lists.forwarders\"\nscore = 1\n";
    for (given, told) in [
        ("\"lists.forwardrs\" = [\"a.example\"]", "did you mean \"lists.forwarders\"?"),
        ("\"lists.forwarders\" = \"a.example\"", "a test gives a list's entries"),
        ("\"lists.forwarders\" = [\"a b\"]", "neither a domain"),
        ("\"lists.forwarders\" = [7]", "an entry is a string"),
    ] {
        let test = format!("[[test]]\nname = \"t\"\ngiven = {{ {given} }}\nexpect = {{ score = 0 }}\n");
        let problems = crate::policy::load(&format!("{rule}{test}")).expect_err(given).render(false);
        assert!(problems.contains(told) && problems.contains("policy.toml:10:"), "{problems}");
    }
    let test = "[[test]]\nname = \"t\"\ngiven = { \"client.name\" = \"mx.a.example\", lists.forwarders = [\".a.example\"] }\nexpect = { score = 1 }\n";
    good(&format!("{rule}{test}"));
}
