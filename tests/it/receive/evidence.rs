//! Evidence over a session: what the DNS and the signatures say reaches record, Authentication-Results and rules.

use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use gatepost::authenticate::sign::Signer;
use gatepost::facts::record::Record;
use gatepost::facts::{
    ArcResult, DmarcPolicy, DmarcResult, Facts, IprevResult, MethodResult, Mx, ReverseMx, ReverseMxResult,
};

use crate::support::corpora;
use crate::support::dns::{Fault, RecordType, Zone};
use crate::support::site::{OPEN, Reply, Setup, Site, crlf};

const DEFAULT: &str = include_str!("../../../policies/default.toml");

/// The client that honest mail comes from, and one that nobody knows.
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

fn signer() -> Signer {
    Signer::new_ed25519("good.example", "sel").unwrap()
}

/// good.example, whose one line out is HONEST, and which asks for refusal of what is not its own.
fn zone(signer: &Signer) -> Zone {
    Zone::new()
        .mx("good.example", 10, "mail.good.example")
        .a("mail.good.example", HONEST)
        .ptr(HONEST, "mail.good.example")
        .txt("good.example", "v=spf1 mx -all")
        .txt("mail.good.example", "v=spf1 a -all")
        .txt("_dmarc.good.example", "v=DMARC1; p=reject")
        .txt(&signer.key_name(), &signer.key_record())
        .mx("other.example", 10, "mx.other.example")
        .a("mx.other.example", [127, 0, 0, 200])
}

#[test]
fn a_reverse_path_of_u_labels_is_looked_up_as_a_labels() {
    // RFC 6531 §3.7.1, RFC 5891 §4.4: DNS knows A-labels only
    let name = "xn--bcher-kva.example";
    let zone = Zone::new().mx(name, 10, "mail.xn--bcher-kva.example").a("mail.xn--bcher-kva.example", HONEST);
    let site = Site::judging(OPEN, zone.txt(name, "v=spf1 mx -all"));
    let mut client = site.dial_from(HONEST);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<j\u{f6}rg@B\u{dc}CHER.example> SMTPUTF8", "250");
    client.expect("RCPT TO:<alice@local.example>", "250");
    let reply = client.data(crlf("From: <j\u{f6}rg@b\u{fc}cher.example>\nSubject: x\n\nx\n".as_bytes()));
    let facts = site.record(reply.is("250")).facts;
    assert_eq!((facts.mail_from.domain.as_str(), facts.from.domain.as_str()), (name, name));
    assert_eq!(facts.spf.mail_from.result, MethodResult::Pass);
    assert_eq!(facts.reverse_mx.mail_from.result, ReverseMxResult::Pass);
    assert_eq!(facts.reverse_mx.from.result, ReverseMxResult::Pass);
}

fn signed(signer: &Signer, message: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!("{}{message}", signer.sign(message.as_bytes(), now).unwrap())
}

const MESSAGE: &str = "From: Good <a@good.example>\r\nReply-To: <r@other.example>\r\nTo: <alice@local.example>\r\n\
    Message-ID: <1@good.example>\r\nSubject: hello\r\n\r\nhello\r\n";

fn send(site: &Site, from: Ipv4Addr, helo: &str, reverse_path: &str, message: impl AsRef<[u8]>) -> Reply {
    let mut client = site.dial_from(from);
    client.expect(&format!("EHLO {helo}"), "250");
    client.expect(&format!("MAIL FROM:<{reverse_path}>"), "250");
    let rcpt = client.say("RCPT TO:<alice@local.example>");
    if rcpt.code != 250 {
        client.expect("QUIT", "221");
        return rcpt;
    }
    client.data(message)
}

fn reverse_mx(domain: &str, result: ReverseMxResult, mx: Mx) -> ReverseMx {
    ReverseMx { domain: domain.to_owned(), result, mx, secure: false }
}

