//! Whole evaluations: what SPF, DKIM, DMARC and ARC say together about one message, and that nobody passes as somebody else.

use gatepost::authenticate::header::authentication_results;
use gatepost::authenticate::sign::Signer;
use gatepost::facts::{ArcResult, DmarcPolicy, DmarcResult, Facts, MethodResult};
use serde_json::Value;

use super::author::octets;
use super::dkim::NOW;
use super::header::{crlf, walk};
use super::support::corpora;
use super::support::deviations;
use super::support::dns::{Zone, authenticator, block_on};
use super::support::evaluation::{Envelope, evaluate};

/// What rspamd's symbols of all four methods say of these facts.
fn symbols(facts: &Facts) -> Vec<&'static str> {
    let spf = &facts.spf;
    let spf = if facts.mail_from.domain.is_empty() { spf.helo.result } else { spf.mail_from.result };
    let mut symbols = vec![match spf {
        MethodResult::Pass => "R_SPF_ALLOW",
        MethodResult::Fail => "R_SPF_FAIL",
        MethodResult::SoftFail => "R_SPF_SOFTFAIL",
        MethodResult::Neutral => "R_SPF_NEUTRAL",
        MethodResult::TempError => "R_SPF_DNSFAIL",
        MethodResult::PermError => "R_SPF_PERMFAIL",
        MethodResult::None | MethodResult::Policy => "R_SPF_NA",
    }];
    symbols.extend(facts.dkim.iter().map(|dkim| match dkim.result {
        MethodResult::Pass => "R_DKIM_ALLOW",
        MethodResult::Fail => "R_DKIM_REJECT",
        MethodResult::TempError => "R_DKIM_TEMPFAIL",
        _ => "R_DKIM_PERMFAIL",
    }));
    if facts.dkim.is_empty() {
        symbols.push("R_DKIM_NA");
    }
    symbols.push(match (facts.dmarc.result, facts.dmarc.policy) {
        (DmarcResult::Pass, _) => "DMARC_POLICY_ALLOW",
        (DmarcResult::Fail, DmarcPolicy::Reject) => "DMARC_POLICY_REJECT",
        (DmarcResult::Fail, DmarcPolicy::Quarantine) => "DMARC_POLICY_QUARANTINE",
        (DmarcResult::Fail, DmarcPolicy::None) => "DMARC_POLICY_SOFTFAIL",
        (DmarcResult::None, _) => "DMARC_NA",
        (DmarcResult::TempError, _) => "DMARC_DNSFAIL",
        (DmarcResult::PermError, _) => "DMARC_BAD_POLICY",
    });
    symbols.push(match facts.arc.result {
        ArcResult::Pass => "ARC_ALLOW",
        ArcResult::Fail => "ARC_INVALID",
        ArcResult::TempError => "ARC_DNSFAIL",
        ArcResult::None => "ARC_NA",
    });
    symbols
}

#[test]
fn rspamd() {
    let Some(cases) = corpora::json("e2e-rspamd", "cases.json") else { return };
    let folder = corpora::folder("e2e-rspamd").expect("it was just read");
    let answers = corpora::json("e2e-rspamd", "dns.json").expect("it is beside cases.json");
    let cases = cases.as_array().expect("a list of cases");
    assert_eq!(cases.len(), 72);
    let mut deviating = deviations::cases("e2e-rspamd");
    let mut differing = Vec::new();
    block_on(async {
        let (_server, authenticator) = authenticator(corpora::rspamd_zone(&answers)).await;
        for case in cases {
            let text = |key: &str| case[key].as_str().unwrap_or_default();
            let envelope = Envelope::new(case["ip"].as_str(), text("helo"), text("mail_from"));
            let message = crlf(&std::fs::read(folder.join(text("message"))).unwrap());
            let facts = evaluate(&authenticator, &envelope, &message, NOW).await;
            let found = symbols(&facts);
            let has = |symbol: &Value| {
                // An alarm of rspamd's own about a pass.
                let symbol = symbol.as_str().unwrap().replace("R_SPF_PLUSALL", "R_SPF_ALLOW");
                found.contains(&symbol.as_str())
            };
            let list = |key: &str| case[key].as_array().unwrap().clone();
            deviating.retain(|deviating| *deviating != text("id"));
            let fits = match deviations::ours("e2e-rspamd", text("id")) {
                Some(ours) => found.contains(&ours),
                None => list("expect_symbols").iter().all(has) && !list("not_symbols").iter().any(has),
            };
            if !fits {
                differing.push(format!(
                    "{}: {found:?}: {} and not {}",
                    text("id"),
                    case["expect_symbols"],
                    case["not_symbols"]
                ));
            }
        }
    });
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(deviating.is_empty(), "there is no such case: {deviating:?}");
}

