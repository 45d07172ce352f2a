//! Tests of config: every key and its default; its mistakes and the command line's are in files of their own.

mod command_line;
mod mistakes;
mod warnings;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatepost::config::dns::{Server, Transport, parse_server};
use gatepost::config::keys::{self, Absent};
use gatepost::config::value::{parse_duration, parse_listener, parse_network, parse_size};
use gatepost::config::{Config, Layer, list_reader};
use gatepost::policy::ListKind;
use gatepost::problem::{Problems, Source};
use gatepost::recipients::{MailboxName, Resolution};
use gatepost::smtp::address::{Domain, ForwardPath};
use proptest::prelude::*;

/// What a valid configuration needs at its top.
const TOP: &str = "hostname = 'mx.example.com'\n";
/// And at its end.
const DOMAIN: &str = "[domains.'example.com']\nmailboxes = ['alice', 'bob']\ncatch_all = 'alice'\n";

fn parse(text: &str, base: &Path) -> Result<Config, Problems> {
    Config::parse(Arc::new(Source { name: "g.toml".to_owned(), text: text.to_owned() }), base)
}

fn parsed(text: &str) -> Config {
    parse(text, Path::new("/base")).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn testdata(path: &str) -> PathBuf {
    Path::new("testdata/configs").join(path)
}

fn mailbox(domain: &str, name: &str) -> MailboxName {
    MailboxName { domain: Domain::parse(domain).unwrap(), name: name.to_owned() }
}

#[test]
fn every_key_is_read() {
    let config = Config::load(&testdata("every-key/gatepost.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    let at = |path: &str| testdata("every-key").join(path);
    assert_eq!(config.hostname.as_str(), "mx1.example.com");
    assert_eq!(config.authserv_id, "example.com");
    assert_eq!(config.smtp.listen, ["192.0.2.1:25".parse().unwrap(), "[2001:db8::1]:25".parse().unwrap()]);
    assert!(config.smtp.soft_reject);
    let trusted = |ip: &str| config.is_trusted(ip.parse::<IpAddr>().unwrap());
    for ip in ["10.255.0.1", "::ffff:10.0.0.1", "2001:db8:1:2::3", "192.0.2.7"] {
        assert!(trusted(ip), "{ip}");
    }
    for ip in ["11.0.0.1", "2001:db8:2::1", "192.0.2.8", "::1"] {
        assert!(!trusted(ip), "{ip}");
    }
    let tls = config.tls.as_ref().unwrap();
    assert_eq!((&tls.first.certificate, &tls.first.key), (&at("chain.pem"), &at("key.pem")));
    assert_eq!(tls.more.len(), 1);
    let pem = tls.read(&config).unwrap();
    assert_eq!(pem.len(), 2);
    assert_eq!(pem[1].key, std::fs::read(at("key.pem")).unwrap());
    let servers = ["127.0.0.1:5353", "[::1]:53", "tls://9.9.9.9:853#dns.quad9.net"];
    assert_eq!(config.dns.servers, servers.map(|server| parse_server(server).unwrap()));
    assert_eq!((&config.dns.roots, &config.dns.trust_anchors), (&Some(at("chain.pem")), &Some(at("names.txt"))));
    assert_eq!((config.dns.validate, config.dns.cache), (true, 2000));
    assert_eq!(config.dns.canary.as_ref().unwrap().as_str(), "example.net");
    assert_eq!(config.maildir.root, at("vmail"));
    assert_eq!(config.maildir.quota, 2_000_000_000);
    assert_eq!(config.http.listen, "[::1]:9999".parse().unwrap());
    assert_eq!(config.journal.directory, Path::new("/tmp/journal"));
    assert_eq!(config.journal.keep, Duration::from_secs(30 * 86_400));
    assert!(config.journal.pseudonymise);
    assert_eq!(config.journal.keep_audit, Duration::from_secs(800 * 86_400));
    let state = &config.state;
    assert_eq!((state.directory.as_path(), state.entries), (Path::new("/tmp/state"), 5000));
    let days = [state.greylist_window, state.greylist_known].map(|time| time.as_secs() / 86_400);
    assert_eq!((state.greylist_delay.as_secs(), days), (600, [1, 60]));
    assert_eq!(
        (config.security.user.as_deref(), config.security.group.as_deref()),
        (Some("gatepost-mail"), Some("mail"))
    );
    assert_eq!((config.security.landlock, config.security.seccomp), (Layer::Require, Layer::Off));
    assert_eq!(config.security.handover, Some(at("run/handover.sock")));
    let [zen, dbl] = config.block_lists.as_slice() else { panic!("{:?}", config.block_lists) };
    assert_eq!((zen.zone.as_str(), zen.kind), ("zen.example", ListKind::Address));
    assert_eq!((zen.listed_probe.as_deref(), zen.unlisted_probe.as_deref()), (Some("192.0.2.99"), Some("192.0.2.1")));
    let codes = zen.codes.as_ref().unwrap().iter().map(|code| format!("{}&{} {}", code.address, code.mask, code.name));
    let codes: BTreeSet<String> = codes.collect();
    let expected = ["127.0.0.2&255.255.255.255 sbl", "127.0.0.4&255.255.255.252 xbl", "127.0.0.9&255.255.0.255 drop"];
    assert_eq!(codes, expected.map(str::to_owned).into());
    assert_eq!((dbl.zone.as_str(), dbl.kind, dbl.codes.is_none()), ("dbl.example", ListKind::Domain, true));
    let limits = &config.limits;
    assert_eq!((limits.command_line, limits.message, limits.recipients), (4096, 25_000_000, 200));
    assert_eq!((limits.errors, limits.commands, limits.transactions), (5, 400, 50));
    assert_eq!((limits.header, limits.header_fields), (65_536, 500));
    assert_eq!((limits.memory_body, limits.memory), (65_536, 64_000_000));
    assert_eq!((limits.spool, limits.spool_per_network), (2_000_000_000, 500_000_000));
    assert_eq!((limits.connections, limits.connections_per_address, limits.connections_per_network), (300, 20, 60));
    assert_eq!((limits.session, limits.idle), (Duration::from_secs(600), Duration::from_secs(300)));
    assert_eq!((limits.stress, limits.stress_idle, limits.stress_rate), (70, Duration::from_secs(5), 1_000));
    assert_eq!((limits.free_disk, limits.free_inodes), (1_000_000_000, 5_000));
    let session = limits.of_session();
    assert_eq!((session.line, session.message, session.recipients), (4096, 25_000_000, 200));
    assert_eq!((session.errors, session.commands, session.transactions), (5, 400, 50));
}

#[test]
fn domains_become_a_directory_with_policies() {
    let config = Config::load(&testdata("every-key/gatepost.toml")).unwrap();
    let names: Vec<String> = config.directory.mailboxes().map(ToString::to_string).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in ["alice@example.com", "bob@example.com"] {
        assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
    }
    let beyond = mailbox("bücher.example", "clara");
    assert!(config.directory.mailboxes().any(|known| *known == beyond), "{names:?}");
    let described = |mailbox: &MailboxName| config.policies.of(mailbox).description().to_owned();
    assert_eq!(described(&mailbox("example.com", "alice")), "the policy of own");
    assert_eq!(described(&mailbox("example.com", "bob")), "the policy of bob");
    assert_eq!(described(&beyond), "the policy of all");
    assert_eq!(config.policies.default().description(), "the policy of all");
    assert_eq!(config.policies.all().len(), 3);
    let quota = |mailbox: &MailboxName| config.quotas.of(mailbox);
    assert_eq!(quota(&mailbox("example.com", "alice")), Some(1 << 40), "its domain's");
    assert_eq!(quota(&mailbox("example.com", "bob")), None, "its own, which is no bound");
    assert_eq!(quota(&beyond), Some(2_000_000_000), "everyone's");
    let Resolution::Local(local) = config.directory.resolve(&ForwardPath::Postmaster) else { panic!("no postmaster") };
    assert_eq!(local.mailboxes, [mailbox("example.com", "alice")]);
}

#[test]
fn a_policy_file_is_read_once_for_all_who_share_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("p.toml"), "description = 'shared'\n").unwrap();
    let text = format!(
        "{TOP}[policy]\nfile = 'p.toml'\n{DOMAIN}policy = 'p.toml'\n[domains.'example.com'.mailbox.BOB]\npolicy = 'p.toml'"
    );
    let config = parse(&text, directory.path()).unwrap();
    assert_eq!(config.policies.all().len(), 1);
    assert!(Arc::ptr_eq(config.policies.of(&mailbox("example.com", "bob")), config.policies.default()));
}

#[test]
fn the_lists_of_a_policy_are_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("policies")).unwrap();
    let policy = directory.path().join("policies/p.toml");
    std::fs::write(directory.path().join("policies/names.txt"), "example.net\n").unwrap();
    std::fs::write(&policy, "description = 'x'\n[lists]\nforwarders = { file = 'names.txt' }\n").unwrap();
    let text = format!("{TOP}[policy]\nfile = 'policies/p.toml'\n{DOMAIN}");
    assert!(parse(&text, directory.path()).is_ok());
    assert_eq!(list_reader(&policy)("names.txt").unwrap(), "example.net\n");
    std::fs::remove_file(directory.path().join("policies/names.txt")).unwrap();
    let problems = parse(&text, directory.path()).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems}");
    assert!(problems.to_string().contains("policies/names.txt\" does not exist"), "{problems}");
}