#[test]
fn an_honest_message_has_it_all() {
    let signer = signer();
    let site = Site::judging(DEFAULT, zone(&signer));
    let reply = send(&site, HONEST, "mail.good.example", "a@good.example", signed(&signer, MESSAGE));
    let record = site.record(reply.is("250 2.0.0"));
    let facts = &record.facts;
    assert_eq!((facts.iprev.result, facts.client.name.as_str()), (IprevResult::Pass, "mail.good.example"));
    assert_eq!((facts.spf.helo.result, facts.spf.mail_from.result), (MethodResult::Pass, MethodResult::Pass));
    let dkim: Vec<_> = facts.dkim.iter().map(|one| (one.result, one.domain.as_str(), one.selector.as_str())).collect();
    assert_eq!(dkim, [(MethodResult::Pass, "good.example", "sel")]);
    assert_eq!((facts.dmarc.result, facts.dmarc.policy), (DmarcResult::Pass, DmarcPolicy::Reject));
    assert_eq!((facts.dmarc.domain.as_str(), facts.dmarc.aligned), ("good.example", true));
    assert_eq!(facts.arc.result, ArcResult::None);
    let four = &facts.reverse_mx;
    assert_eq!(four.mail_from, reverse_mx("good.example", ReverseMxResult::Pass, Mx::Explicit));
    assert_eq!(four.from, reverse_mx("good.example", ReverseMxResult::Pass, Mx::Explicit));
    assert_eq!(four.reply_to, reverse_mx("other.example", ReverseMxResult::Fail, Mx::Explicit));
    assert_eq!(four.ptr, reverse_mx("mail.good.example", ReverseMxResult::Pass, Mx::Implicit));
    assert_eq!((facts.message.message_id.as_str(), facts.score), ("<1@good.example>", 0.0));
    let file = site.only("local.example/alice").replace("\n\t", " ");
    let results = file.lines().find(|line| line.starts_with("Authentication-Results:")).unwrap();
    for part in [
        " spf=pass smtp.mailfrom=good.example",
        " spf=pass smtp.helo=mail.good.example",
        " dkim=pass header.d=good.example header.s=sel",
        " dmarc=pass header.from=good.example policy.dmarc=reject",
        " arc=none",
        " iprev=pass policy.iprev=127.0.0.9",
        " x-reverse-mx=pass reason=\"explicit\" smtp.mailfrom=good.example",
        " x-reverse-mx=fail reason=\"explicit\" header.reply-to=other.example",
        " x-reverse-mx=pass reason=\"implicit\" policy.iprev=mail.good.example",
    ] {
        assert!(results.contains(part), "{part} is not in {results}");
    }
    assert_eq!(site.metric("gatepost_authentication_results_total", &["dmarc", "\"pass\""]), 1.0);
}

#[test]
fn a_forgery_that_nothing_vouches_for_is_refused() {
    let signer = signer();
    let site = Site::judging(DEFAULT, zone(&signer));
    let reply = send(&site, STRANGER, "stranger.example", "a@good.example", MESSAGE);
    let record = site.record(reply.is("550 5.7.1 good.example asks receivers to refuse mail that fails DMARC"));
    assert_eq!(record.decision.rule, "dmarc-reject");
    assert_eq!(record.facts.spf.mail_from.result, MethodResult::Fail);
    assert_eq!(record.facts.iprev.result, IprevResult::PermError, "no PTR");
    assert_eq!(record.facts.reverse_mx.mail_from.result, ReverseMxResult::Fail);
    assert_eq!(record.facts.reverse_mx.ptr, ReverseMx::default());
    assert_eq!(site.all_files().len(), 0);
}

#[test]
fn a_signature_holds_over_a_forwarder_and_breaks_with_the_body() {
    let signer = signer();
    let zone = zone(&signer).a("forwarder.example", STRANGER).txt("forwarder.example", "v=spf1 a -all");
    let site = Site::judging(DEFAULT, zone);
    let message = signed(&signer, MESSAGE);
    let reply = send(&site, STRANGER, "forwarder.example", "a@good.example", &message);
    let facts = site.record(reply.is("250 2.0.0")).facts;
    assert_eq!((facts.spf.mail_from.result, facts.dkim[0].result), (MethodResult::Fail, MethodResult::Pass));
    assert_eq!(facts.dmarc.result, DmarcResult::Pass);
    // the forwarder's own SPF passes for its HELO: something vouches, so it is quarantined and not refused
    let reply =
        send(&site, STRANGER, "forwarder.example", "a@good.example", message.replace("\r\n\r\nhello", "\r\n\r\nadded"));
    let record = site.record(reply.is("250 2.0.0"));
    assert_eq!(record.facts.dkim[0].result, MethodResult::Fail);
    assert_eq!(record.decision.rule, "dmarc-quarantine");
    assert_eq!(site.delivered("local.example/alice/.Junk").len(), 1);
}