/// The attacker's own domain with everything in place, and the victim's with everything published.
fn spoofing_zone(signer: &Signer) -> Zone {
    Zone::new()
        .txt("attacker.example", "v=spf1 ip4:192.0.2.66 -all")
        .a("attacker.example", [192, 0, 2, 66])
        .mx("attacker.example", 10, "attacker.example")
        .ptr([192, 0, 2, 66], "attacker.example")
        .txt("_dmarc.attacker.example", "v=DMARC1; p=none")
        .txt(&signer.key_name(), &signer.key_record())
        .txt("legit.example", "v=spf1 ip4:198.51.100.1 -all")
        .a("legit.example", [198, 51, 100, 1])
        .mx("legit.example", 10, "mx.legit.example")
        .txt("_dmarc.legit.example", "v=DMARC1; p=reject; np=reject")
}

fn attacker() -> Signer {
    Signer::new_ed25519("attacker.example", "s1").unwrap().with_names("from:to:subject")
}

/// Sent by the attacker, who signs it, too.
fn judge(headers: &[Vec<u8>]) -> Vec<Facts> {
    let signer = attacker();
    block_on(async {
        let (_server, authenticator) = authenticator(spoofing_zone(&signer)).await;
        let envelope = Envelope::new(Some("192.0.2.66"), "attacker.example", "x@attacker.example");
        let mut judged = Vec::new();
        for header in headers {
            let message = [header.as_slice(), b"\r\nTo: victim@victim.example\r\nSubject: x\r\n\r\nbody\r\n"].concat();
            let signed = [signer.sign(&message, NOW).unwrap().as_bytes(), &message].concat();
            let facts = evaluate(&authenticator, &envelope, &signed, NOW).await;
            assert_eq!(facts.spf.mail_from.result, MethodResult::Pass);
            judged.push(facts);
        }
        judged
    })
}

/// Nobody but the attacker passes, and it only as itself.
fn assert_honest(facts: &Facts, what: &str) {
    let passed = facts.dmarc.result == DmarcResult::Pass;
    assert!(
        !passed || (facts.from.domain == "attacker.example" && facts.dmarc.domain == "attacker.example"),
        "{what}: {facts:?}"
    );
    let field = authentication_results("mx.victim.example", facts);
    assert!(!field.contains("dmarc=pass header.from=legit.example"), "{what}: {field}");
    if ["legit.example", "nx.legit.example"].contains(&facts.from.domain.as_str()) {
        assert_eq!((facts.dmarc.result, facts.dmarc.policy), (DmarcResult::Fail, DmarcPolicy::Reject), "{what}");
    }
}

#[test]
fn named_attacks_never_pass_as_somebody_else() {
    let Some(cases) = corpora::json("spoof-weaklinks", "cases.json") else { return };
    assert_eq!(cases.as_array().unwrap().len(), 30);
    let signer = attacker();
    block_on(async {
        let (_server, authenticator) = authenticator(spoofing_zone(&signer)).await;
        for case in cases.as_array().unwrap() {
            let text = |key: &str| case[key].as_str().unwrap();
            let envelope = Envelope::new(Some("192.0.2.66"), text("helo"), text("mail_from"));
            let facts = evaluate(&authenticator, &envelope, &octets(text("data")), NOW).await;
            assert_honest(&facts, text("id"));
            // What the data tells in words: refused for what From is, or judged as legit.example, or the attacker's own.
            let refused = !facts.from.defects.is_empty();
            let judged = ["legit.example", "nx.legit.example"].contains(&facts.from.domain.as_str());
            let own = ["attacker.example", "xn--80aa1cn6g67a.example"].contains(&facts.from.domain.as_str());
            assert!(refused || judged || own, "{}: {facts:?}", text("id"));
            assert!(!text("must").ends_with("reject") || refused || judged, "{}: {facts:?}", text("id"));
            if text("id") == "forged-arc" {
                assert_eq!(facts.arc.result, ArcResult::Fail);
            }
            if text("id") == "A3-empty-mailfrom-helo-legit" {
                assert_eq!(facts.spf.helo.result, MethodResult::Fail);
            }
        }
    });
}

