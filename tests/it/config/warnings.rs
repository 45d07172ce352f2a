//! What can be served and makes little sense, and what can't work on this machine.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use gatepost::config::value::{parse_duration, parse_size, written_duration, written_size};
use tempfile::TempDir;

use super::{DOMAIN, TOP, parsed};

/// The headlines of the warnings of a text in front of the domain.
#[track_caller]
fn check(middle: &str, expected: &[&str]) {
    let config = parsed(&format!("{TOP}{middle}\n{DOMAIN}"));
    assert_eq!(config.warnings.headlines(100), expected, "of:\n{middle}");
}

#[test]
fn a_quota_below_the_largest_message_is_warned_of() {
    check("", &[]);
    check("maildir.quota = '50 MB'", &[]);
    check("maildir.quota = 0", &[]);
    let mend = "(make it larger, or lower limits.message: larger messages never fit, and senders that declare no SIZE are asked to send \
                this mailbox's copies by themselves)";
    check(
        "maildir.quota = '20 MB'",
        &[&format!("g.toml:2:17: maildir.quota: is smaller than limits.message (50 MB) {mend}")],
    );
    check("maildir.quota = '20 MB'\nlimits.message = '20 MB'", &[]);
    let config = parsed(&format!("{TOP}{DOMAIN}quota = '1 MB'\nmailbox.bob.quota = '2 MB'\n"));
    let keys: Vec<&str> = config.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["domains.\"example.com\".quota", "domains.\"example.com\".mailbox.bob.quota"]);
}

#[test]
fn directories_and_connections_that_make_little_sense_are_warned_of() {
    check(
        "state.directory = '/var/lib/gatepost/journal/'",
        &[
            "g.toml:2:19: state.directory: is journal.directory: the journal's files are not alone there (give each a directory of its own)",
        ],
    );
    check("state.directory = 'x'\njournal.directory = 'y'", &[]);
    let all = "limits.connections_per_address: is greater than limits.connections: one address can take every place (lower it, or raise \
               limits.connections)";
    check("limits.connections = 20", &[&format!("g.toml:2:22: {all}")]);
    check("[limits]\nconnections = 40\nconnections_per_address = 41", &[&format!("g.toml:4:27: {all}")]);
    check("[limits]\nconnections = 40\nconnections_per_address = 40", &[]);
}

/// What `config check` says of these lines: the exit code and standard error.
fn config_check(directory: &TempDir, lines: &str) -> (Option<i32>, String) {
    let text = format!(
        "{TOP}{lines}\n[smtp]\nlisten = ['127.0.0.1:2525']\n{}{DOMAIN}",
        if lines.contains("maildir") { "" } else { "[maildir]\nroot = '.'\n" }
    );
    let file = directory.path().join("g.toml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.args(["config", "check"]).arg(&file).stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap().replace(&directory.path().display().to_string(), "DIR");
    (output.status.code(), err)
}

#[test]
fn the_directory_of_the_handover_must_be_there_and_closed_to_others() {
    let directory = TempDir::new().unwrap();
    let (code, err) = config_check(&directory, "security.handover = 'run/handover.sock'");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.starts_with("DIR/g.toml:2:21: security.handover: the directory \"DIR/run\" does not exist\n"), "{err}");
    assert!(err.contains("mend: give the socket a directory of its own: 0700, owned by security.user"), "{err}");
    let run = directory.path().join("run");
    fs::create_dir(&run).unwrap();
    for (mode, warned) in [(0o755, true), (0o710, true), (0o700, false)] {
        fs::set_permissions(&run, Permissions::from_mode(mode)).unwrap();
        let (code, err) = config_check(&directory, "security.handover = 'run/handover.sock'");
        assert_eq!(code, Some(0), "{err}");
        let warning =
            format!("warning: DIR/g.toml:2:21: security.handover: others may enter \"DIR/run\" (mode {mode:04o})");
        assert_eq!(err.contains(&warning), warned, "{err}");
    }
}

#[test]
fn a_maildir_root_that_is_not_there_is_remarked_on() {
    let directory = TempDir::new().unwrap();
    let (code, err) = config_check(&directory, "maildir.root = 'deep/mail'");
    assert_eq!(code, Some(0), "{err}");
    let remark = "gatepost: remark: DIR/g.toml:2:16: maildir.root: \"DIR/deep/mail\" does not exist yet: it will be made when the server starts\n";
    assert_eq!(err, remark);
    fs::create_dir_all(directory.path().join("deep/mail")).unwrap();
    assert_eq!(config_check(&directory, "maildir.root = 'deep/mail'"), (Some(0), String::new()));
}

#[test]
fn sizes_and_times_are_written_as_they_are_read() {
    for text in ["64 KiB", "50 MB", "2 GB", "1000 TB", "999 bytes", "1 byte", "0 bytes", "1500 kB"] {
        let number = parse_size(text.trim_end_matches(" bytes").trim_end_matches(" byte")).unwrap();
        assert_eq!(written_size(number), text);
    }
    for text in ["1s", "90s", "5min", "36h", "14d", "0s"] {
        assert_eq!(written_duration(parse_duration(text).unwrap()), text);
    }
}
