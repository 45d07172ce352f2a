//! SPF (RFC 7208): the conformance suites over real DNS, and what they leave out.

use futures_util::future::join_all;
use gatepost::authenticate::Authenticator;
use gatepost::facts::Spf;
use serde_json::Value;

use crate::support::corpora;
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

async fn disagreements(corpus: &str) -> Vec<String> {
    let Some(scenarios) = corpora::json(corpus, "cases.json") else { return Vec::new() };
    let scenarios = scenarios.as_array().expect("a list of scenarios");
    let mut disagreements = Vec::new();
    for scenario in scenarios {
        let (_server, authenticator) = authenticator(corpora::spf_zone(&scenario["zonedata"])).await;
        let cases = scenario["tests"].as_object().expect("tests by name").iter();
        // `strict` asks for a local policy of pyspf's own, not for the RFC.
        let cases: Vec<_> = cases.filter(|(_, case)| case.get("strict").is_none()).collect();
        let got = join_all(cases.iter().map(|(_, case)| check_host(&authenticator, case))).await;
        for ((name, case), got) in cases.iter().zip(got) {
            let result = got.result.as_str();
            let expected = &case["result"];
            if expected != result && !expected.as_array().is_some_and(|any| any.iter().any(|one| one == result)) {
                disagreements.push(format!("{name}: {result}, expected {expected}"));
            }
        }
    }
    disagreements
}

#[tokio::test]
async fn agrees_with_the_suite_of_rfc_7208() {
    assert_eq!(disagreements("spf-rfc7208").await, Vec::<String>::new());
}

#[tokio::test]
async fn agrees_with_the_regressions_of_pyspf() {
    assert_eq!(disagreements("spf-pyspf-extra").await, Vec::<String>::new());
}