#[test]
fn fuzzed_authors_never_pass_as_somebody_else() {
    let Some(fuzz) = corpora::json("spoof-weaklinks", "from_fuzz.json") else { return };
    let headers: Vec<String> =
        fuzz.as_array().unwrap().iter().map(|case| case["from_header"].as_str().unwrap().to_owned()).collect();
    assert_eq!(headers.len(), 1241);
    let judged = judge(&headers.iter().map(|header| octets(header)).collect::<Vec<_>>());
    let mut passed = 0;
    for (header, facts) in headers.iter().zip(&judged) {
        assert_honest(facts, header);
        passed += usize::from(facts.dmarc.result == DmarcResult::Pass);
    }
    println!("from_fuzz: {passed} of 1241 pass as the attacker");
}

/// Ways to make one reader see legit.example and another attacker.example: the domain that is judged, and whether From is defective.
const ATTACKS: &[(&str, &str, bool)] = &[
    ("From: admin@legit.example\u{ff20}attacker.example", "", true),
    ("From: admin@legit.example\u{fe6b}attacker.example", "", true),
    ("From: admin@legit\u{3002}example", "", true),
    ("From: admin@legit.example\u{2024}attacker.example", "", true),
    ("From: admin@legit.example\u{200b}@attacker.example", "", true),
    ("From: admin\u{2028}@legit.example", "", true),
    ("From: admin@legit.example\u{a0}<x@attacker.example>", "", true),
    ("From: <@attacker.example:admin@legit.example>", "legit.example", true),
    ("From: <@legit.example,@attacker.example:x@attacker.example>", "attacker.example", true),
    ("From: <admin@legit.example:x@attacker.example>", "", true),
    ("From: (a (b \\) (c)) <admin@legit.example>) x@attacker.example", "attacker.example", false),
    ("From: x@attacker.example (<admin@legit.example>)", "attacker.example", false),
    ("From: admin@legit.example (a (b) x@attacker.example", "", true),
    ("From: admin(@attacker.example)@legit.example", "legit.example", false),
    ("From: \"admin@legit.example\"@attacker.example", "attacker.example", false),
    ("From: \"admin@legit.example\\\"\"@attacker.example", "attacker.example", false),
    ("From: \"admin@legit.example\" x@attacker.example", "", true),
    ("From: admin@legit.example\0", "", true),
    ("From: x@attacker.example\0@legit.example", "", true),
    ("From: admin@legit.example\rFrom: x@attacker.example", "", true),
    ("From: admin@legit.example\r\r\n x@attacker.example", "", true),
    ("From:: x@attacker.example", "", true),
    ("From: : admin@legit.example", "", true),
    ("From: g: admin@legit.example;, x@attacker.example", "", true),
    ("From: g: x@attacker.example;", "attacker.example", true),
    ("From: admin@legit.example\r\n .attacker.example", "", true),
    ("From: admin@legit.\r\n example", "", true),
    ("From: admin@legit.example .attacker.example", "", true),
    ("From: admin.(c)x@attacker.example", "attacker.example", false),
    ("From: admin\r\n @legit.example", "legit.example", false),
    ("From: admin@\r\n\tlegit.example", "", true),
    ("From: admin@legit.example.", "", true),
    ("From: admin@.legit.example", "", true),
    ("From: admin@legit..example", "", true),
    ("From: admin@xn--a.example", "", true),
    ("From: admin@LEGIT.example", "legit.example", false),
    ("From: admin@b\u{fc}cher.legit.example", "xn--bcher-kva.legit.example", false),
    ("From: admin@xn--bcher-kva.legit.example", "xn--bcher-kva.legit.example", false),
    ("From: admin@l\u{435}git.example", "xn--lgit-v4d.example", false),
    ("From: admin%legit.example@attacker.example", "attacker.example", false),
    ("From: admin@legit.example%attacker.example", "", true),
    ("From: legit.example!admin@attacker.example", "attacker.example", false),
    ("From: admin@legit.example!attacker.example", "", true),
    ("From: admin@x_y.legit.example", "x_y.legit.example", false),
    ("From: admin@legit.example; x@attacker.example", "", true),
    ("From: admin@legit.example x@attacker.example", "", true),
    ("From: <admin@legit.example> <x@attacker.example>", "", true),
    ("From: <<admin@legit.example>x@attacker.example>", "", true),
    ("From: <admin@legit.example", "", true),
    ("From: ,,x@attacker.example,,", "attacker.example", false),
    ("From: \"admin@legit.example\", x@attacker.example", "", true),
    ("From: \"admin@legit.example\" <>, x@attacker.example", "", true),
    ("From: \"admin@legit.example\"\r\nFrom: x@attacker.example", "", true),
    ("From: =?utf-8?q?admin=40legit.example?=\r\nFrom: x@attacker.example", "", true),
    ("From: admin@[attacker.example]", "", true),
    ("From: admin@[192.0.2.66]", "", true),
    ("From: =?utf-8?q?admin=40legit=2Eexample?=", "", true),
    ("From: =?utf-8?q?admin=40legit=2Eexample=00?= <x@attacker.example>", "attacker.example", false),
    ("From: x@attacker.example\r\nfrom: admin@legit.example", "", true),
    ("From\t: admin@legit.example\r\nFrom: x@attacker.example", "", true),
    ("From\u{a0}: admin@legit.example\r\nFrom: x@attacker.example", "", true),
    ("From admin@legit.example\r\nFrom: x@attacker.example", "", true),
    ("From:\r\n \r\n admin@legit.example", "legit.example", false),
    (
        "Sender: admin@legit.example\r\nResent-From: admin@legit.example\r\nFrom: x@attacker.example",
        "attacker.example",
        false,
    ),
];

