//! SPF (RFC 7208): the conformance suites over real DNS, and what they leave out.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use gatepost::authenticate::resolver::{Answer, DnsName};
use gatepost::authenticate::{Authenticator, Dns};
use gatepost::facts::{MethodResult, Spf};
use gatepost::smtp::address::{Host, Mailbox, ReversePath};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use crate::support::corpora;
use crate::support::deviations;
use crate::support::dns::*;

/// Runs `check_host` as the suites define it: on MAIL FROM's domain, or on HELO where MAIL FROM is empty.
async fn check_host(authenticator: &Authenticator, case: &Value) -> Spf {
    let text = |key: &str| case[key].as_str().unwrap_or_default();
    let ip = text("host").parse().expect("an address");
    match text("mailfrom").rsplit_once('@') {
        Some((local_part, domain)) => authenticator.check_host(ip, domain, local_part, text("helo")).await,
        None if text("mailfrom").is_empty() => authenticator.spf_helo(ip, text("helo")).await,
        None => authenticator.check_host(ip, text("mailfrom"), "", text("helo")).await,
    }
}

/// What disagrees in a corpus that has `cases` cases, all of which are tried.
async fn disagreements(corpus: &str, cases: usize) -> Vec<String> {
    let Some(scenarios) = corpora::json(corpus, "cases.json") else { return Vec::new() };
    let scenarios = scenarios.as_array().expect("a list of scenarios");
    let found = scenarios.iter().filter_map(|scenario| scenario["tests"].as_object()).map(serde_json::Map::len);
    assert_eq!(found.sum::<usize>(), cases);
    let disagreements: Vec<Vec<String>> = stream::iter(scenarios).map(disagreements_in).buffered(8).collect().await;
    disagreements.concat()
}

async fn disagreements_in(scenario: &Value) -> Vec<String> {
    let (_server, authenticator) = authenticator(corpora::spf_zone(&scenario["zonedata"])).await;
    let cases = scenario["tests"].as_object().expect("tests by name").iter();
    let cases: Vec<_> = cases.collect();
    let got = join_all(cases.iter().map(|(_, case)| check_host(&authenticator, case))).await;
    let mut disagreements = Vec::new();
    for ((name, case), got) in cases.iter().zip(got) {
        let result = got.result.as_str();
        let ours = deviations::ours("spf-pyspf-extra", name).map(|ours| Value::String(ours.to_owned()));
        let expected = ours.as_ref().unwrap_or(&case["result"]);
        if expected != result && !expected.as_array().is_some_and(|any| any.iter().any(|one| one == result)) {
            disagreements.push(format!("{name}: {result}, expected {expected}"));
        }
    }
    disagreements
}

#[tokio::test]
async fn agrees_with_the_suite_of_rfc_7208() {
    assert_eq!(disagreements("spf-rfc7208", 91).await, Vec::<String>::new());
}

#[tokio::test]
async fn agrees_with_the_regressions_of_pyspf() {
    assert_eq!(disagreements("spf-pyspf-extra", 16).await, Vec::<String>::new());
}

/// The result of MAIL FROM `user@example.com` for 192.0.2.1.
async fn result_in(zone: Zone) -> String {
    let (_server, authenticator) = authenticator(zone).await;
    authenticator.check_host([192, 0, 2, 1].into(), "example.com", "user", "helo.example").await.result.to_string()
}

