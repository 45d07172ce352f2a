//! Reverse MX: every case of `testdata/reverse-mx.json` over real DNS, and its bounds.

use std::net::IpAddr;

use futures_util::{StreamExt, stream};
use gatepost::facts::{Mx, ReverseMxResult};
use serde_json::Value;

use crate::support::corpora;
use crate::support::dns::*;

async fn disagreement(case: &Value) -> Option<String> {
    let (_server, authenticator) = authenticator(corpora::zone(&case["zone"])).await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let client: IpAddr = text(&case["client"]).parse().expect("an address");
    let got = authenticator.reverse_mx(&text(&case["domain"]), client).await;
    assert_eq!(got.domain, text(&case["domain"]));
    let expected = (text(&case["expect"]["result"]), text(&case["expect"]["mx"]));
    let got = (got.result.to_string(), got.mx.to_string());
    (got != expected).then(|| format!("{}: {got:?}, expected {expected:?}", text(&case["name"])))
}

#[tokio::test]
async fn finds_what_the_cases_expect() {
    let data = corpora::own("reverse-mx.json");
    let cases = data["cases"].as_array().expect("a list of cases");
    assert!(cases.len() > 70, "the cases are there");
    let disagreements: Vec<Option<String>> = stream::iter(cases).map(disagreement).buffered(8).collect().await;
    let disagreements: Vec<String> = disagreements.into_iter().flatten().collect();
    assert_eq!(disagreements, Vec::<String>::new());
}

#[tokio::test]
async fn asks_once_for_an_exchanger_that_is_named_twice_and_only_for_the_clients_family() {
    let zone = Zone::new().mx("example.com", 1, "mx.example.com").mx("example.com", 2, "MX.example.com");
    let (server, authenticator) = authenticator(zone.a("mx.example.com", [192, 0, 2, 1])).await;
    authenticator.reverse_mx("example.com", [192, 0, 2, 2].into()).await;
    assert_eq!(server.count("mx.example.com", RecordType::A), 1);
    assert_eq!(server.count("mx.example.com", RecordType::AAAA), 0);
}

#[tokio::test]
async fn an_exchanger_beyond_the_bound_is_not_asked_for() {
    let mut zone = Zone::new();
    for n in 0..800 {
        zone = zone.mx("example.com", n, &format!("m{n}.example.com"));
    }
    let (server, authenticator) = authenticator(zone).await;
    let got = authenticator.reverse_mx("example.com", [192, 0, 2, 1].into()).await;
    assert_eq!((got.result, got.mx), (ReverseMxResult::PermError, Mx::Explicit));
    let addresses = server.asked().into_keys().filter(|(_, record_type)| *record_type == RecordType::A).count();
    assert_eq!(addresses, 50);
    assert_eq!(server.count("m49.example.com", RecordType::A), 1);
    assert_eq!(server.count("m50.example.com", RecordType::A), 0);
}

#[tokio::test]
async fn what_is_known_at_the_deadline_is_told() {
    let mut zone = Zone::new();
    for n in 0..40 {
        let name = format!("mute{n}.example.com");
        zone = zone.mx("example.com", n, &name).failing_otherwise(&name, Fault::NoAnswer);
    }
    let server = serve(zone).await;
    let dns = gatepost::authenticate::Dns {
        timeout: std::time::Duration::from_secs(60),
        check: std::time::Duration::from_millis(100),
        ..asking(server.addr())
    };
    let authenticator = gatepost::authenticate::Authenticator::new(&dns).expect("no I/O");
    let got = authenticator.reverse_mx("example.com", [192, 0, 2, 1].into()).await;
    assert_eq!((got.result, got.mx), (ReverseMxResult::TempError, Mx::Explicit));
}
