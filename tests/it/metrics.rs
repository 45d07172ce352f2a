//! Tests of the metrics: that they are documented, closed, and understood by Prometheus' own tool.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatepost::facts::record::{DecisionRecord, RuleRecord};
use gatepost::facts::word::{Action, MethodResult, Outcome, Stage};
use gatepost::facts::{Dkim, Facts};
use gatepost::observe::journal::Journal;
use gatepost::observe::log::Log;
use gatepost::observe::metrics::declared::{DECLARED, Kind};
use gatepost::observe::metrics::label::{
    CODES, ConnectionOutcome, DeliverErrorKind, DirectorySync, DnsOutcome, GreylistKey, GreylistResult,
    HandshakeOutcome, ListOutcome, Method, ReloadOutcome, Remembered, SandboxLayer, SessionTls, Verb,
};
use gatepost::observe::metrics::{ListCount, Metrics, MetricsError, StateCount};

use crate::journal::record;

/// Metrics of which every family has a series, as after a while of running.
fn full() -> Metrics {
    let metrics = Metrics::new("0.1.0").unwrap();
    for outcome in ConnectionOutcome::ALL {
        metrics.connection(*outcome);
    }
    metrics.connection_closed(SessionTls::Tls13);
    for verb in Verb::ALL {
        for code in CODES {
            metrics.reply(*verb, code.parse().unwrap_or(999));
        }
    }
    metrics.transaction(&{
        let mut record = record("2026-11-22T10:00:00.000Z", 1);
        record.facts.message.bytes = 1_000;
        record
    });
    metrics.stage(Stage::Data, Duration::from_millis(3));
    metrics.delivered(Duration::from_millis(3));
    metrics.tls_handshake(HandshakeOutcome::Ok);
    metrics.panic();
    metrics.reload(ReloadOutcome::Refused);
    metrics.soft_reject(true);
    metrics.certificate_expiry(1_800_000_000);
    metrics.certificate_reload(ReloadOutcome::Applied);
    for layer in SandboxLayer::ALL {
        metrics.sandbox(*layer, true);
    }
    metrics.untrusted_private_client();
    for outcome in DnsOutcome::ALL {
        metrics.register_dns(*outcome, || 3).unwrap();
    }
    for kind in DeliverErrorKind::ALL {
        metrics.register_deliver_errors(*kind, || 4).unwrap();
    }
    metrics
        .register_block_lists(|| {
            let queries = ListOutcome::ALL.iter().map(|outcome| (*outcome, 2)).collect();
            vec![ListCount { zone: "zen.example".to_owned(), up: true, queries }]
        })
        .unwrap();
    metrics.register_log(&Log::to(Box::new(std::io::sink()))).unwrap();
    for result in GreylistResult::ALL {
        metrics.register_greylist(*result, GreylistKey::Spf, || 7).unwrap();
    }
    for noun in ["greylist_no_room", "state_errors", "state_pushed_out"] {
        metrics.register_counter(&format!("gatepost_{noun}_total"), &[], || 8).unwrap();
    }
    metrics.register_state(|| StateCount { up: true, entries: [1, 2, 3] }).unwrap();
    for outcome in DirectorySync::ALL {
        metrics.register_directory_syncs(*outcome, || 6).unwrap();
    }
    for noun in ["files", "bytes", "messages", "taken_back", "left_behind", "panics"] {
        let name = &format!("gatepost_deliver_{noun}_total");
        metrics.register_counter(name, &[], || 5).unwrap();
    }
    for stage in ["rcpt", "data"] {
        metrics.register_counter("gatepost_over_quota_total", &[("stage", stage)], || 4).unwrap();
    }
    for noun in ["errors", "recounts"] {
        metrics.register_counter(&format!("gatepost_quota_{noun}_total"), &[], || 3).unwrap();
    }
    for noun in ["messages", "bytes", "leftovers"] {
        metrics.register_counter(&format!("gatepost_spool_{noun}_total"), &[], || 9).unwrap();
    }
    for noun in [
        "disk_free_bytes",
        "disk_free_inodes",
        "disk_low",
        "disk_suspect",
        "message_memory_bytes",
        "spool_held_bytes",
        "stress",
    ] {
        metrics.register_gauge(&format!("gatepost_{noun}"), || 1).unwrap();
    }
    let directory = tempfile::TempDir::new().unwrap();
    metrics.register_journal(&Journal::open(directory.path(), Duration::ZERO).unwrap()).unwrap();
    metrics
}

