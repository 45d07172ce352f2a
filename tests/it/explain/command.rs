//! `gatepost explain` as a command.

use super::*;

fn gatepost(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).current_dir(directory).output().unwrap()
}

fn check_exit(output: &Output, code: i32, complaint: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.as_str()), (Some(code), complaint));
}

#[test]
fn the_command_finds_the_journal_of_the_configuration() {
    let directory = TempDir::new().unwrap();
    let record = honest();
    let line = serde_json::to_string(&record).unwrap() + "\n";
    for journal in ["journal", "elsewhere/records"] {
        std::fs::create_dir_all(directory.path().join(journal)).unwrap();
    }
    let configuration = "hostname = \"mx.example.com\"\n[smtp]\nlisten = [\"127.0.0.1:2525\"]\n[maildir]\nroot = \"mail\"\n\
        [domains.\"example.com\"]\nmailboxes = [\"postmaster\"]\n[journal]\ndirectory = \"records\"\n";
    std::fs::write(directory.path().join("elsewhere/gatepost.toml"), configuration).unwrap();
    let file = "2026-11-22.jsonl";
    let typed = record.reference.to_lowercase();
    let with_config = ["explain", &typed, "--config", "elsewhere/gatepost.toml"];

    std::fs::write(directory.path().join("elsewhere/records").join(file), &line).unwrap();
    let output = gatepost(directory.path(), &with_config);
    check_exit(&output, 0, "");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), story(&record));
    check_exit(
        &gatepost(directory.path(), &["explain", &typed]),
        1,
        &format!("gatepost: {} is not in the journal in journal\n", record.reference),
    );

    std::fs::write(directory.path().join("journal").join(file), line.clone() + "{torn").unwrap();
    let output = gatepost(directory.path(), &["explain", &typed, "--json"]);
    check_exit(&output, 0, "");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), line);
    check_exit(
        &gatepost(directory.path(), &["explain", "06H05F87B4000002"]),
        1,
        "gatepost: 06H05F87B4000002 is not in the journal in journal, of which one line can't be read\n",
    );
}

#[test]
fn the_command_says_in_one_line_what_it_can_not_do() {
    let directory = TempDir::new().unwrap();
    check_exit(
        &gatepost(directory.path(), &["explain", "06H05F87B4000001"]),
        2,
        "gatepost: the journal in journal cannot be read: No such file or directory (os error 2); name the configuration that \
         says where the journal is: --config FILE\n",
    );
    check_exit(
        &gatepost(directory.path(), &["explain", "no\u{1b}[2Jref"]),
        1,
        "gatepost: \"no\\u{1b}[2Jref\" is neither a ref, which is 16 characters as in ref=01HV8K3M5QZ7W2XC, nor a Message-ID, \
         which has an @\n",
    );
}

#[test]
fn the_journal_is_read_while_other_parts_of_the_configuration_are_broken() {
    let directory = TempDir::new().unwrap();
    let record = honest();
    std::fs::create_dir(directory.path().join("records")).unwrap();
    let line = serde_json::to_string(&record).unwrap() + "\n";
    std::fs::write(directory.path().join("records/2026-11-22.jsonl"), &line).unwrap();
    let failing = "[[test]]\nname = 't'\nat = 'connect'\ngiven = {}\nexpect = { action = 'reject' }\n";
    std::fs::write(directory.path().join("failing.toml"), failing).unwrap();
    let write = |host: &str, more: &str, journal: &str| {
        let domain = "[domains.\"example.com\"]\nmailboxes = [\"postmaster\"]\n";
        let text = format!("hostname = \"{host}\"\n{more}\n{domain}{journal}\n");
        std::fs::write(directory.path().join("gatepost.toml"), text).unwrap();
    };
    let address = record.recipients[0].address.clone();
    let typed = record.reference.clone();
    let asked: &[&[&str]] = &[&["explain", &typed], &["search"], &["journal", "export", "--address", &address]];
    let records = "[journal]\ndirectory = \"records\"";
    for (host, more, count, them) in [
        ("not a host", "", "1 problem", "it"),
        ("mx.example.com", "smtp.tls.certificate = 'gone.pem'\nsmtp.tls.key = 'gone.key'", "2 problems", "them"),
        ("mx.example.com", "policy.file = 'failing.toml'", "1 problem", "it"),
        ("mx.example.com", "smpt.listen = []", "1 problem", "it"),
    ] {
        write(host, more, records);
        let warning = format!(
            "gatepost: warning: the configuration has {count}: gatepost config check gatepost.toml tells {them}\n"
        );
        for words in asked {
            let output = gatepost(directory.path(), words);
            let complaint = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{words:?}: {complaint}");
            assert!(complaint.starts_with(&warning) && !output.stdout.is_empty(), "{words:?}: {complaint}");
        }
        let output = gatepost(directory.path(), &["journal", "verify"]);
        check_exit(
            &output,
            1,
            &(warning + "gatepost: there is no audit in records: no server has started with this journal\n"),
        );
        let output = gatepost(directory.path(), &["config", "check", "gatepost.toml"]);
        assert!(String::from_utf8(output.stderr).unwrap().ends_with(&format!("{count}\n")));
    }
    // where the journal is can't be told: an error, as ever
    for (journal, cause) in [
        ("[journal]\ndirectory = 5", "journal.directory: must be a string, not an integer"),
        ("[jurnal]\ndirectory = \"records\"", "did you mean \"journal\"?"),
        ("[journal]\ndirectry = \"records\"", "did you mean \"directory\"?"),
        ("[journal]\ndirectory = \"records", "this is not TOML"),
    ] {
        write("mx.example.com", "", journal);
        let output = gatepost(directory.path(), &["explain", &typed]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains(cause) && !complaint.contains("warning"), "{complaint}");
    }
}