#[test]
fn a_header_or_body_that_comes_in_pieces_is_hashed_as_one() {
    let signer = signer();
    let site = Site::judging(OPEN, zone(&signer));
    let message = signed(&signer, &format!("{MESSAGE}.dots\r\n..\r\n{}", "a line of some length\r\n".repeat(9000)));
    let mut client = site.dial_from(HONEST);
    client.begin("a@good.example", &["alice@local.example"]);
    client.expect("DATA", "354");
    for piece in crate::support::site::stuffed(message.as_bytes()).chunks(4099) {
        client.send(piece);
    }
    let facts = site.record(client.reply().is("250")).facts;
    assert_eq!(facts.dkim[0].result, MethodResult::Pass, "{:?}", facts.dkim);
    assert_eq!(facts.message.bytes, message.len() as u64);
}

#[test]
fn an_arc_chain_is_followed() {
    let Some(suite) = corpora::json("arc-valimail", "validation.json") else { return };
    let records = suite[0]["txt-records"].as_object().unwrap().iter();
    let site = Site::open(records.fold(Zone::new(), |zone, (name, text)| zone.txt(name, text.as_str().unwrap())));
    let mut seen = std::collections::BTreeSet::new();
    for (id, test) in suite[0]["tests"].as_object().unwrap() {
        let message = crlf(test["message"].as_str().unwrap().as_bytes());
        let reply = send(&site, STRANGER, "stranger.example", "a@sender.example", message);
        let found = site.record(reply.is("250")).facts.arc.result;
        let Some(expected) = test["cv"].as_str().filter(|word| !word.is_empty()) else { continue };
        assert_eq!(found.as_str(), expected.to_lowercase(), "{id}");
        seen.insert(found.as_str());
    }
    assert!(["none", "pass", "fail"].iter().all(|word| seen.contains(word)), "{seen:?}");
}

/// A message by good.example from its own host, judged by the default policy, while the DNS has trouble.
fn in_trouble(zone: impl FnOnce(Zone, &Signer) -> Zone) -> (Reply, Record) {
    let signer = signer();
    let site = Site::judging(DEFAULT, zone(self::zone(&signer), &signer));
    let reply = send(&site, HONEST, "unknown.example", "a@good.example", signed(&signer, MESSAGE));
    let record = site.record(&reply);
    (reply, record)
}

#[test]
fn dns_trouble_is_temperror_and_never_a_refusal_for_good() {
    let (reply, record) = in_trouble(|zone, _| zone.failing("good.example", RecordType::MX, Fault::ServFail));
    reply.is("451 4.4.3 looking up good.example failed");
    assert_eq!(record.facts.reverse_mx.mail_from, reverse_mx("good.example", ReverseMxResult::TempError, Mx::Unknown));

    let dmarc_only = |zone: Zone, signer: &Signer| {
        zone.failing("_dmarc.good.example", RecordType::TXT, Fault::Refused)
            .failing("good.example", RecordType::TXT, Fault::ServFail)
            .failing(&signer.key_name(), RecordType::TXT, Fault::ServFail)
    };
    let (reply, record) = in_trouble(dmarc_only);
    reply.is("451 4.7.1 looking up the DMARC policy of good.example failed");
    assert_eq!(record.facts.dmarc.result, DmarcResult::TempError);

    let (reply, record) = in_trouble(|zone, signer| {
        zone.failing("good.example", RecordType::TXT, Fault::ServFail).failing(
            &signer.key_name(),
            RecordType::TXT,
            Fault::ServFail,
        )
    });
    reply.is("451 4.7.1 looking up ");
    assert_eq!(record.facts.spf.mail_from.result, MethodResult::TempError);
    assert_eq!(record.facts.dkim[0].result, MethodResult::TempError);

    let (reply, record) = in_trouble(|zone, _| zone.ptr_failing(HONEST, Fault::ServFail));
    reply.is("250 2.0.0");
    assert_eq!((record.facts.iprev.result, record.facts.score), (IprevResult::TempError, 0.0));
}