/// The series of a text: `name{labels}` to value.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap())).unwrap())
        .collect()
}

fn value(metrics: &Metrics, series_name: &str) -> f64 {
    let all = series(&metrics.text());
    *all.get(series_name).unwrap_or_else(|| panic!("no {series_name} in {:#?}", all.keys()))
}

#[test]
fn every_family_is_shown_as_it_is_declared() {
    let text = full().text();
    let shown: BTreeSet<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let declared: BTreeSet<(&str, &str)> = DECLARED.iter().map(|one| (one.name, one.kind.as_str())).collect();
    assert_eq!(shown, declared);
    for one in DECLARED {
        assert!(text.contains(&format!("# HELP {} {}\n", one.name, one.meaning)), "{}", one.name);
        let suffix = if one.kind == Kind::Histogram { "_count" } else { "" };
        let prefix = format!("{}{suffix}", one.name);
        let line = text.lines().find(|line| {
            line.strip_prefix(&prefix)
                .is_some_and(|rest| rest.starts_with(if one.labels.is_empty() { ' ' } else { '{' }))
        });
        let line = line.unwrap_or_else(|| panic!("no series of {}", one.name));
        for label in one.labels {
            assert!(line.contains(&format!("{label}=\"")), "{line}");
        }
    }
}

#[test]
fn the_page_of_metrics_and_the_code_say_the_same() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let documented: Vec<String> = page.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let declared: Vec<String> = DECLARED
        .iter()
        .map(|one| {
            let labels: Vec<String> = one.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |", one.name, one.kind.as_str(), labels.join(", "), one.meaning)
        })
        .collect();
    assert_eq!(documented, declared, "the table of docs/metrics.md should read:\n{}", declared.join("\n"));
}

#[test]
fn the_page_of_metrics_names_every_label_value() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let sets: [(&str, &[&str]); 17] = [
        ("block lists `outcome`", ListOutcome::WORDS),
        ("greylist `result`", &GreylistResult::WORDS[1..]),
        ("greylist `key`", &GreylistKey::WORDS[1..]),
        ("state `kind`", Remembered::WORDS),
        ("directory syncs `outcome`", DirectorySync::WORDS),
        ("method", Method::WORDS),
        ("result", MethodResult::WORDS),
        ("connections `outcome`", ConnectionOutcome::WORDS),
        ("action", Action::WORDS),
        ("kind", DeliverErrorKind::WORDS),
        ("dns `outcome`", DnsOutcome::WORDS),
        ("reloads `outcome`", ReloadOutcome::WORDS),
        ("verb", Verb::WORDS),
        ("rules `outcome`", Outcome::WORDS),
        ("tls", SessionTls::WORDS),
        ("stage", &["rcpt", "data"]),
        ("handshakes `outcome`", HandshakeOutcome::WORDS),
    ];
    for (label, words) in sets {
        let label = if label.contains('`') { label.to_owned() } else { format!("`{label}`") };
        let start = format!("- {label}: ");
        let line = page.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no line \"{start}\""));
        let documented: Vec<&str> = line.trim_start_matches(&start).split('`').skip(1).step_by(2).collect();
        assert_eq!(documented, words, "{label}");
    }
}

