//! iprev (RFC 8601 §2.7.3): every case of `testdata/iprev.json` over real DNS, and its bounds.

use std::net::IpAddr;

use futures_util::{StreamExt, stream};
use gatepost::facts::IprevResult;
use serde_json::Value;

use crate::support::corpora;
use crate::support::dns::*;

async fn disagreement(case: &Value) -> Option<String> {
    let (_server, authenticator) = authenticator(corpora::zone(&case["zone"])).await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let client: IpAddr = text(&case["client"]).parse().expect("an address");
    let got = authenticator.iprev(client).await;
    let expected = (text(&case["expect"]["result"]), text(&case["expect"]["name"]));
    let got = (got.result.to_string(), got.name);
    (got != expected).then(|| format!("{}: {got:?}, expected {expected:?}", text(&case["name"])))
}

#[tokio::test]
async fn finds_what_the_cases_expect() {
    let data = corpora::own("iprev.json");
    let cases = data["cases"].as_array().expect("a list of cases");
    assert!(cases.len() > 30, "the cases are there");
    let disagreements: Vec<Option<String>> = stream::iter(cases).map(disagreement).buffered(8).collect().await;
    let disagreements: Vec<String> = disagreements.into_iter().flatten().collect();
    assert_eq!(disagreements, Vec::<String>::new());
}

#[tokio::test]
async fn a_client_on_loopback_is_asked_for_like_any_other() {
    let zone = Zone::new().ptr([127, 0, 0, 7], "seven.example").a("seven.example", [127, 0, 0, 7]);
    let (_server, authenticator) = authenticator(zone).await;
    let got = authenticator.iprev([127, 0, 0, 7].into()).await;
    assert_eq!((got.result, got.name.as_str()), (IprevResult::Pass, "seven.example"));
    assert_eq!(authenticator.iprev([127, 0, 0, 8].into()).await.result, IprevResult::PermError);
}

#[tokio::test]
async fn of_a_thousand_names_ten_are_looked_at() {
    let mut zone = Zone::new();
    for n in 0..1000 {
        zone = zone.ptr([192, 0, 2, 1], &format!("n{n}.example"));
    }
    let (server, authenticator) = authenticator(zone).await;
    let got = authenticator.iprev([192, 0, 2, 1].into()).await;
    assert_eq!((got.result, got.name.as_str()), (IprevResult::Fail, "n0.example"));
    assert_eq!(server.asked().into_keys().filter(|(_, record_type)| *record_type == RecordType::A).count(), 10);
}
