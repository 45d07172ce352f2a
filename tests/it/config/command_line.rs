//! Tests of the command line: exit codes, complaints, help.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::{DOMAIN, TOP, testdata};

fn gatepost(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost")).args(words).stdin(Stdio::null()).output().unwrap()
}

/// Runs it and holds the exit code, and what standard output and standard error contain.
#[track_caller]
fn run(words: &[&str], code: i32, out: &str, err: &str) -> (String, String) {
    let output = gatepost(words);
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{words:?}\n{stdout}\n{stderr}");
    assert!(stdout.contains(out) && (!out.is_empty() || stdout.is_empty()), "{words:?} says {stdout:?}");
    assert!(stderr.contains(err) && (!err.is_empty() || stderr.is_empty()), "{words:?} complains {stderr:?}");
    (stdout, stderr)
}

#[test]
fn wrong_arguments_exit_2_with_one_line_that_says_where_help_is() {
    for (words, cause, help) in [
        (&[][..], "no command is given", "gatepost --help"),
        (&["bogus"], "'bogus'", "gatepost --help"),
        (&["demo", "--onc"], "'--once'", "gatepost demo --help"),
        (&["serve", "extra"], "'extra'", "gatepost serve --help"),
        (&["serve", "--config"], "'--config <FILE>'", "gatepost serve --help"),
        (&["try"], "--config <FILE> --ip <IP>", "gatepost try --help"),
        (&["try", "--config", "x", "--ip", "1.2.3"], "'1.2.3'", "gatepost try --help"),
        (&["explain"], "<REF|MESSAGE-ID>", "gatepost explain --help"),
        (&["config"], "no command is given", "gatepost config --help"),
        (&["config", "check"], "<FILE>", "gatepost config check --help"),
        (&["policy", "test", "a", "b"], "'b'", "gatepost policy test --help"),
        (&["facts", "--jsno"], "'--json'", "gatepost facts --help"),
        (&["a\n\n\x1b[31mb"], "unrecognized", "gatepost --help"),
    ] {
        let (_, stderr) = run(words, 2, "", cause);
        assert_eq!(stderr.matches('\n').count(), 1, "{stderr:?}");
        assert!(stderr.ends_with(&format!("; see {help}\n")) && !stderr.contains('\x1b'), "{stderr:?}");
    }
}

#[test]
fn help_says_what_each_command_does_with_an_example() {
    run(&["--version"], 0, env!("CARGO_PKG_VERSION"), "");
    run(&["--help"], 0, "Exit codes: 0 fine, 1 the check failed, 2 usage or configuration", "");
    for command in [
        "serve",
        "demo",
        "try",
        "explain",
        "config",
        "config check",
        "policy",
        "policy check",
        "policy test",
        "policy replay",
        "policy forwarders",
        "facts",
    ] {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.push("--help");
        let (stdout, _) = run(&words, 0, "Example", "");
        assert!(
            stdout.contains(&format!("  gatepost {command} ")) || stdout.contains(&format!("  gatepost {command}\n")),
            "{stdout}"
        );
        assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");
    }
}

/// A certificate and its key, as `NAME.chain.pem` and `NAME.key.pem`.
fn write_certificate(directory: &Path, name: &str) {
    let pair = rcgen::generate_simple_self_signed(vec!["mx1.example.com".to_owned()]).unwrap();
    std::fs::write(directory.join(format!("{name}.chain.pem")), pair.cert.pem()).unwrap();
    std::fs::write(directory.join(format!("{name}.key.pem")), pair.signing_key.serialize_pem()).unwrap();
}

/// The configuration with every key, and a certificate that is one.
fn every_key() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(testdata("every-key")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    std::fs::create_dir(directory.path().join("run")).unwrap();
    write_certificate(directory.path(), "its");
    for file in ["chain.pem", "key.pem"] {
        std::fs::rename(directory.path().join(format!("its.{file}")), directory.path().join(file)).unwrap();
    }
    directory
}