#[test]
fn attacks_of_our_own_never_pass_as_somebody_else() {
    let mut headers: Vec<Vec<u8>> = ATTACKS.iter().map(|(header, ..)| header.as_bytes().to_vec()).collect();
    let long = format!("From: {}@legit.example", "a".repeat(100_000));
    let raw: [&[u8]; 3] = [b"From: admin\xff@legit.example", b"From: admin@legit\xe9.example", long.as_bytes()];
    headers.extend(raw.map(<[u8]>::to_vec));
    let judged = judge(&headers);
    let mut differing = Vec::new();
    for ((header, domain, defective), facts) in ATTACKS.iter().zip(&judged) {
        if (facts.from.domain.as_str(), !facts.from.defects.is_empty()) != (*domain, *defective) {
            differing.push(format!("{header:?}: {:?}", facts.from));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    for (header, facts) in headers.iter().zip(&judged) {
        let header = String::from_utf8_lossy(header);
        assert_honest(facts, &header);
        let own = facts.from.domain == "attacker.example";
        assert_eq!(facts.dmarc.result == DmarcResult::Pass, own, "{header}: {facts:?}");
    }
    for facts in judged.iter().skip(ATTACKS.len()) {
        assert!(facts.from.domain.is_empty() && !facts.from.defects.is_empty(), "{:?}", facts.from);
    }
}

/// Notifications come with the null reverse-path: SPF speaks for HELO, and an address-less From is no author.
#[test]
fn real_bounces_are_evaluated_without_a_reverse_path() {
    let Some(folder) = corpora::folder("realmail-bounces") else { return };
    let signer = attacker();
    block_on(async {
        let (_server, authenticator) = authenticator(spoofing_zone(&signer)).await;
        let envelope = Envelope::new(Some("192.0.2.66"), "attacker.example", "<>");
        let mut bounces = 0;
        for file in
            walk(&folder).into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "eml"))
        {
            let message = crlf(&std::fs::read(&file).unwrap());
            let facts = evaluate(&authenticator, &envelope, &message, NOW).await;
            assert_eq!((facts.spf.mail_from.result, facts.spf.helo.result), (MethodResult::None, MethodResult::Pass));
            assert_ne!(facts.dmarc.result, DmarcResult::Pass, "{}", file.display());
            assert!(facts.dkim.iter().all(|dkim| dkim.result != MethodResult::Pass), "{}", file.display());
            bounces += 1;
        }
        assert_eq!(bounces, 120);
    });
}
