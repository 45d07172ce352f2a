//! ARC chains: the suite for RFC 8617's drafts, and what is no chain at all.

use gatepost::facts::ArcResult;

use super::dkim::{NOW, signed};
use super::header::crlf;
use super::support::corpora;
use super::support::dns::{Fault, RecordType, Zone, authenticator, block_on};

/// SHA-256 of the body `a  b`, as it stands and in relaxed form.
const SIMPLE: &str = "NeYyW+KlRp4CJBrhyxcIAojeP40u2Xhm6sH9zTwYSF4=";
const RELAXED: &str = "SuEZjyiTjUp1XHpGpmLw9XKayjy3FMrk431guExO6cw=";

fn validate(zone: Zone, message: &[u8]) -> ArcResult {
    block_on(async {
        let (_server, authenticator) = authenticator(zone).await;
        authenticator.arc(&signed(message, 13), NOW).await.result
    })
}

fn check(message: &str, result: &str) {
    assert_eq!(validate(Zone::new(), &crlf(message.as_bytes())).as_str(), result, "{message}");
}

#[test]
fn valimail_suite() {
    let Some(suite) = corpora::json("arc-valimail", "validation.json") else { return };
    let mut tests = 0;
    for scenario in suite.as_array().unwrap() {
        let zone = || {
            let records = scenario["txt-records"].as_object().unwrap().iter();
            records.fold(Zone::new(), |zone, (name, text)| zone.txt(name, text.as_str().unwrap()))
        };
        for (id, test) in scenario["tests"].as_object().unwrap() {
            let message = crlf(test["message"].as_str().unwrap().as_bytes());
            // Where the suite has no word, the chain carries cv=fail: RFC 8617 §5.2 step 2 calls it failed.
            let expected = match test["cv"].as_str().unwrap() {
                "" => "fail".to_owned(),
                word => word.to_lowercase(),
            };
            let found = validate(zone(), &message);
            assert_eq!(found.as_str(), expected, "{id}: {}", test["description"]);
            tests += 1;
        }
    }
    assert_eq!(tests, 83);
}

#[test]
fn a_broken_chain_is_a_failure_and_no_chain_is_none() {
    check("From: a@x.example\n\nbody\n", "none");
    let aar = "ARC-Authentication-Results: i=1; mx.trusted.example; dmarc=pass\n";
    check(&format!("{aar}From: a@x.example\n\nbody\n"), "fail");
    check(&format!("{aar}{aar}From: a@x.example\n\nbody\n"), "fail");
    check("ARC-Seal: i=1; cv=none; a=rsa-sha256; d=x.example; s=s; b=AAAA\n\nbody\n", "fail");
    check("ARC-Authentication-Results: i=51; x\n\nbody\n", "fail");
}

#[test]
fn trouble_with_a_key_is_temperror_and_only_that() {
    let set = "ARC-Authentication-Results: i=1; x.example; none\n\
               ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=x.example; s=s; h=from;\n \
               bh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uGs=; b=AAAA\n\
               ARC-Seal: i=1; cv=none; a=rsa-sha256; d=x.example; s=s; b=AAAA\n";
    let message = crlf(format!("{set}From: a@x.example\n\ntest\n").as_bytes());
    let zone = Zone::new().failing("s._domainkey.x.example", RecordType::TXT, Fault::ServFail);
    assert_eq!(validate(zone, &message), ArcResult::TempError);
    assert_eq!(validate(Zone::new(), &message), ArcResult::Fail);
    let other_body = crlf(format!("{set}From: a@x.example\n\nother\n").as_bytes());
    let zone = Zone::new().failing("s._domainkey.x.example", RecordType::TXT, Fault::ServFail);
    assert_eq!(validate(zone, &other_body), ArcResult::Fail, "the body alone tells");
}

/// t= is that of RFC 6376 §3.5 (RFC 8617 §4.1.2, §4.1.3): what is dated ahead by more than clocks differ is not believed.
#[test]
fn a_set_from_the_future_is_not_believed() {
    let result = |of_message: u64, of_seal: u64| {
        let set = format!(
            "ARC-Authentication-Results: i=1; x.example; none\n\
             ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=x.example; s=s; h=from; t={of_message};\n \
             bh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uGs=; b=AAAA\n\
             ARC-Seal: i=1; cv=none; a=rsa-sha256; d=x.example; s=s; t={of_seal}; b=AAAA\n"
        );
        let message = crlf(format!("{set}From: a@x.example\n\ntest\n").as_bytes());
        validate(Zone::new().failing("s._domainkey.x.example", RecordType::TXT, Fault::ServFail), &message)
    };
    // The keys are asked for only where nothing else is amiss.
    let (soon, late) = (NOW + 3600, NOW + 2 * 24 * 3600);
    assert_eq!(result(soon, soon), ArcResult::TempError);
    assert_eq!(result(late, NOW), ArcResult::Fail);
    assert_eq!(result(NOW, late), ArcResult::Fail);
}