#[test]
fn config_check_exits_0_1_or_2() {
    let directory = every_key();
    let file = directory.path().join("gatepost.toml");
    let file = file.to_str().unwrap();
    run(&["config", "check", file], 0, "fine (2 domains, 4 mailboxes, 3 policies)", "warning: security.user");
    write_certificate(directory.path(), "other");
    std::fs::rename(directory.path().join("other.key.pem"), directory.path().join("key.pem")).unwrap();
    let (_, stderr) = run(&["config", "check", file], 1, "", "this key does not fit the certificate in");
    let (place, rest) = stderr.split_once(": smtp.tls.key: ").unwrap_or_else(|| panic!("{stderr}"));
    let (line, column) = place.strip_prefix(&format!("{file}:")).unwrap().split_once(':').unwrap();
    assert!(line.parse::<usize>().is_ok() && column.parse::<usize>().is_ok(), "{stderr}");
    assert!(rest.contains("mend: use the two that were issued together") && !rest.contains("KeyMismatch"), "{stderr}");
    std::fs::write(directory.path().join("chain.pem"), "no certificate").unwrap();
    run(&["config", "check", file], 1, "", "chain.pem: there is no certificate in PEM format");
    let expected = std::fs::read_to_string(testdata("five-mistakes/expected.txt")).unwrap();
    let (_, stderr) = run(&["config", "check", "testdata/configs/five-mistakes/gatepost.toml"], 1, "", "5 problems");
    assert_eq!(stderr, expected);
    run(&["config", "check", "/nowhere/gatepost.toml"], 2, "", "/nowhere/gatepost.toml: does not exist\n");
}

#[test]
fn policies_are_checked_and_tested() {
    run(&["policy", "check", "policies/default.toml"], 0, "\na careful operator of a small domain: ", "");
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name).display().to_string()
    };
    let rule = "description = 'x'\n[[rule]]\nname = 'named'\nat = 'connect'\nwhen = \"client.name == 'a.example'\"\naction = 'reject'\n";
    let test = |name: &str, action: &str| {
        format!(
            "[[test]]\nname = '{name}'\nat = 'connect'\ngiven = {{ 'client.name' = 'a.example' }}\nexpect = {{ action = '{action}' }}\n"
        )
    };
    let good = write("good.toml", &format!("{rule}{}", test("a is refused", "reject")));
    let failing =
        write("failing.toml", &format!("{rule}{}{}", test("a is refused", "reject"), test("a is taken", "accept")));
    let broken = write(
        "broken.toml",
        "description = 'x'\n[[rule]]\nname = 'b'\nat = 'connect'\nwhen = \"clint.name == ''\"\naction = 'reject'\n",
    );
    run(&["policy", "check", &good], 0, "fine (1 rule, 1 test passes)", "");
    run(&["policy", "check", &failing], 1, "", "1 problem");
    run(&["policy", "check", &broken], 1, "", "broken.toml:5:");
    run(&["policy", "check", "/nowhere/p.toml"], 2, "", "/nowhere/p.toml");
    run(&["policy", "test", &good], 0, "ok      a is refused\n", "");
    let (stdout, _) = run(&["policy", "test", &failing], 1, "FAILED  a is taken\n", "");
    assert!(stdout.contains("ok      a is refused\n") && stdout.ends_with("2 tests, 1 failed\n"), "{stdout}");
    run(&["policy", "test", &broken], 1, "", "broken.toml:5:");
    run(&["policy", "test", "/nowhere/p.toml"], 2, "", "/nowhere/p.toml");

    let empty = write("empty.toml", "description = 'x'\n");
    let says =
        "empty.toml:1:1: rule: the policy has no rules: all mail for a known mailbox is accepted (add a [[rule]], ";
    let (_, stderr) = run(&["policy", "check", &empty], 0, "fine (0 rules, 0 tests pass)", says);
    assert!(stderr.starts_with("gatepost: warning: ") && stderr.lines().count() == 1, "{stderr}");
    let without = write("without.toml", &format!("{TOP}[policy]\nfile = 'empty.toml'\n{DOMAIN}policy = 'good.toml'\n"));
    let (_, stderr) = run(&["config", "check", &without], 0, "fine (", says);
    assert_eq!(stderr.matches("has no rules").count(), 1, "{stderr}");

    let users = format!("{TOP}[policy]\nfile = 'good.toml'\n{DOMAIN}policy = 'failing.toml'\n");
    let users = write("users.toml", &users);
    run(&["policy", "check", &failing, "--config", &users], 1, "", "1 problem");
    let (_, stderr) = run(&["policy", "check", &good, "--config", &users], 2, "", "failing.toml:");
    assert!(!stderr.contains("good.toml:"), "{stderr}");
    let fine = write("fine.toml", &format!("{TOP}[policy]\nfile = 'good.toml'\n{DOMAIN}"));
    run(
        &["policy", "check", &good, "--config", &fine],
        0,
        "it decides for everyone without a policy of their own\n",
        "",
    );
    run(&["policy", "check", "policies/strict.toml", "--config", &fine], 0, "nobody uses it", "");
}