#[test]
fn a_minimal_file_takes_the_defaults_of_the_table() {
    let absent = parsed(&format!("{TOP}{DOMAIN}"));
    let mut explicit = TOP.to_owned();
    for key in keys::TABLE.iter().filter(|key| !key.path.contains('*') && !key.path.contains(".tls.")) {
        if let Absent::Default(value) = key.absent {
            explicit.push_str(&format!("{} = {value}\n", key.path));
        }
    }
    let explicit = parsed(&format!("{explicit}{DOMAIN}"));
    assert_eq!(absent.smtp, explicit.smtp);
    assert_eq!(
        (&absent.maildir, &absent.http, &absent.journal, &absent.state),
        (&explicit.maildir, &explicit.http, &explicit.journal, &explicit.state)
    );
    assert_eq!(absent.limits, explicit.limits);
    // and those are what the documentation says
    assert_eq!(absent.authserv_id, "mx.example.com");
    assert_eq!(absent.smtp.listen, ["[::]:25".parse().unwrap()]);
    assert_eq!(absent.maildir.root, Path::new("/var/vmail"));
    assert_eq!(absent.http.listen, "127.0.0.1:9125".parse().unwrap());
    assert_eq!(absent.journal.directory, Path::new("/var/lib/gatepost/journal"));
    assert_eq!(absent.journal.keep, Duration::from_secs(14 * 86_400));
    assert!(!absent.journal.pseudonymise);
    assert_eq!(absent.journal.keep_audit, Duration::from_secs(400 * 86_400));
    assert_eq!(absent.state.directory, Path::new("/var/lib/gatepost/state"));
    assert_eq!(absent.state.greylist_delay, Duration::from_secs(300));
    let limits = &absent.limits;
    assert_eq!((limits.command_line, limits.message, limits.recipients, limits.errors), (2048, 50_000_000, 1000, 10));
    assert_eq!((limits.session, limits.idle), (Duration::from_secs(1800), Duration::from_secs(300)));
    assert!(absent.tls.is_none() && absent.dns.servers.is_empty() && absent.security.user.is_none());
}