#[test]
fn silence_of_the_dns_is_temperror_too() {
    let (reply, record) = in_trouble(|zone, _| {
        let zone = zone.failing("good.example", RecordType::TXT, Fault::NoAnswer);
        zone.failing("_dmarc.good.example", RecordType::TXT, Fault::NoAnswer)
    });
    // the signature holds and vouches
    reply.is("250 2.0.0");
    assert_eq!(record.facts.spf.mail_from.result, MethodResult::TempError);
    assert_eq!(record.facts.dmarc.result, DmarcResult::TempError);
    assert_eq!(record.facts.dkim[0].result, MethodResult::Pass);
    let waited = record.timings_us.total;
    assert!(waited < 30_000_000, "{waited} µs: all the evidence within 30 s");
}

#[test]
fn names_in_a_reverse_path_can_not_hide_records_from_later_checks() {
    // a cache that keeps what the first asker made of a record would find no DMARC policy and no key afterwards
    let signer = signer();
    let spf = format!("v=spf1 include:_dmarc.good.example include:{} redirect=_dmarc.good.example", signer.key_name());
    let zone = zone(&signer)
        .mx("attacker.example", 1, "mail.good.example")
        .txt("attacker.example", &spf)
        .mx("policy.example", 1, "mail.good.example")
        .txt("policy.example", "v=spf1 -all exp=_dmarc.good.example")
        .mx("key.example", 1, "mail.good.example")
        .txt("key.example", &format!("v=spf1 -all exp={}", signer.key_name()));
    let site = Site::judging(DEFAULT, zone);
    for explained in ["policy.example", "key.example"] {
        // an explanation is the attacker's text, and is never fetched
        let reverse_path = format!("x@{explained}");
        let reply =
            send(&site, STRANGER, "stranger.example", &reverse_path, MESSAGE.replace("good.example", explained));
        assert_eq!(site.record(&reply).facts.spf.mail_from.result, MethodResult::Fail);
    }
    assert_eq!(site.dns.count("_dmarc.good.example", RecordType::TXT), 0);
    for name in ["_dmarc.good.example", &signer.key_name(), "_DMARC.Good.Example"] {
        // as the reverse-path's domain (which our reader of addresses refuses), as HELO, and by the SPF record of a domain of the
        // attacker's, which leads SPF to any name
        let mut client = site.dial_from(STRANGER);
        client.expect("EHLO stranger.example", "250");
        client.expect(&format!("MAIL FROM:<x@{name}>"), "501 5.1.7");
        client.expect(&format!("EHLO {name}"), "250");
        client.expect("MAIL FROM:<x@attacker.example>", "250");
        client.expect("RCPT TO:<alice@local.example>", "250");
        client.data(MESSAGE.replace("good.example", "attacker.example"));
    }
    let asked = site.dns.count(&signer.key_name(), RecordType::TXT);
    assert!(asked > 0, "the attack asks for it");
    assert!(site.dns.count("_dmarc.good.example", RecordType::TXT) > 0, "the attack asks for it");
    let forged = send(&site, STRANGER, "stranger.example", "a@good.example", MESSAGE);
    let record = site.record(forged.is("550 5.7.1"));
    assert_eq!((record.facts.dmarc.result, record.facts.dmarc.policy), (DmarcResult::Fail, DmarcPolicy::Reject));
    let honest = send(&site, STRANGER, "stranger.example", "a@good.example", signed(&signer, MESSAGE));
    let facts = site.record(honest.is("250")).facts;
    assert_eq!((facts.dkim[0].result, facts.dmarc.result), (MethodResult::Pass, DmarcResult::Pass));
}

