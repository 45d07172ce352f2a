//! DMARC by RFC 9989: policy discovery, alignment, and DNS trouble that is no failure.

use gatepost::authenticate::body::BodyHasher;
use gatepost::authenticate::sign::Signer;
use gatepost::facts::{Dkim, Dmarc, MethodResult, Spf, SpfBoth};
use gatepost::message::author::{Author, read_author};
use gatepost::message::content::Content;
use gatepost::message::header::Header;
use gatepost::smtp::address::{Domain, Host, Mailbox, ReversePath};
use serde_json::Value;

use super::support::corpora;
use super::support::deviations;
use super::support::dns::{Fault, RecordType, Zone, authenticator, block_on};

/// What SPF and DKIM found: `spf=pass a.example`, `dkim=temperror b.example`, `helo=pass c.example`.
#[derive(Default, Clone)]
struct Found {
    spf: SpfBoth,
    null: bool,
    dkim: Vec<Dkim>,
}

fn found(text: &str) -> Found {
    let mut found = Found::default();
    for one in text.split(", ").filter(|one| !one.is_empty()) {
        let (method, rest) = one.split_once('=').unwrap();
        let (word, domain) = rest.split_once(' ').unwrap();
        let (result, domain) = (MethodResult::from_word(word).unwrap(), domain.to_owned());
        match method {
            "spf" => found.spf.mail_from = Spf { result, domain, secure: false },
            "helo" => (found.spf.helo, found.null) = (Spf { result, domain, secure: false }, true),
            "dkim" => found.dkim.push(Dkim { result, domain, ..Dkim::default() }),
            other => panic!("{other}"),
        }
    }
    found
}

fn author(from: &str) -> Author {
    read_author(&Header::parse(format!("From: {from}\r\n").into_bytes()))
}

/// Evaluates with a zone that answers; and all names that were asked for their TXT, each once.
fn evaluate(zone: Zone, from: &str, found: &Found) -> (Dmarc, Vec<String>) {
    evaluate_with(zone, false, from, found)
}

/// The same with a zone that fails: a server that fails is asked again.
fn evaluate_failing(zone: Zone, from: &str, found: &Found) -> (Dmarc, Vec<String>) {
    evaluate_with(zone, true, from, found)
}

fn evaluate_with(zone: Zone, zone_fails: bool, from: &str, found: &Found) -> (Dmarc, Vec<String>) {
    let local = "x".to_owned();
    let host = Domain::parse("mail-from.example").map(Host::Name).unwrap();
    let mail_from = if found.null { ReversePath::Null } else { ReversePath::Mailbox(Mailbox { local, host }) };
    block_on(async {
        let (server, authenticator) = authenticator(zone).await;
        let dmarc = authenticator.dmarc(&author(from), &found.spf, &mail_from, &found.dkim).await;
        let asked = server.asked();
        assert!(zone_fails || asked.values().all(|count| *count == 1), "each name is asked for once: {asked:?}");
        (dmarc, asked.into_keys().filter(|(_, of)| *of == RecordType::TXT).map(|(name, _)| name).collect())
    })
}

/// `result policy published domain` for records `name: text`, an author and what was found.
fn check(records: &[(&str, &str)], from: &str, evidence: &str, expected: &str) {
    let zone = records.iter().fold(Zone::new(), |zone, (name, text)| zone.txt(name, text));
    let (dmarc, _) = evaluate(zone, from, &found(evidence));
    let words = format!("{} {} {} {}", dmarc.result, dmarc.policy, dmarc.published, dmarc.domain);
    assert_eq!(words.trim(), expected, "{records:?} {from} {evidence}");
    assert_eq!(dmarc.aligned, dmarc.result.as_str() == "pass");
}