#[test]
fn the_built_in_configuration_is_a_trial_on_loopback() {
    let config = Config::built_in().unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.hostname.as_str(), "localhost");
    assert_eq!(config.smtp.listen, ["127.0.0.1:2525".parse().unwrap()]);
    assert_eq!(config.http.listen, "127.0.0.1:9125".parse().unwrap());
    assert_eq!(
        (config.maildir.root.as_path(), config.journal.directory.as_path()),
        (Path::new("mail"), Path::new("journal"))
    );
    assert_eq!(config.privilege_problem(true), None);
    let anyone = gatepost::smtp::address::Mailbox::parse("anyone@localhost", false).unwrap();
    let Resolution::Local(local) = config.directory.resolve(&ForwardPath::Mailbox(anyone)) else {
        panic!("no catch-all")
    };
    assert_eq!(local.mailboxes, [mailbox("localhost", "postmaster")]);
}

// the table of keys

/// The paths of all keys of a file, chosen names as `*`.
fn paths(value: &toml::Value, path: &str, found: &mut BTreeSet<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        _ if keys::find(path).is_some() && !value.is_array() => drop(found.insert(path.to_owned())),
        toml::Value::Table(table) => {
            let any = keys::within(path).contains(&"*");
            table.iter().for_each(|(name, value)| paths(value, &below(if any { "*" } else { name }), found));
        }
        toml::Value::Array(items) => {
            if keys::find(path).is_some() || !items.iter().all(toml::Value::is_table) {
                found.insert(path.to_owned());
            }
            items.iter().filter(|item| item.is_table()).for_each(|item| paths(item, &below("*"), found));
        }
        _ => drop(found.insert(path.to_owned())),
    }
}

