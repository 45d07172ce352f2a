//! What the argument of HELO is worth: every case of `testdata/helo.json` over real DNS, and over a session.

use futures_util::{StreamExt, stream};
use gatepost::facts::{HeloCheck, HeloKind, HeloResult};
use serde_json::Value;

use crate::support::corpora;
use crate::support::dns::*;
use crate::support::site::{Setup, Site};

async fn disagreement(case: &Value) -> Option<String> {
    let (_server, authenticator) = authenticator(corpora::zone(&case["zone"])).await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let got = authenticator.helo(text(&case["client"]).parse().expect("an address"), &text(&case["helo"])).await;
    let got = serde_json::to_value(&got).expect("a record");
    (got != case["expect"]).then(|| format!("{}: {got}, expected {}", text(&case["name"]), case["expect"]))
}

#[tokio::test]
async fn finds_what_the_cases_expect() {
    let data = corpora::own("helo.json");
    let cases = data["cases"].as_array().expect("a list of cases");
    assert!(cases.len() > 45, "the cases are there");
    let disagreements: Vec<Option<String>> = stream::iter(cases).map(disagreement).buffered(8).collect().await;
    let disagreements: Vec<String> = disagreements.into_iter().flatten().collect();
    assert_eq!(disagreements, Vec::<String>::new());
}

#[tokio::test]
async fn a_zone_that_is_silent_costs_no_more_than_the_deadline() {
    let zone = Zone::new().failing("slow.example", RecordType::A, Fault::NoAnswer).present("slow.example");
    let (_server, authenticator) = authenticator(zone).await;
    let got = authenticator.helo([192, 0, 2, 1].into(), "slow.example").await;
    assert_eq!((got.kind, got.result), (HeloKind::Domain, HeloResult::TempError));
}

const POLICY: &str = r#"
[[rule]]
name = "somebody-else"
at = "mail"
when = "helo_check.kind == 'domain' && helo_check.result == 'fail' && !helo_check.matches_ptr"
action = "reject"
reply = "550 5.7.1 {helo} is another host"
"#;

#[test]
fn a_rule_reads_it_a_new_helo_is_checked_anew_and_a_trusted_client_is_not() {
    let zone = Zone::new().a("mail.example", [127, 0, 0, 9]).a("other.example", [127, 0, 0, 8]);
    let smtp = "postmaster = \"alice@local.example\"\ntrusted = [\"127.0.0.77\"]";
    let site = Site::start(Setup { zone, policy: POLICY, smtp, ..Setup::default() });
    let mut client = site.dial_from([127, 0, 0, 9]);
    client.expect("EHLO other.example", "250");
    client.expect("MAIL FROM:<a@mail.example>", "250");
    let refused = client.expect("RCPT TO:<alice@local.example>", "550 5.7.1 other.example is another host");
    client.expect("EHLO mail.example", "250");
    client.expect("MAIL FROM:<a@mail.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "250");
    let taken = client.data("From: <a@mail.example>\r\n\r\nhello\r\n");
    let check = |kind, result| HeloCheck { kind, result, matches_ptr: false };
    assert_eq!(site.record(&refused).facts.helo_check, check(HeloKind::Domain, HeloResult::Fail));
    assert_eq!(site.record(taken.is("250")).facts.helo_check, check(HeloKind::Domain, HeloResult::Pass));

    let mut trusted = site.dial_from([127, 0, 0, 77]);
    trusted.expect("EHLO other.example", "250");
    trusted.expect("MAIL FROM:<a@mail.example>", "250");
    trusted.expect("RCPT TO:<alice@local.example>", "250");
    let reply = trusted.data("From: <a@mail.example>\r\n\r\nhello\r\n");
    assert_eq!(site.record(reply.is("250")).facts.helo_check, HeloCheck::default());
}