#[test]
fn block_lists_of_a_policy_are_those_of_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name).display().to_string()
    };
    let rule = |zone: &str| {
        format!(
            "[[rule]]\nname = 'l'\nat = 'connect'\nscore = 1\nwhen = \"block_lists['{zone}'].listed\"\n[[test]]\nname = 't'\n\
             at = 'connect'\ngiven = {{ block_lists.'{zone}'.listed = true }}\nexpect = {{ score = 1 }}\n"
        )
    };
    let good = write("good.toml", &rule("zen.example"));
    let bad = write("bad.toml", &rule("zem.example"));
    let list = "[[block_lists]]\nzone = 'zen.example'\nkind = 'address'\n";
    let config = |policy: &str| format!("{TOP}[policy]\nfile = '{policy}'\n{list}{DOMAIN}");
    let (with_good, with_bad) = (write("a.toml", &config("good.toml")), write("b.toml", &config("bad.toml")));
    for verb in ["check", "test"] {
        run(&["policy", verb, &good, "--config", &with_good], 0, "1", "");
        run(&["policy", verb, &good], 1, "", "mend: check the policy with --config gatepost.toml");
        // also where this very policy is what is wrong with the configuration
        run(&["policy", verb, &bad, "--config", &with_bad], 1, "", "did you mean 'zen.example'?");
    }
    run(&["config", "check", &with_bad], 1, "", "bad.toml:5:21: rule \"l\".when: the configuration has no block list");
}

#[test]
fn a_redirect_to_nobody_is_told_beside_all_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name).display().to_string()
    };
    let rule = |name: &str, rest: &str| format!("[[rule]]\nname = '{name}'\nat = 'data'\n{rest}\n");
    let dead = rule("r", "when = \"iprev.result == 'fail'\"\nredirect = 'nobody@elsewhere.example'");
    let wrong = rule("w", "when = \"iprev.result == 'failed'\"\nscore = 1");
    let config = |policy: &str| format!("{TOP}[policy]\nfile = '{policy}'\n{DOMAIN}");
    let (bad, worse) = (write("bad.toml", &dead), write("worse.toml", &(dead.clone() + &wrong)));
    let using = write("using.toml", &config("worse.toml"));
    let good = write("good.toml", &rule("g", "when = \"iprev.result == 'fail'\"\nscore = 1"));
    let not_using = write("other.toml", &config("good.toml"));
    let broken = write("broken.toml", &(config("worse.toml") + "\n[htp]\n"));
    let dead = "rule \"r\".redirect: \"nobody@elsewhere.example\" is of no domain here";
    let (_, err) = run(&["policy", "check", &bad, "--config", &not_using], 1, "", dead);
    assert!(err.ends_with("1 problem\n"), "{err}");
    for (config, code, count) in
        [(&using, 1, "2 problems\n"), (&not_using, 1, "2 problems\n"), (&broken, 2, "3 problems\n")]
    {
        let (_, err) = run(&["policy", "check", &worse, "--config", config], code, "", dead);
        assert!(err.contains("did you mean 'fail'?") && err.ends_with(count), "{config}: {err}");
    }
    let (_, err) = run(&["config", "check", &using], 1, "", dead);
    assert!(err.contains("did you mean 'fail'?") && err.ends_with("2 problems\n"), "{err}");
    run(&["policy", "check", &good, "--config", &not_using], 0, "fine", "");
}

#[test]
fn the_table_of_facts_has_each_fact_and_json_too() {
    let (table, _) = run(&["facts"], 0, "dmarc.result", "");
    let (json, _) = run(&["facts", "--json"], 0, "\"name\": \"dmarc.result\"", "");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(rows.len(), gatepost::facts::table::TABLE.len());
    let meaning = table.lines().next().unwrap().find("MEANING").unwrap();
    for row in rows {
        let name = row["name"].as_str().unwrap();
        let line =
            table.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no {name}"));
        let column = line.char_indices().nth(meaning).unwrap().0;
        assert!(line[column..].starts_with(row["meaning"].as_str().unwrap()), "{line}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["facts", "--json"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((status.status.code(), String::from_utf8_lossy(&status.stderr).as_ref()), (Some(0), ""));
}