#[test]
fn promtool_finds_nothing_to_say() {
    let unpacked = concat!(env!("CARGO_MANIFEST_DIR"), "/target/debian/usr/bin/promtool");
    let promtool = match std::env::var("GATEPOST_PROMTOOL") {
        Ok(promtool) => promtool,
        Err(_) if std::path::Path::new(unpacked).exists() => unpacked.into(),
        Err(_) => "promtool".into(),
    };
    let child = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if std::env::var("CI").as_deref() == Ok("true") => panic!("promtool is missing: {error}"),
        Err(_) => {
            println!("left out: promtool check metrics (Debian package prometheus)");
            return;
        }
    };
    child.stdin.take().unwrap().write_all(full().text().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn connections_are_open_until_they_are_closed() {
    let metrics = Metrics::new("x").unwrap();
    metrics.connection(ConnectionOutcome::Accepted);
    metrics.connection(ConnectionOutcome::Accepted);
    metrics.connection(ConnectionOutcome::Busy);
    assert_eq!(value(&metrics, "gatepost_connections"), 2.0);
    metrics.connection_closed(SessionTls::from_version(Some("TLSv1.2")));
    metrics.connection_closed(SessionTls::from_version(None));
    assert_eq!(value(&metrics, "gatepost_connections"), 0.0);
    assert_eq!(value(&metrics, "gatepost_connections_total{outcome=\"accepted\"}"), 2.0);
    assert_eq!(value(&metrics, "gatepost_connections_total{outcome=\"busy\"}"), 1.0);
    assert_eq!(value(&metrics, "gatepost_sessions_total{tls=\"TLSv1.2\"}"), 1.0);
    assert_eq!(value(&metrics, "gatepost_sessions_total{tls=\"none\"}"), 1.0);
}

#[test]
fn small_sets_stand_at_zero_from_the_start() {
    let metrics = Metrics::new("1.2.3").unwrap();
    for name in [
        "gatepost_connections",
        "gatepost_connections_total{outcome=\"busy\"}",
        "gatepost_decisions_total{action=\"reject\",rule=\"none\"}",
        "gatepost_messages_total",
        "gatepost_panics_total",
        "gatepost_reloads_total{outcome=\"refused\"}",
        "gatepost_stage_seconds_count{stage=\"rcpt\"}",
        "gatepost_tls_handshakes_total{outcome=\"failed\"}",
    ] {
        assert_eq!(value(&metrics, name), 0.0, "{name}");
    }
    assert_eq!(value(&metrics, "gatepost_build_info{version=\"1.2.3\"}"), 1.0);
    assert!(value(&metrics, "process_start_time_seconds") > 1e9);
}

#[test]
fn what_no_rule_can_be_called_is_counted_as_other() {
    let metrics = Metrics::new("x").unwrap();
    let long = "a".repeat(65);
    for name in ["A", "ä", "a b", "a\"}\ngatepost_forged 1", "a_b", long.as_str()] {
        metrics.decision(Action::Reject, name);
        metrics.rule(&RuleRecord {
            name: name.into(),
            at: Stage::Data,
            outcome: Outcome::Acted,
            action: None,
            score: None,
        });
    }
    metrics.decision(Action::Reject, &"a".repeat(64));
    assert_eq!(value(&metrics, "gatepost_decisions_total{action=\"reject\",rule=\"other\"}"), 6.0);
    assert_eq!(value(&metrics, "gatepost_rules_total{outcome=\"acted\",rule=\"other\"}"), 6.0);
    let longest = format!("gatepost_decisions_total{{action=\"reject\",rule=\"{}\"}}", "a".repeat(64));
    assert_eq!(value(&metrics, &longest), 1.0);
    assert!(!metrics.text().contains("forged"));
}

#[test]
fn replies_count_by_verb_and_code() {
    let metrics = Metrics::new("x").unwrap();
    for _ in 0..3 {
        metrics.reply(Verb::from_word("RCPT"), 550);
    }
    metrics.reply(Verb::from_word("XYZZY"), 500);
    metrics.reply(Verb::Mail, 299);
    assert_eq!(value(&metrics, "gatepost_replies_total{code=\"550\",verb=\"rcpt\"}"), 3.0);
    assert_eq!(value(&metrics, "gatepost_replies_total{code=\"500\",verb=\"other\"}"), 1.0);
    assert_eq!(value(&metrics, "gatepost_replies_total{code=\"other\",verb=\"mail\"}"), 1.0);
    for (verb, word) in Verb::ALL.iter().zip(Verb::WORDS) {
        let spoken = !matches!(verb, Verb::Connection | Verb::Message);
        assert_eq!(Verb::from_word(word), if spoken { *verb } else { Verb::Other });
    }
}

#[test]
fn authentication_counts_each_signature_and_each_method_once() {
    let metrics = Metrics::new("x").unwrap();
    let mut facts = Facts::default();
    metrics.authentication(&facts);
    let signature = |result| Dkim { result, ..Dkim::default() };
    facts.dkim = vec![signature(MethodResult::Pass), signature(MethodResult::Fail), signature(MethodResult::Fail)];
    facts.spf.mail_from.result = MethodResult::SoftFail;
    metrics.authentication(&facts);
    let count = |method, result| {
        value(&metrics, &format!("gatepost_authentication_results_total{{method=\"{method}\",result=\"{result}\"}}"))
    };
    assert_eq!(count("dkim", "none"), 1.0);
    assert_eq!(count("dkim", "pass"), 1.0);
    assert_eq!(count("dkim", "fail"), 2.0);
    assert_eq!(count("spf-mail-from", "softfail"), 1.0);
    assert_eq!(count("dmarc", "none"), 2.0);
}

#[test]
fn a_transaction_counts_a_message_only_where_one_was_judged() {
    let metrics = Metrics::new("x").unwrap();
    let mut record = record("2026-11-22T10:00:00.000Z", 1);
    record.stage = Stage::Mail;
    metrics.transaction(&record);
    assert_eq!(value(&metrics, "gatepost_messages_total"), 0.0);
    record.stage = Stage::Data;
    record.facts.message.bytes = 700;
    metrics.transaction(&record);
    assert_eq!(value(&metrics, "gatepost_messages_total"), 1.0);
    assert_eq!(value(&metrics, "gatepost_message_bytes_total"), 700.0);
    assert_eq!(value(&metrics, "gatepost_decisions_total{action=\"reject\",rule=\"dmarc-reject\"}"), 2.0);
    assert_eq!(value(&metrics, "gatepost_rules_total{outcome=\"acted\",rule=\"dmarc-reject\"}"), 2.0);
    record.decision = DecisionRecord::default();
    metrics.transaction(&record);
    let accepted = value(&metrics, "gatepost_decisions_total{action=\"accept\",rule=\"none\"}");
    assert_eq!(accepted, 0.0, "nobody decided what the client gave up");
}

#[test]
fn a_stage_is_timed_in_seconds() {
    let metrics = Metrics::new("x").unwrap();
    metrics.stage(Stage::Mail, Duration::from_millis(30));
    assert_eq!(value(&metrics, "gatepost_stage_seconds_sum{stage=\"mail\"}"), 0.03);
    assert_eq!(value(&metrics, "gatepost_stage_seconds_bucket{stage=\"mail\",le=\"0.025\"}"), 0.0);
    assert_eq!(value(&metrics, "gatepost_stage_seconds_bucket{stage=\"mail\",le=\"0.05\"}"), 1.0);
}

#[test]
fn a_counter_that_a_stage_keeps_is_read_when_asked_for() {
    let metrics = Metrics::new("x").unwrap();
    let queries = Arc::new(AtomicU64::new(0));
    let read = Arc::clone(&queries);
    metrics.register_dns(DnsOutcome::Found, move || read.load(Ordering::Relaxed)).unwrap();
    metrics.register_dns(DnsOutcome::Timeout, || 7).unwrap();
    queries.store(41, Ordering::Relaxed);
    assert_eq!(value(&metrics, "gatepost_dns_queries_total{outcome=\"found\"}"), 41.0);
    assert_eq!(value(&metrics, "gatepost_dns_queries_total{outcome=\"timeout\"}"), 7.0);
}

#[test]
fn only_declared_counters_can_be_handed_in_and_each_once() {
    let metrics = Metrics::new("x").unwrap();
    let refused = |name: &str, labels: &[(&str, &str)]| metrics.register_counter(name, labels, || 0).unwrap_err();
    for (name, labels) in [
        ("gatepost_unheard_of_total", &[][..]),
        ("gatepost_connections", &[]),
        ("gatepost_dns_queries_total", &[]),
        ("gatepost_dns_queries_total", &[("domain", "example.com")]),
        ("gatepost_deliver_files_total", &[("kind", "x")]),
    ] {
        assert!(matches!(refused(name, labels), MetricsError::Undeclared(_)), "{name}");
    }
    metrics.register_counter("gatepost_deliver_files_total", &[], || 0).unwrap();
    assert!(matches!(refused("gatepost_deliver_files_total", &[]), MetricsError::Prometheus(_)));
    assert!(matches!(refused("gatepost_panics_total", &[]), MetricsError::Prometheus(_)));
}