/// However the attacker has the victim's names asked: in other cases, with a final dot, behind aliases, for other types, by signatures.
#[test]
fn no_spelling_alias_or_type_of_a_victims_name_hides_its_records() {
    for ttl in [0, 300] {
        let signer = signer();
        let key = signer.key_name();
        let include = format!(
            "v=spf1 include:_DMARC.Good.Example. a:_dmarc.good.example mx:{key} exists:_dmarc.good.example \
             include:policy.attacker.example ptr:{key} -all"
        );
        let zone = zone(&signer)
            .ttl(ttl)
            .mx("*.attacker.example", 1, "mail.good.example")
            .txt("a.attacker.example", &include)
            .txt("b.attacker.example", &format!("v=spf1 include:{} redirect=key.attacker.example", key.to_uppercase()))
            .cname("policy.attacker.example", "_dmarc.good.example")
            .cname("key.attacker.example", &key)
            .cname("_dmarc.attacker.example", "_dmarc.good.example")
            .cname("s._domainkey.attacker.example", &key)
            .ptr([127, 0, 0, 67], "_dmarc.good.example");
        let site = Site::judging(DEFAULT, zone);
        let attacker = Ipv4Addr::new(127, 0, 0, 67);
        let keys =
            [("s", "attacker.example"), ("SEL", "GOOD.EXAMPLE"), ("sel", "good.example."), ("_dmarc", "good.example")];
        let signatures: String = keys
            .map(|(s, d)| format!("DKIM-Signature: v=1; a=rsa-sha256; d={d}; s={s}; h=from; bh=AAAA; b=AAAA\r\n"))
            .concat();
        let helos =
            ["_dmarc.good.example.", "_DMARC.good.EXAMPLE", "policy.attacker.example", "key.attacker.example", &key];
        let authors =
            ["attacker.example", "_dmarc.good.example", "_dmarc.attacker.example", "sub._domainkey.good.example"];
        for (helo, author) in helos.into_iter().zip(authors.into_iter().cycle()) {
            for domain in
                ["a.attacker.example", "b.attacker.example", "policy.attacker.example", "key.attacker.example"]
            {
                let message = format!("{signatures}{}", MESSAGE.replace("good.example", author));
                let reply = send(&site, attacker, helo, &format!("x@{domain}"), message);
                assert_ne!(reply.code, 0, "{helo} {domain} {author}");
            }
        }
        for name in ["_dmarc.good.example", &key] {
            assert!(site.dns.count(name, RecordType::TXT) > 0 && site.dns.count(name, RecordType::A) > 0, "{name}");
        }
        let forged = send(&site, STRANGER, "stranger.example", "a@good.example", MESSAGE);
        let facts = site.record(forged.is("550 5.7.1")).facts;
        assert_eq!((facts.dmarc.result, facts.dmarc.policy), (DmarcResult::Fail, DmarcPolicy::Reject), "ttl {ttl}");
        assert_eq!(facts.spf.mail_from.result, MethodResult::Fail);
        let honest = send(&site, HONEST, "mail.good.example", "a@good.example", signed(&signer, MESSAGE));
        let facts = site.record(honest.is("250")).facts;
        assert_eq!((facts.dkim[0].result, facts.dmarc.result), (MethodResult::Pass, DmarcResult::Pass), "ttl {ttl}");
        assert_eq!((facts.spf.mail_from.result, facts.spf.helo.result), (MethodResult::Pass, MethodResult::Pass));
    }
}

#[test]
fn a_trusted_client_is_not_looked_up() {
    let signer = signer();
    let site = Site::start(Setup {
        zone: zone(&signer),
        policy: DEFAULT,
        smtp: "postmaster = \"alice@local.example\"\ntrusted = [\"127.0.0.64/29\"]",
        ..Setup::default()
    });
    let reply = send(&site, STRANGER, "stranger.example", "a@good.example", signed(&signer, MESSAGE));
    let record = site.record(reply.is("250 2.0.0"));
    let Facts { client, iprev, spf, reverse_mx, dkim, .. } = &record.facts;
    assert!(client.trusted);
    assert_eq!(iprev.result, IprevResult::None);
    assert_eq!((spf.helo.result, spf.mail_from.result), (MethodResult::None, MethodResult::None));
    assert_eq!(*reverse_mx, Default::default());
    assert_eq!(dkim[0].result, MethodResult::Pass, "signatures are the author's, whoever hands the message in");
    let asked = site.dns.asked();
    let about_the_client = |(name, kind): &(String, RecordType)| {
        *kind == RecordType::PTR || *kind == RecordType::MX || name == "stranger.example"
    };
    assert!(!asked.keys().any(about_the_client), "{asked:?}");
    assert_eq!(record.decision.rule, "");
    // an address beside the network is a stranger still
    let other = send(&site, Ipv4Addr::new(127, 0, 0, 72), "stranger.example", "a@good.example", MESSAGE);
    other.is("550 5.7.1");
}

