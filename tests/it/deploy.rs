//! What deploy/ ships is true: the example configuration names every key with its default, and the product takes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use gatepost::config::keys::{Absent, TABLE};

use crate::support::programs::{command, run, succeed};

const EXAMPLE: &str = include_str!("../../deploy/gatepost.toml");

/// The example with every key in force: what is commented out as `# key = value` or `# [section]` is taken in.
fn all_in_force(text: &str) -> String {
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let lines = text.lines().map(|line| {
        let Some(rest) = line.strip_prefix("# ") else { return line };
        let key = rest.split_once(" = ").is_some_and(|(name, _)| is_name(name));
        if key || (rest.starts_with('[') && rest.ends_with(']')) { rest } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What stands at a path; `*` goes through the first entry of a table or list.
fn value_at<'a>(mut value: &'a toml::Value, path: &str) -> Option<&'a toml::Value> {
    for part in path.split('.') {
        value = match (part, value) {
            ("*", toml::Value::Table(table)) => table.values().next()?,
            ("*", toml::Value::Array(list)) => list.first()?,
            (part, value) => value.get(part)?,
        };
    }
    Some(value)
}

#[test]
fn the_example_names_every_key_and_what_is_commented_out_is_the_default() {
    let parse = |text: &str| toml::Value::Table(text.parse().unwrap_or_else(|error| panic!("{error}")));
    let (all, active) = (parse(&all_in_force(EXAMPLE)), parse(EXAMPLE));
    let mut wrong = Vec::new();
    for key in TABLE {
        let Some(shown) = value_at(&all, key.path) else {
            wrong.push(format!("{} is not in deploy/gatepost.toml", key.path));
            continue;
        };
        let Absent::Default(default) = key.absent else { continue };
        let default = parse(&format!("default = {default}"));
        let is_default = Some(shown) == default.get("default");
        // an example shows names and files of its own where it has them in force, or where the default is to have none
        let own = value_at(&active, key.path).is_some()
            || matches!(default.get("default"), Some(toml::Value::Array(list)) if list.is_empty());
        if !is_default && !own {
            wrong.push(format!("{} is shown as {shown:?}, its default is {default:?}", key.path));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn check(config: &Path) {
    succeed(Command::new(env!("CARGO_BIN_EXE_gatepost")).args(["config", "check"]).arg(config));
}

#[test]
fn the_example_is_accepted_where_its_certificate_is() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(vec!["mx1.example.com".to_owned()]).unwrap();
    std::fs::write(directory.path().join("fullchain.pem"), certificate.cert.pem()).unwrap();
    std::fs::write(directory.path().join("key.pem"), certificate.signing_key.serialize_pem()).unwrap();
    let config = directory.path().join("gatepost.toml");
    std::fs::write(&config, EXAMPLE.replace("/etc/gatepost/tls/", "")).unwrap();
    check(&config);
}

#[test]
fn the_configuration_of_docker_compose_is_accepted() {
    check(&deploy().join("compose/gatepost.toml"));
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// The hook copies only our certificate, readable for the group alone.
#[test]
fn the_certbot_hook_copies_our_certificate_and_no_other() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("tls");
    for name in ["mx1.example.com", "www.example.com"] {
        let lineage = directory.path().join(name);
        std::fs::create_dir(&lineage).unwrap();
        std::fs::write(lineage.join("fullchain.pem"), format!("chain of {name}")).unwrap();
        std::fs::write(lineage.join("privkey.pem"), format!("key of {name}")).unwrap();
        let group = succeed(Command::new("id").arg("-gn"));
        let mut hook = Command::new("sh");
        hook.arg(deploy().join("certbot-hook")).env("RENEWED_LINEAGE", &lineage).env("GATEPOST_TLS", &to);
        // no systemd is asked: the test must not reload what runs on this machine
        succeed(hook.env("GATEPOST_GROUP", group.trim()).env("PATH", path_without_systemctl(directory.path())));
    }
    assert_eq!(std::fs::read_to_string(to.join("fullchain.pem")).unwrap(), "chain of mx1.example.com");
    assert_eq!(std::fs::read_to_string(to.join("key.pem")).unwrap(), "key of mx1.example.com");
    assert_eq!(std::fs::metadata(to.join("key.pem")).unwrap().permissions().mode() & 0o777, 0o640);
}

/// A directory with a `systemctl` that does nothing, in front of the PATH.
fn path_without_systemctl(directory: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    let bin = directory.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("systemctl"), "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(bin.join("systemctl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default())
}

const README: &str = include_str!("../../README.md");

#[test]
fn the_policy_in_the_readme_loads_and_its_tests_hold() {
    let (_, after) = README.split_once("    description = ").expect("the example is there");
    let whole = format!("    description = {after}");
    let block = whole.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let policy: Vec<&str> = block.map(|line| line.trim_start_matches("    ")).collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.toml");
    std::fs::write(&file, policy.join("\n")).unwrap();
    let said = succeed(Command::new(env!("CARGO_BIN_EXE_gatepost")).args(["policy", "test"]).arg(&file));
    assert!(said.contains("a forged bank is refused"), "{said}");
}

/// The pages' rules are copied: those that refuse leave postmaster and abuse in reach, as README asks for.
#[test]
fn the_rules_of_the_pages_that_refuse_spare_postmaster_and_abuse() {
    let mut seen = 0;
    for (name, page) in [
        ("README.md", README),
        ("docs/actions.md", include_str!("../../docs/actions.md")),
        ("docs/block-lists.md", include_str!("../../docs/block-lists.md")),
        ("docs/greylisting.md", include_str!("../../docs/greylisting.md")),
        ("docs/helo.md", include_str!("../../docs/helo.md")),
    ] {
        for rule in page.split("[[rule]]\n").skip(1).map(|rest| rest.split("\n\n").next().unwrap_or_default()) {
            if ["reject", "defer", "greylist"].iter().any(|action| rule.contains(&format!("= \"{action}\""))) {
                seen += 1;
                assert!(rule.contains("rcpt.role == ''"), "{name}: {rule}");
            }
        }
    }
    assert!(seen >= 6, "{seen} rules that refuse");
}

#[test]
fn every_metric_that_readme_and_alerts_name_exists() {
    use gatepost::observe::metrics::declared::DECLARED;
    let alerts = include_str!("../../deploy/alerts.yml");
    let texts = format!("{README}\n{alerts}");
    let names =
        texts.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).filter(|word| word.starts_with("gatepost_"));
    let unknown: Vec<&str> = names.filter(|name| !DECLARED.iter().any(|metric| metric.name == *name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(texts.contains("gatepost_deliver_errors_total"), "the texts are read");
}

#[test]
fn the_readme_names_every_key_of_the_configuration_that_it_speaks_of() {
    let keys = TABLE.iter().map(|key| key.path).collect::<Vec<_>>();
    let sections = ["smtp", "limits", "maildir"];
    let words =
        README.split('`').filter(|word| word.split_once('.').is_some_and(|(section, _)| sections.contains(&section)));
    let unknown: Vec<&str> = words.filter(|word| !keys.contains(word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// What `systemd-analyze security` thinks of the unit: 0 is best, 100 worst; docs/upgrade.md names it.
#[test]
fn the_unit_is_well_confined_and_its_files_are_understood_by_systemd() {
    let Some(mut rate) = command("systemd-analyze") else { return };
    rate.args(["security", "--offline=true", "--no-pager", "--threshold=16"]).arg(deploy().join("gatepost.service"));
    let rated = run(&mut rate);
    let said = String::from_utf8_lossy(&rated.stdout).into_owned();
    assert!(rated.status.success(), "{said}{}", String::from_utf8_lossy(&rated.stderr));
    assert!(said.contains("Overall exposure level for gatepost.service"), "{said}");
}

/// The unit and its socket are made for each other, and the user of the unit is that of the example.
#[test]
fn the_unit_needs_no_root_and_takes_its_socket() {
    let (unit, socket) = (include_str!("../../deploy/gatepost.service"), include_str!("../../deploy/gatepost.socket"));
    let has = |text: &str, line: &str| text.lines().any(|found| found == line);
    for line in ["Type=notify", "User=vmail", "Group=vmail", "CapabilityBoundingSet=", "Requires=gatepost.socket"] {
        assert!(has(unit, line), "{line}");
    }
    // in systemd 252 none of its groups has the calls by which we confine ourselves
    let own = "SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self";
    assert!(has(unit, own), "{own}");
    for line in ["ListenStream=[::]:25", "FileDescriptorName=smtp"] {
        assert!(has(socket, line), "{line}");
    }
    let security = EXAMPLE.parse::<toml::Table>().unwrap()["security"].clone();
    assert_eq!((security["user"].as_str(), security["group"].as_str()), (Some("vmail"), Some("vmail")));
}