#[test]
fn the_file_with_every_key_has_every_key_of_the_table() {
    let text = std::fs::read_to_string(testdata("every-key/gatepost.toml")).unwrap();
    let mut found = BTreeSet::new();
    paths(&toml::Value::Table(text.parse().unwrap()), "", &mut found);
    let all: BTreeSet<String> = keys::TABLE.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(found, all);
}

#[test]
fn each_key_stands_in_the_table_once_with_its_documentation() {
    let mut seen = BTreeSet::new();
    for key in keys::TABLE {
        assert!(seen.insert(key.path), "{} stands there twice", key.path);
        assert!(key.doc.ends_with('.') && key.doc.len() > 10, "{}: {:?}", key.path, key.doc);
        assert!(key.rfc.is_empty() || key.rfc.starts_with("RFC "), "{}", key.path);
    }
}

#[test]
fn a_layer_is_on_off_or_required_and_on_where_nothing_is_said() {
    let absent = parsed(&format!("{TOP}{DOMAIN}")).security;
    assert_eq!((absent.landlock, absent.seccomp, absent.handover), (Layer::On, Layer::On, None));
    for key in ["landlock", "seccomp"] {
        let problems = parse(&format!("{TOP}security.{key} = 'yes'\n{DOMAIN}"), Path::new("/base")).unwrap_err();
        let told = problems.render(false);
        assert!(told.contains("\"yes\" must be \"on\", \"off\" or \"require\"") && told.contains(key), "{told}");
    }
}

#[test]
fn keys_that_need_a_restart_are_told_and_others_are_not() {
    let cases = [
        ("smtp.listen", "['127.0.0.1:1025']"),
        ("dns.servers", "['127.0.0.1']"),
        ("dns.validate", "true"),
        ("dns.canary", "'example.net'"),
        ("dns.cache", "2000"),
        ("maildir.root", "'/elsewhere'"),
        ("http.listen", "'127.0.0.1:1'"),
        ("journal.directory", "'/elsewhere'"),
        ("journal.keep", "'15d'"),
        ("journal.pseudonymise", "true"),
        ("journal.audit.keep", "'31d'"),
        ("state.directory", "'/elsewhere'"),
        ("state.entries", "5000"),
        ("security.user", "'nobody'"),
        ("security.landlock", "'require'"),
        ("security.seccomp", "'off'"),
        ("security.handover", "'handover.sock'"),
        ("limits.unknown_recipients_per_address", "7"),
    ];
    let old = parsed(&format!("{TOP}{DOMAIN}"));
    for (key, value) in cases {
        let newer = parsed(&format!("{TOP}{key} = {value}\n{DOMAIN}"));
        assert_eq!(old.restart_keys(&newer), [key]);
        assert!(newer.restart_keys(&newer).is_empty());
    }
    let both = parsed(&format!("{TOP}security = {{ user = 'nobody', group = 'nogroup' }}\n{DOMAIN}"));
    assert_eq!(old.restart_keys(&both), ["security.user", "security.group"]);
    let roots = std::env::current_dir().unwrap().join("Cargo.toml");
    let certified =
        parsed(&format!("{TOP}dns = {{ servers = ['tls://127.0.0.1#dns.example'], roots = {roots:?} }}\n{DOMAIN}"));
    assert_eq!(old.restart_keys(&certified), ["dns.servers", "dns.roots"]);
    let anchored = parsed(&format!("{TOP}dns = {{ validate = true, trust_anchors = {roots:?} }}\n{DOMAIN}"));
    assert_eq!(old.restart_keys(&anchored), ["dns.validate", "dns.trust_anchors"]);
    let tested: BTreeSet<&str> =
        cases.iter().map(|(key, _)| *key).chain(["security.group", "dns.roots", "dns.trust_anchors"]).collect();
    let all: BTreeSet<&str> = keys::TABLE.iter().filter(|key| key.restart).map(|key| key.path).collect();
    assert_eq!(tested, all);
    let heeded = parsed(&format!("hostname = 'other.example'\nlimits.idle = '60s'\nsmtp.soft_reject = true\n{DOMAIN}"));
    assert!(old.restart_keys(&heeded).is_empty());
}

#[test]
fn the_guard_of_a_reload_sees_what_is_lost() {
    let old = parsed(&format!("{TOP}{DOMAIN}"));
    let newer = parsed(&format!("{TOP}[domains.'example.org']\nmailboxes = ['alice']\ncatch_all = 'alice'\n"));
    assert!(old.losses(&old).is_empty());
    assert_eq!(old.losses(&newer).len(), 1);
    assert_eq!(old.losses(&newer)[0].domain.as_str(), "example.com");
}