#[tokio::test]
async fn a_record_is_judged_by_the_rules_that_the_suites_leave_out() {
    let spf = |record: &str| Zone::new().txt("example.com", record);
    let cases = [
        ("another TXT beside a broken record", spf("v=spf1 moo").txt("example.com", "hello"), "permerror"),
        ("another TXT beside a record", spf("hello").txt("example.com", "v=spf1 ip4:192.0.2.1 -all"), "pass"),
        ("two records", spf("v=spf1 +all").txt("example.com", "v=spf1 +all"), "permerror"),
        ("refused", Zone::new().failing("example.com", RecordType::TXT, Fault::Refused), "temperror"),
        ("two void look-ups", spf("v=spf1 a:a.gone.example mx:b.gone.example -all"), "fail"),
        (
            "three void look-ups",
            spf("v=spf1 a:a.gone.example mx:b.gone.example exists:c.gone.example -all"),
            "permerror",
        ),
        ("the client's family alone is asked for", spf("v=spf1 a -all").aaaa("example.com", [1; 8]), "fail"),
        ("an exchanger fails, another matches", two_exchangers(), "pass"),
        ("include of a fail", spf("v=spf1 include:i.example ?all").txt("i.example", "v=spf1 -all"), "neutral"),
        ("include of nothing", spf("v=spf1 include:i.example -all"), "permerror"),
        ("redirect to nothing", spf("v=spf1 redirect=i.example"), "permerror"),
        ("include within include", nested(), "softfail"),
        ("an upper-case mechanism", spf("v=spf1 IP4:192.0.2.1 -ALL"), "pass"),
        ("a macro for explanations alone", spf("v=spf1 exists:%{c}.example -all"), "permerror"),
        ("nothing kept of a macro", spf("v=spf1 exists:%{d0}.example -all"), "permerror"),
        ("a prefix with a leading zero", spf("v=spf1 ip4:192.0.2.0/024 -all"), "permerror"),
        ("a slash in a name", spf("v=spf1 a:x/y.example/24 -all").a("x/y.example", [192, 0, 2, 9]), "pass"),
        ("an alias to itself", spf("v=spf1 a:l.example ?all").cname("l.example", "l.example"), "neutral"),
        ("a record of its own include", spf("v=spf1 include:example.com -all"), "permerror"),
    ];
    for (why, zone, expected) in cases {
        assert_eq!(result_in(zone).await, expected, "{why}");
    }
}

fn two_exchangers() -> Zone {
    Zone::new()
        .txt("example.com", "v=spf1 mx -all")
        .mx("example.com", 1, "bad.example.com")
        .mx("example.com", 2, "mx.example.com")
        .failing("bad.example.com", RecordType::A, Fault::ServFail)
        .a("mx.example.com", [192, 0, 2, 1])
}

fn nested() -> Zone {
    Zone::new()
        .txt("example.com", "v=spf1 -include:one.example ~include:two.example -all")
        .txt("one.example", "v=spf1 include:three.example -all")
        .txt("two.example", "v=spf1 include:four.example -all")
        .txt("three.example", "v=spf1 -ip4:192.0.2.1 all")
        .txt("four.example", "v=spf1 ip4:192.0.2.1 -all")
}

#[tokio::test]
async fn the_identities_are_judged_each_on_its_own() {
    let zone = Zone::new()
        .txt("helo.example", "v=spf1 ip4:192.0.2.1 -all")
        .txt("example.com", "v=spf1 -all")
        .txt("post.example", "v=spf1 exists:%{l}.is.the.local-part.example -all")
        .a("postmaster.is.the.local-part.example", [127, 0, 0, 2]);
    let (server, authenticator) = authenticator(zone).await;
    let ip = [192, 0, 2, 1].into();
    let pass = authenticator.spf_helo(ip, "Helo.Example.").await;
    assert_eq!((pass.result, pass.domain.as_str()), (MethodResult::Pass, "helo.example"));
    assert_eq!(authenticator.spf_helo(ip, "post.example").await.result, MethodResult::Pass);
    assert_eq!(authenticator.check_host(ip, "example.com", "user", "helo.example").await.result, MethodResult::Fail);
    assert_eq!(authenticator.spf_mail_from(ip, "helo.example", &ReversePath::Null).await, Spf::default());
    let literal = Mailbox { local: "user".into(), host: Host::Literal(ip) };
    assert_eq!(authenticator.spf_mail_from(ip, "helo.example", &ReversePath::Mailbox(literal)).await, Spf::default());
    let asked = server.queries();
    for no_domain in
        ["", "[192.0.2.1]", "[IPv6:2001:db8::1]", "192.0.2.1", "localhost", "a b.example", "a..example", "\u{0}"]
    {
        assert_eq!(authenticator.spf_helo(ip, no_domain).await, Spf::default(), "{no_domain:?}");
    }
    assert_eq!(server.queries(), asked, "nothing is asked for what is no domain");
}

#[tokio::test]
async fn an_ipv4_client_on_an_ipv6_socket_is_an_ipv4_client() {
    let (_server, authenticator) = authenticator(Zone::new().txt("example.com", "v=spf1 ip4:192.0.2.1 -all")).await;
    let mapped = "::ffff:192.0.2.1".parse().expect("an address");
    assert_eq!(authenticator.check_host(mapped, "example.com", "", "").await.result, MethodResult::Pass);
}