/// A signature of a message says how it canonicalized only where that is not simple (RFC 8617 §4.1.2, RFC 6376 §3.5): the body's hash
/// is of the body as it stands.
#[test]
fn a_message_signature_that_names_no_canonicalization_is_simple() {
    let result = |canonicalization: &str, hash: &str| {
        let set = format!(
            "ARC-Authentication-Results: i=1; x.example; none\n\
             ARC-Message-Signature: i=1; a=rsa-sha256;{canonicalization} d=x.example; s=s; h=from; bh={hash}; b=AAAA\n\
             ARC-Seal: i=1; cv=none; a=rsa-sha256; d=x.example; s=s; b=AAAA\n"
        );
        let message = crlf(format!("{set}From: a@x.example\n\na  b\n").as_bytes());
        validate(Zone::new().failing("s._domainkey.x.example", RecordType::TXT, Fault::ServFail), &message)
    };
    for (canonicalization, of_simple, of_relaxed) in [
        ("", ArcResult::TempError, ArcResult::Fail),
        (" c=simple/simple;", ArcResult::TempError, ArcResult::Fail),
        (" c=relaxed;", ArcResult::TempError, ArcResult::Fail),
        (" c=relaxed/relaxed;", ArcResult::Fail, ArcResult::TempError),
    ] {
        assert_eq!(result(canonicalization, SIMPLE), of_simple, "{canonicalization}");
        assert_eq!(result(canonicalization, RELAXED), of_relaxed, "{canonicalization}");
    }
}

/// What stands before the authserv-id may have comments in it (RFC 8617 §4.2.1); the instance comes first and is a number alone.
#[test]
fn the_instance_of_the_results_may_have_comments_around_it() {
    let result = |instance: &str| {
        let set = format!(
            "ARC-Authentication-Results:{instance} x.example; none\n\
             ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=x.example; s=s; h=from;\n \
             bh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uGs=; b=AAAA\n\
             ARC-Seal: i=1; cv=none; a=rsa-sha256; d=x.example; s=s; b=AAAA\n"
        );
        let message = crlf(format!("{set}From: a@x.example\n\ntest\n").as_bytes());
        let zone = Zone::new().failing("s._domainkey.x.example", RecordType::TXT, Fault::ServFail);
        validate(zone, &message)
    };
    // The keys are asked for only where the sets are whole.
    for sound in [" i=1;", "i=1;", "\n\ti = 1 ;", " (a (b)) i(c)=(d)1(e;f);", " i=01;"] {
        assert_eq!(result(sound), ArcResult::TempError, "{sound}");
    }
    for broken in
        [" I=1;", " i=1", " x; i=1;", " i=;", " i=0;", " i=1 1;", " i=1.0;", " i=+1;", " (i=1;", " ii=1;", " i==1;"]
    {
        assert_eq!(result(broken), ArcResult::Fail, "{broken}");
    }
}

/// Fifty-one sets are no chain, and nobody is asked for their keys.
#[test]
fn a_chain_that_is_too_long_costs_nothing() {
    let mut header = String::new();
    for i in 1..=51 {
        header.push_str(&format!(
            "ARC-Authentication-Results: i={i}; x\nARC-Message-Signature: i={i}; a=rsa-sha256; d=d{i}.example; s=s; h=from; \
             bh=AAAA; b=AAAA\nARC-Seal: i={i}; cv=pass; a=rsa-sha256; d=d{i}.example; s=s; b=AAAA\n"
        ));
    }
    let message = signed(&crlf(format!("{header}\nbody\n").as_bytes()), 4096);
    let (result, queries) = block_on(async {
        let (server, authenticator) = authenticator(Zone::new()).await;
        (authenticator.arc(&message, NOW).await.result, server.queries())
    });
    assert_eq!((result, queries, message.verifications()), (ArcResult::Fail, 0, 0));
}