#[test]
fn rfc9989_cases() {
    let Some(cases) = corpora::json("dmarc-rfc9989", "cases.json") else { return };
    let cases = cases.as_array().unwrap().clone();
    assert_eq!(cases.len(), 30);
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let zone = zone_of(&case["zone"]);
        let list = |name: &str, method: &str| -> Vec<String> {
            let domains = case[name].as_array().unwrap().iter();
            domains.map(|domain| format!("{method}=pass {}", domain.as_str().unwrap())).collect()
        };
        let evidence = [list("dkim_pass_domains", "dkim"), list("spf_pass_domains", "spf")].concat().join(", ");
        let (dmarc, asked) = evaluate(zone, case["header_from"].as_str().unwrap(), &found(&evidence));
        for (key, value) in case["expect"].as_object().unwrap() {
            let said = match key.as_str() {
                "status.result" => dmarc.result.as_str(),
                "policy" => dmarc.policy.as_str(),
                "domain" => dmarc.domain.as_str(),
                "dmarc_queries_in_order" => {
                    let mut names: Vec<_> = value.as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
                    names.sort_unstable();
                    assert_eq!(asked, names, "{id}");
                    continue;
                }
                // Each method alone: it passes where it is aligned.
                "alignment.spf.result" | "alignment.dkim.result" => {
                    let alone = if key.contains("spf") {
                        list("spf_pass_domains", "spf")
                    } else {
                        list("dkim_pass_domains", "dkim")
                    };
                    let zone = zone_of(&case["zone"]);
                    let (dmarc, _) = evaluate(zone, case["header_from"].as_str().unwrap(), &found(&alone.join(", ")));
                    assert_eq!(dmarc.aligned, !value.is_null(), "{id}: {key}");
                    continue;
                }
                // Told by the result: the domains of such a case align when relaxed.
                "alignment.dkim.strict" => continue,
                other => panic!("{other}"),
            };
            let expected = deviations::ours("dmarc-rfc9989", id).unwrap_or_else(|| value.as_str().unwrap());
            assert_eq!(said, expected, "{id}: {key} of {dmarc:?}; {}", case["comment"]);
        }
    }
}

fn zone_of(json: &Value) -> Zone {
    let mut zone = Zone::new();
    for (name, types) in json.as_object().unwrap() {
        for (kind, records) in types.as_object().unwrap() {
            for record in records.as_array().unwrap() {
                zone = match kind.as_str() {
                    "TXT" => {
                        zone.txt_strings(name, record.as_array().unwrap().iter().map(|text| text.as_str().unwrap()))
                    }
                    "A" => zone.a(name, record.as_str().unwrap().parse::<std::net::Ipv4Addr>().unwrap()),
                    "MX" => zone.mx(name, 1, record["exchange"].as_str().unwrap()),
                    other => panic!("{other}"),
                };
            }
        }
    }
    zone
}