#[tokio::test]
async fn a_local_part_that_is_not_ascii_matches_no_term_that_names_it() {
    let zone = Zone::new()
        .txt("example.com", "v=spf1 exists:%{l}.local.example include:%{s}.example exists:%{d}.domain.example -all")
        .a("*.local.example", [127, 0, 0, 2])
        .a("example.com.domain.example", [127, 0, 0, 2]);
    let (server, authenticator) = authenticator(zone).await;
    let got = authenticator.check_host([192, 0, 2, 1].into(), "example.com", "jos\u{e9}", "helo.example").await;
    assert_eq!(got.result, MethodResult::Pass, "by the last exists (RFC 8616 §4)");
    assert!(!server.asked().into_keys().any(|(name, _)| name.contains("local.example")));
}

#[tokio::test]
async fn the_deadline_is_a_temperror() {
    let server = serve(Zone::new().failing("example.com", RecordType::TXT, Fault::NoAnswer)).await;
    let dns = Dns { timeout: Duration::from_secs(60), check: Duration::from_millis(50), ..asking(server.addr()) };
    let authenticator = Authenticator::new(&dns).expect("no I/O");
    let got = authenticator.check_host([192, 0, 2, 1].into(), "example.com", "user", "helo.example").await;
    assert_eq!((got.result, got.domain.as_str()), (MethodResult::TempError, "example.com"));
}

/// A cache of parsed TXT records that is keyed by the name alone would keep "this is no SPF record" for the DMARC look-up.
#[tokio::test]
async fn a_reverse_path_at_a_dmarc_record_does_not_poison_it() {
    let record = "v=DMARC1; p=reject";
    let (_server, authenticator) = authenticator(Zone::new().txt("_dmarc.victim.example", record)).await;
    let ip = [192, 0, 2, 1].into();
    let spf = authenticator.check_host(ip, "_dmarc.victim.example", "x", "helo.example").await;
    assert_eq!(spf.result, MethodResult::None);
    let name = DnsName::parse("_dmarc.victim.example").expect("a name");
    assert_eq!(authenticator.resolver().txt(&name).await, Answer::Found(vec![record.as_bytes().to_vec()]));
}

#[tokio::test]
async fn no_record_asks_more_than_the_limits_allow() {
    let mut zone = Zone::new().txt("example.com", &format!("v=spf1 {} -all", "mx:wide.example ".repeat(4000)));
    for n in 0..10 {
        zone =
            zone.mx("wide.example", n, &format!("m{n}.wide.example")).a(&format!("m{n}.wide.example"), [10, 0, 0, 1]);
    }
    let (server, authenticator) = authenticator(zone).await;
    let got = authenticator.check_host([192, 0, 2, 1].into(), "example.com", "user", "helo.example").await;
    assert_eq!(got.result, MethodResult::PermError);
    assert!(server.queries() < 20, "{}", server.queries());
}

#[test]
fn no_record_whatever_is_a_panic() {
    let term = r"[+~?-]?(all|a|mx|ptr|ip4|ip6|include|exists|redirect|exp|moo)[:=/]{0,2}(%\{[slodiphcrtvx][0-9]{0,3}r?[.+,_=-]{0,3}\}|%[%_-]?|[a-z.:/0-9]{0,12}){0,4}(/{1,2}[0-9]{1,4})?";
    let record = proptest::collection::vec(term, 0..6).prop_map(|terms| format!("v=spf1 {}", terms.join(" ")));
    let local = "[a-z.+%=\u{e9}-]{0,20}";
    let helo = "\\PC{0,30}";
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(record, local, helo), |(record, local, helo)| {
        let zone = Zone::new().txt("example.com", &record).a("*.example.com", [127, 0, 0, 2]).mx("example.com", 1, ".");
        let got = block_on(async {
            let (_server, authenticator) = authenticator(zone).await;
            authenticator.check_host([192, 0, 2, 1].into(), "example.com", &local, &helo).await
        });
        prop_assert!(got.domain == "example.com" && got.result != MethodResult::None);
        Ok(())
    });
    outcome.expect("every record has a result");
}