#[test]
fn a_sender_with_several_lines_out_passes_by_any_of_them() {
    let zone = Zone::new()
        .mx("lines.example", 10, "mx1.lines.example")
        .mx("lines.example", 20, "mx2.lines.example")
        .a("mx1.lines.example", [127, 0, 1, 1])
        .a("mx1.lines.example", [127, 0, 1, 2])
        .aaaa("mx2.lines.example", std::net::Ipv6Addr::LOCALHOST)
        .a("mx2.lines.example", [127, 0, 1, 3]);
    let site = Site::open(zone);
    let expected = [
        (1, ReverseMxResult::Pass),
        (2, ReverseMxResult::Pass),
        (3, ReverseMxResult::Pass),
        (4, ReverseMxResult::Fail),
    ];
    for (last, result) in expected {
        let message = "From: <a@lines.example>\r\n\r\nx\r\n";
        let reply = send(&site, Ipv4Addr::new(127, 0, 1, last), "x.example", "a@lines.example", message);
        assert_eq!(site.record(&reply).facts.reverse_mx.mail_from.result, result, "127.0.1.{last}");
    }
}

#[test]
fn a_reverse_path_that_can_not_be_answered_is_refused_by_default() {
    let zone = Zone::new().mx("null.example", 0, ".").a("implicit.example", [127, 0, 0, 1]);
    let site = Site::judging(DEFAULT, zone);
    let answers = [
        ("a@null.example", "550 5.7.27 null.example has a null MX"),
        ("a@nowhere.example", "550 5.1.8 nowhere.example does not exist"),
        ("a@implicit.example", "250 2.1.5"),
        ("", "250 2.1.5"),
        ("a@[127.0.0.1]", "250 2.1.5"),
    ];
    for (reverse_path, codes) in answers {
        let mut client = site.dial_from(STRANGER);
        client.expect("EHLO x.example", "250");
        client.expect(&format!("MAIL FROM:<{reverse_path}>"), "250");
        client.expect("RCPT TO:<alice@local.example>", codes);
        client.expect("RCPT TO:<postmaster@local.example>", if codes.starts_with('2') { "" } else { "250" });
    }
}

/// The signature covers the subject. What it was worth is said of the message as it came; the stored copy is another.
#[test]
fn a_tagged_subject_breaks_the_signature_of_the_copy_and_not_what_is_said_of_it() {
    let signer = signer();
    let tag = "[[rule]]\nname = 'tag'\nat = 'data'\nwhen = 'true'\ntag_subject = '[EXTERNAL] '\n";
    let site = Site::judging(tag, zone(&signer));
    let reply = send(&site, HONEST, "mail.good.example", "a@good.example", signed(&signer, MESSAGE));
    let record = site.record(reply.is("250 2.0.0"));
    assert_eq!((record.facts.dkim[0].result, record.facts.dmarc.result), (MethodResult::Pass, DmarcResult::Pass));
    let copy = site.only("local.example/alice");
    assert!(copy.contains("\nSubject: [EXTERNAL] hello\n"), "{copy}");
    let unfolded = copy.replace("\n\t", " ");
    let results = unfolded.lines().find(|line| line.starts_with("Authentication-Results:")).unwrap();
    assert!(results.contains(" dkim=pass header.d=good.example"), "{results}");
    assert!(results.contains(" dmarc=pass header.from=good.example"), "{results}");
    // whoever checks the copy again, under a name of another host's, finds the signature broken; without the tag it holds
    for (sent, result) in [(copy.clone(), MethodResult::Fail), (copy.replace("[EXTERNAL] ", ""), MethodResult::Pass)] {
        let again = Site::judging(OPEN, zone(&signer));
        let reply = send(&again, HONEST, "mail.good.example", "a@good.example", crlf(sent.as_bytes()));
        assert_eq!(again.record(reply.is("250")).facts.dkim[0].result, result, "{sent}");
    }
}