// values

#[test]
fn values_are_read_as_people_write_them() {
    for (text, bytes) in [
        ("0", Some(0)),
        ("50 MB", Some(50_000_000)),
        ("50mb", Some(50_000_000)),
        ("64KiB", Some(65_536)),
        ("1 gib", Some(1 << 30)),
        ("7 B", Some(7)),
        ("MB", None),
        ("", None),
        ("-5", None),
        ("5 TB", Some(5_000_000_000_000)),
        ("2TiB", Some(2 << 40)),
        ("5 PB", None),
        ("1.5 MB", None),
        ("99999999999999999999", None),
        ("18446744073709551615 kB", None),
    ] {
        assert_eq!(parse_size(text).ok(), bytes, "{text:?}");
    }
    for (text, seconds) in [
        ("300s", Some(300)),
        ("30 min", Some(1800)),
        ("5m", Some(300)),
        ("12h", Some(43_200)),
        ("14d", Some(1_209_600)),
        ("2w", Some(1_209_600)),
        ("300", None),
        ("s", None),
        ("", None),
        ("1y", None),
        ("99999999999999999d", None),
    ] {
        assert_eq!(parse_duration(text).ok(), seconds, "{text:?}");
    }
    for (text, fine) in [
        ("[::]:25", true),
        ("0.0.0.0:25", true),
        ("::1", false),
        ("127.0.0.1", false),
        (":25", false),
        ("*:25", false),
        ("25", false),
        ("localhost:25", false),
        ("[::]:65536", false),
    ] {
        assert_eq!(parse_listener(text).is_ok(), fine, "{text:?}");
        assert!(parse_listener(text).err().is_none_or(|fault| !fault.mend.is_empty()), "{text:?}");
    }
    let tls = || Transport::Tls { name: "dns.example".to_owned() };
    let https = |path: &str| Transport::Https { name: "dns.example".to_owned(), path: path.to_owned() };
    for (text, address, transport) in [
        ("[::1]", "[::1]:53", Transport::Plain),
        ("192.0.2.1:5353", "192.0.2.1:5353", Transport::Plain),
        ("tls://192.0.2.1#dns.example", "192.0.2.1:853", tls()),
        ("tls://[2001:db8::1]:8853#DNS.Example", "[2001:db8::1]:8853", tls()),
        ("https://192.0.2.1#dns.example", "192.0.2.1:443", https("/dns-query")),
        ("https://[2001:db8::1]:8443/q/x#dns.example", "[2001:db8::1]:8443", https("/q/x")),
    ] {
        let address = address.parse().unwrap();
        assert_eq!(parse_server(text).unwrap(), Server { address, transport }, "{text}");
    }
    assert_eq!(parse_network("10.0.0.7").unwrap().to_string(), "10.0.0.7/32");
}

proptest! {
    #[test]
    fn no_text_makes_a_panic(text in "(\\PC|\n|=|'|\"|\\[|\\]|smtp|listen|domains|aliases|limits|\\.|\\{|\\}|,|5){0,60}") {
        let _ = parse(&text, Path::new("/nowhere")).map_err(|problems| problems.render(true));
        let _ = (parse_size(&text), parse_duration(&text), parse_listener(&text), parse_network(&text), parse_server(&text));
    }
}

/// docs/limits.md has a row a key, with the default and the bounds that the code has and the RFC that its least value comes from.
#[test]
fn the_page_of_limits_and_the_code_say_the_same() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/limits.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `limits."))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let number = |text: &str| {
        let time = text.ends_with(['s', 'h', 'd', 'n']).then(|| parse_duration(&text.replace(' ', "")).ok());
        time.unwrap_or_else(|| parse_size(text).ok())
    };
    type Row = (String, String, String, Option<(u64, u64)>);
    let told: Vec<Row> = rows
        .iter()
        .map(|row| {
            let bounds = number(row[2]).zip(number(row[3]));
            (row[0].trim_matches('`').to_owned(), row[1].to_owned(), row[4].to_owned(), bounds)
        })
        .collect();
    let declared: Vec<Row> = keys::TABLE
        .iter()
        .filter(|key| key.section() == "limits")
        .map(|key| {
            let Absent::Default(default) = key.absent else { panic!("{} has a default", key.path) };
            (key.path.to_owned(), default.trim_matches('"').to_owned(), key.rfc.to_owned(), key.bounds)
        })
        .collect();
    assert_eq!(told, declared);
}