/// A failing name ends the walk, so what was asked until then is exactly what stands before it.
#[test]
fn the_walk_asks_in_the_order_of_the_rfc() {
    let order = [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.k.example.com",
        "_dmarc.g.h.i.j.k.example.com",
        "_dmarc.h.i.j.k.example.com",
        "_dmarc.i.j.k.example.com",
        "_dmarc.j.k.example.com",
        "_dmarc.k.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ];
    for (at, failing) in order.iter().enumerate() {
        let zone = Zone::new().failing(failing, RecordType::TXT, Fault::ServFail);
        let (dmarc, mut asked) = evaluate_failing(zone, "x@a.b.c.d.e.f.g.h.i.j.k.example.com", &Found::default());
        let mut expected = order[..=at].to_vec();
        expected.sort_unstable();
        asked.sort_unstable();
        assert_eq!(asked, expected);
        assert_eq!(dmarc.result.as_str(), "temperror");
    }
    for (from, queries) in [("x@com", 1), ("x@a.com", 2), ("x@a.b.c.d.e.f.g.com", 8), ("x@a.b.c.d.e.f.g.h.com", 8)] {
        assert_eq!(evaluate(Zone::new(), from, &Found::default()).1.len(), queries, "{from}");
    }
}

const REJECT: (&str, &str) = ("_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine; np=none");

#[test]
fn alignment_is_relaxed_or_strict() {
    check(&[REJECT], "a@example.com", "spf=pass example.com", "pass reject reject example.com");
    check(&[REJECT], "a@example.com", "dkim=pass mail.example.com", "pass reject reject example.com");
    check(&[REJECT], "a@mail.example.com", "spf=pass other.example.com", "pass none reject example.com");
    check(&[REJECT], "a@example.com", "spf=pass badexample.com, dkim=pass com", "fail reject reject example.com");
    check(
        &[REJECT],
        "a@example.com",
        "spf=fail example.com, dkim=policy example.com",
        "fail reject reject example.com",
    );
    check(&[REJECT], "a@EXAMPLE.com", "dkim=pass Example.COM", "pass reject reject example.com");
    let strict = ("_dmarc.example.com", "v=DMARC1; p=reject; adkim=s; aspf=r");
    check(&[strict], "a@example.com", "dkim=pass m.example.com", "fail reject reject example.com");
    check(&[strict], "a@example.com", "spf=pass m.example.com", "pass reject reject example.com");
    check(&[strict], "a@example.com", "dkim=pass example.com", "pass reject reject example.com");
    // A department that is its own organization (psd=n) does not speak for the rest.
    let own = ("_dmarc.dept.example.com", "v=DMARC1; p=none; psd=n");
    check(&[REJECT, own], "a@example.com", "dkim=pass x.dept.example.com", "fail reject reject example.com");
    check(&[REJECT, own], "a@x.dept.example.com", "dkim=pass example.com", "fail none none dept.example.com");
    check(&[REJECT, own], "a@x.dept.example.com", "dkim=pass y.dept.example.com", "pass none none dept.example.com");
}

#[test]
fn the_policy_that_applies_comes_from_p_sp_np_and_t() {
    let exists = Zone::new().txt(REJECT.0, REJECT.1).present("www.example.com");
    let (dmarc, _) = evaluate(exists, "a@www.example.com", &Found::default());
    assert_eq!((dmarc.policy.as_str(), dmarc.published.as_str()), ("quarantine", "reject"));
    let unknown = Zone::new().txt(REJECT.0, REJECT.1).failing("www.example.com", RecordType::A, Fault::ServFail);
    let (dmarc, _) = evaluate_failing(unknown, "a@www.example.com", &Found::default());
    assert_eq!(dmarc.policy.as_str(), "none", "what can't be told is no ground for the harder policy");
    check(&[REJECT], "a@absent.example.com", "", "fail none reject example.com");
    let one = |text| [("_dmarc.example.com", text)];
    check(&one("v=DMARC1; p=reject; t=y"), "a@example.com", "", "fail quarantine reject example.com");
    check(&one("v=DMARC1; p=reject; sp=none; t=y"), "a@b.example.com", "", "fail none reject example.com");
    check(&one("v=DMARC1; p=quarantine"), "a@b.example.com", "", "fail quarantine quarantine example.com");
    check(&one("v=DMARC1;p=reject;;x;=;y=;"), "a@example.com", "", "fail reject reject example.com");
    check(&one("v=DMARC1; p=reject; sp=bogus"), "a@example.com", "", "none none none");
    check(&one("v=DMARC1; p=bogus; rua=mailto:a@b.example"), "a@example.com", "", "fail none none example.com");
    check(&one("v=DMARC1; p=bogus; rua=nobody"), "a@example.com", "", "none none none");
    check(&one("p=reject; v=DMARC1"), "a@example.com", "", "none none none");
    // A public suffix's record stands in for an organization without one.
    let suffix = ("_dmarc.bank", "v=DMARC1; p=none; sp=quarantine; np=reject; psd=y");
    check(&[suffix], "a@mail.foo.bank", "dkim=pass foo.bank", "pass reject none bank");
    check(&[suffix], "a@mail.foo.bank", "dkim=pass bar.bank", "fail reject none bank");
    check(&[suffix], "a@bank", "dkim=pass bank", "pass none none bank");
}

#[test]
fn trouble_is_a_failure_only_where_it_changes_nothing() {
    check(&[REJECT], "a@example.com", "spf=temperror example.com", "temperror reject reject example.com");
    check(&[REJECT], "a@example.com", "dkim=temperror m.example.com", "temperror reject reject example.com");
    check(&[REJECT], "a@example.com", "dkim=temperror other.example", "fail reject reject example.com");
    check(
        &[REJECT],
        "a@example.com",
        "spf=temperror example.com, dkim=pass example.com",
        "pass reject reject example.com",
    );
    // The organizational domain can't be found out: a subdomain may align, the same name does.
    let zone = || Zone::new().txt(REJECT.0, REJECT.1).failing("_dmarc.com", RecordType::TXT, Fault::ServFail);
    let run = |evidence| evaluate_failing(zone(), "a@example.com", &found(evidence)).0.result.as_str();
    assert_eq!(run("dkim=pass m.example.com"), "temperror");
    assert_eq!(run("dkim=pass example.com"), "pass");
    assert_eq!(run(""), "fail");
    let silent = Zone::new().failing("_dmarc.example.com", RecordType::TXT, Fault::NoAnswer);
    assert_eq!(
        evaluate_failing(silent, "a@example.com", &found("dkim=pass example.com")).0.result.as_str(),
        "temperror"
    );
}

/// The attacks of "Weak Links in Authentication Chains", each with the attacker's own SPF pass: none may pass as somebody else.
#[test]
fn spoofed_authors_never_pass() {
    let Some(cases) = corpora::json("spoof-weaklinks", "cases.json") else { return };
    let fuzz = corpora::json("spoof-weaklinks", "from_fuzz.json").unwrap();
    let zone = Zone::new()
        .txt("attacker.example", "v=spf1 ip4:192.0.2.66 -all")
        .txt("_dmarc.attacker.example", "v=DMARC1; p=none")
        .txt("legit.example", "v=spf1 ip4:198.51.100.1 -all")
        .txt("_dmarc.legit.example", "v=DMARC1; p=reject; np=reject");
    block_on(async {
        let (_server, authenticator) = authenticator(zone).await;
        let ip = "192.0.2.66".parse().unwrap();
        let judge = async |message: &[u8], helo: &str, mail_from: &str| {
            let mail_from = match mail_from.trim_matches(['<', '>']).rsplit_once('@') {
                None => ReversePath::Null,
                Some((local, domain)) => {
                    let host = Domain::parse(domain).map(Host::Name).unwrap();
                    ReversePath::Mailbox(Mailbox { local: local.to_owned(), host })
                }
            };
            let spf = SpfBoth {
                helo: authenticator.spf_helo(ip, helo).await,
                mail_from: authenticator.spf_mail_from(ip, helo, &mail_from).await,
            };
            let author = read_author(&Content::parse(message).header);
            (authenticator.dmarc(&author, &spf, &mail_from, &[]).await, author)
        };
        let text = |case: &Value, key: &str| case[key].as_str().unwrap().to_owned();
        for case in cases.as_array().unwrap() {
            let (dmarc, author) =
                judge(&super::author::octets(&text(case, "data")), &text(case, "helo"), &text(case, "mail_from")).await;
            let domain = author.domain().map(|domain| domain.as_str()).unwrap_or_default();
            let expected = match domain {
                "attacker.example" => "pass none",
                "legit.example" | "nx.legit.example" => "fail reject",
                _ => "none none",
            };
            assert_eq!(format!("{} {}", dmarc.result, dmarc.policy), expected, "{}: {author:?}", case["id"]);
        }
        for case in fuzz.as_array().unwrap() {
            let message = super::author::octets(&text(case, "from_header"));
            let (dmarc, author) = judge(&message, "attacker.example", "<x@attacker.example>").await;
            assert_ne!(dmarc.result.as_str(), "pass", "{author:?}");
        }
    });
}

/// What the server does with these futures: they run in a task of their own, on any thread.
#[test]
fn all_checks_run_in_any_task() {
    fn sendable<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    block_on(async {
        let (_server, authenticator) = authenticator(Zone::new()).await;
        let signed = std::sync::Arc::new(super::dkim::signed(b"From: a@x.example\r\n\r\n", 1));
        let checks = sendable({
            let (authenticator, signed) = (authenticator.clone(), signed.clone());
            async move {
                let author = author("a@x.example");
                let hasher =
                    BodyHasher::for_header(&std::sync::Arc::new(Header::parse(b"From: a@x.example\r\n".to_vec())));
                authenticator.fetch_dkim_keys(&hasher.keys()).await;
                authenticator.fetch_dmarc_policy(&author).await;
                let dkim = authenticator.dkim(&signed, 0).await;
                let arc = authenticator.arc(&signed, 0).await;
                let dmarc = authenticator.dmarc(&author, &SpfBoth::default(), &ReversePath::Null, &dkim).await;
                (dkim.len(), arc.result, dmarc.result)
            }
        });
        let (dkim, arc, dmarc) = tokio::spawn(checks).await.unwrap();
        assert_eq!((dkim, arc.as_str(), dmarc.as_str()), (0, "none", "none"));
    });
}

/// What the header allows is asked for while the body comes in; the check itself then finds it in the cache.
#[test]
fn keys_and_policy_are_fetched_ahead() {
    let signer = Signer::new_ed25519("example.com", "s1").unwrap();
    let message = "From: a@example.com\r\n\r\nbody\r\n";
    let message = signer.sign(message.as_bytes(), 1_800_000_000).unwrap() + message;
    let zone = Zone::new().txt(&signer.key_name(), &signer.key_record()).txt(REJECT.0, REJECT.1);
    block_on(async {
        let (server, authenticator) = authenticator(zone).await;
        let content = Content::parse(message.as_bytes());
        let mut hasher = BodyHasher::for_header(&content.header);
        let author = read_author(&content.header);
        authenticator.fetch_dkim_keys(&hasher.keys()).await;
        authenticator.fetch_dmarc_policy(&author).await;
        let asked = server.queries();
        hasher.write(&content.body.memory());
        let dkim = authenticator.dkim(&hasher.finish(), 1_800_000_000).await;
        let dmarc = authenticator.dmarc(&author, &SpfBoth::default(), &ReversePath::Null, &dkim).await;
        assert_eq!((dkim[0].result.as_str(), dmarc.result.as_str()), ("pass", "pass"));
        assert_eq!((asked, server.queries()), (2, 2));
    });
}

#[test]
fn an_author_without_exactly_one_domain_is_none_and_nothing_is_asked() {
    for from in ["a@example.com, b@other.example", "", "nobody", "<a@example.com> b", "a@[192.0.2.1]"] {
        let zone = Zone::new().txt(REJECT.0, REJECT.1);
        let (dmarc, asked) = evaluate(zone, from, &found("spf=pass example.com, dkim=pass example.com"));
        assert_eq!(dmarc, Dmarc::default(), "{from}");
        assert_eq!(asked, [""; 0]);
    }
    check(&[REJECT], "a@example.com, b@example.com", "dkim=pass example.com", "pass reject reject example.com");
}

#[test]
fn with_a_null_reverse_path_spf_speaks_for_the_helo_domain() {
    check(&[REJECT], "a@example.com", "helo=pass mx.example.com", "pass reject reject example.com");
    check(&[REJECT], "a@example.com", "helo=fail mx.example.com", "fail reject reject example.com");
    let mut not_null = found("helo=pass mx.example.com");
    not_null.null = false;
    let (dmarc, _) = evaluate(Zone::new().txt(REJECT.0, REJECT.1), "a@example.com", &not_null);
    assert_eq!(dmarc.result.as_str(), "fail", "a HELO domain is no identifier beside a reverse-path");
}

#[test]
fn names_in_u_labels_are_compared_as_a_labels() {
    let record = ("_dmarc.xn--bcher-kva.example", "v=DMARC1; p=reject");
    check(&[record], "a@bücher.example", "dkim=pass bücher.example", "pass reject reject xn--bcher-kva.example");
}
