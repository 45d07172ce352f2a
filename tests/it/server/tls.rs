//! STARTTLS (RFC 3207): versions, names, keys that do not fit, and what a client slips in before the handshake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gatepost::config::Config;
use gatepost::problem::Source;
use gatepost::server;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs::kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};

use crate::support::corpora;
use crate::support::dns::Zone;
use crate::support::site::{Client, OPEN, Setup, Site, message};

/// Takes any certificate: what is shown is compared by the test.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub(super) static ANY_VERSION: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

pub(super) fn speaking(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth()
}

/// A certificate for a name: chain and key as PEM, and the certificate as it is shown.
pub(super) fn certificate(name: &str) -> (String, String, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem(), made.cert.der().to_vec())
}

const TLS: &str = "[smtp.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

fn site(zone: Zone) -> Site {
    let (cert, key, _) = certificate("mx.local.example");
    let files = [("cert.pem", cert.as_str()), ("key.pem", key.as_str())];
    Site::start(Setup { zone, domains: &with_tls(TLS), files: &files, ..Setup::default() })
}

fn with_tls(tls: &str) -> String {
    format!("{tls}{}", Setup::default().domains)
}

fn secured(site: &Site, versions: &[&'static SupportedProtocolVersion]) -> Client {
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("STARTTLS", "220 2.0.0");
    client.secure(speaking(versions), "mx.local.example").unwrap();
    client
}

#[test]
fn both_versions_are_spoken_and_told_in_record_and_received() {
    let site = site(Zone::new());
    for (version, word) in [(&rustls::version::TLS12, "TLSv1.2"), (&rustls::version::TLS13, "TLSv1.3")] {
        let mut client = secured(&site, &[version]);
        let ehlo = client.say("EHLO client.example");
        assert!(!ehlo.text.contains("STARTTLS"), "not offered twice: {ehlo:?}");
        client.expect("STARTTLS", "503 5.5.1");
        client.mail("a@sender.example", &["alice@local.example"]);
        let record = site.record(&client.data(message("a@sender.example")));
        let tls = record.facts.tls.unwrap();
        assert_eq!(tls.version, word);
        assert!(tls.cipher.starts_with("TLS_") && !tls.cipher.contains("13_"), "an IANA name: {}", tls.cipher);
        let file = String::from_utf8(std::fs::read(site.path("mail").join(&record.delivery[0].file)).unwrap()).unwrap();
        assert!(file.contains(" with ESMTPS id ") && file.contains(&format!("({word} {})", tls.cipher)), "{file}");
        client.expect("QUIT", "221");
    }
    assert_eq!(site.metric("gatepost_tls_handshakes_total", &["outcome=\"ok\""]), 2.0);
    site.wait_for_metric("gatepost_sessions_total", &["TLSv1.2"], 1.0);
}

#[test]
fn the_name_that_the_client_asks_for_chooses_the_certificate() {
    let (cert, key, first) = certificate("mx.local.example");
    let (more_cert, more_key, second) = certificate("mx.other.example");
    let tls = format!("{TLS}more = [{{ certificate = \"more.pem\", key = \"more.key\" }}]\n");
    let site = Site::start(Setup {
        domains: &with_tls(&tls),
        files: &[("cert.pem", &cert), ("key.pem", &key), ("more.pem", &more_cert), ("more.key", &more_key)],
        ..Setup::default()
    });
    let names = [("mx.other.example", &second), ("mx.local.example", &first), ("unknown.example", &first)];
    for (name, expected) in names.into_iter().chain([("127.0.0.1", &first)]) {
        let mut client = site.dial();
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220");
        let shown = client.secure(speaking(ANY_VERSION), name).unwrap();
        assert!(shown.certificate == *expected, "{name}");
    }
}

/// The one line that the start ends with.
fn start_fails(cert: &str, key: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("cert.pem", cert), ("key.pem", key), ("policy.toml", OPEN)] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let text = format!(
        "hostname = \"mx.local.example\"\n[smtp]\nlisten = [\"127.0.0.1:0\"]\npostmaster = \"a@local.example\"\n{TLS}\
         [maildir]\nroot = \"mail\"\n[domains.\"local.example\"]\nmailboxes = [\"a\"]\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[journal]\ndirectory = \"journal\"\n"
    );
    let source = Arc::new(Source { name: "gatepost.toml".to_owned(), text });
    let config = Config::parse(source, directory.path()).unwrap_or_else(|problems| panic!("{problems}"));
    match server::bind(&config) {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_key_that_does_not_fit_is_told_at_its_key() {
    let (cert, key, _) = certificate("mx.local.example");
    let (_, other, _) = certificate("mx.local.example");
    for (cert, key, words) in [
        (cert.as_str(), other.as_str(), ["key.pem: this key does not fit the certificate in", "cert.pem"]),
        (&cert, "no key", ["key.pem: there is no private key in PEM format", "smtp.tls"]),
        (&cert, &cert, ["key.pem: there is no private key in PEM format", "smtp.tls"]),
        (&key, &key, ["cert.pem: there is no certificate in PEM format", "smtp.tls"]),
        ("", &key, ["cert.pem: there is no certificate in PEM format", "smtp.tls"]),
    ] {
        let said = start_fails(cert, key);
        assert!(words.iter().all(|word| said.contains(word)) && said.contains("gatepost.toml:"), "{said}");
    }
}

#[test]
fn what_was_said_in_clear_is_forgotten_and_what_was_found_of_the_client_is_not() {
    let zone = Zone::new().ptr([127, 0, 0, 1], "client.example").a("client.example", [127, 0, 0, 1]);
    let site = site(zone);
    let mut client = site.dial();
    client.begin("a@first.example", &["alice@local.example"]);
    client.expect("STARTTLS", "503 5.5.1");
    client.expect("RSET", "250");
    client.expect("STARTTLS", "220");
    client.secure(speaking(ANY_VERSION), "mx.local.example").unwrap();
    client.expect("RCPT TO:<alice@local.example>", "503 5.5.1");
    client.expect("MAIL FROM:<a@first.example>", "503 5.5.1");
    client.expect("EHLO second.example", "250");
    client.mail("b@second.example", &["bob@local.example"]);
    let facts = site.record(&client.data(message("b@second.example"))).facts;
    assert_eq!((facts.helo.as_str(), facts.spf.helo.domain.as_str()), ("second.example", "second.example"));
    assert_eq!(facts.client.name, "client.example");
}

#[test]
fn the_clear_name_is_not_the_name_under_tls() {
    let site = site(Zone::new().txt("evil.example", "v=spf1 +all").txt("honest.example", "v=spf1 -all"));
    let mut client = site.dial();
    client.expect("EHLO evil.example", "250");
    client.expect("STARTTLS", "220");
    client.secure(speaking(ANY_VERSION), "mx.local.example").unwrap();
    client.expect("HELO honest.example", "250");
    client.mail("", &["bob@local.example"]);
    let facts = site.record(&client.data(message("b@second.example"))).facts;
    assert_eq!((facts.helo.as_str(), facts.spf.helo.result.as_str()), ("honest.example", "fail"));
}

#[test]
fn without_a_certificate_it_is_neither_offered_nor_taken() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    let ehlo = client.say("EHLO client.example");
    assert!(!ehlo.text.contains("STARTTLS"), "{ehlo:?}");
    client.expect("STARTTLS", "502 5.5.1");
}

#[test]
fn commands_slipped_in_before_the_handshake_are_never_carried_out() {
    let Some(cases) = corpora::json("starttls", "cases.json") else { return };
    let site = site(Zone::new());
    let injections = cases.as_array().unwrap().iter().filter_map(|case| case["cleartext_one_write"].as_str());
    let mut count = 0;
    for injection in injections {
        count += 1;
        // at every split of the line, and behind it
        for at in 0..="STARTTLS\r\n".len() + 1 {
            let mut client = site.dial();
            client.expect("EHLO client.example", "250");
            let (head, tail) = injection.split_at(at);
            client.send(head);
            client.send(tail);
            client.reply().is("220 2.0.0");
            let secured = client.secure(speaking(ANY_VERSION), "mx.local.example");
            assert!(secured.is_err(), "the connection is closed: {injection:?} cut at {at}");
        }
    }
    assert!(count >= 3, "{count} cases");
    assert_eq!(site.all_files().len(), 0);
    secured(&site, ANY_VERSION).expect("EHLO client.example", "250");
}

#[test]
fn an_end_within_data_or_a_chunk_under_tls_delivers_nothing() {
    let site = site(Zone::new());
    for (command, replies) in [("DATA", 1), ("BDAT 500 LAST", 0)] {
        let mut client = secured(&site, ANY_VERSION);
        client.begin("a@sender.example", &["alice@local.example"]);
        client.send(format!("{command}\r\n"));
        (0..replies).for_each(|_| assert_eq!(client.reply().code, 354));
        client.send("From: <a@sender.example>\r\n\r\nhalf\r\n");
        client.hang_up();
    }
    assert!(site.records(2).iter().all(|record| record.delivery.is_empty() && record.decision.reply.is_empty()));
    assert_eq!(site.all_files().len(), 0);
}

#[test]
fn a_close_notify_or_an_end_in_clear_within_data_or_a_chunk_delivers_nothing() {
    let site = site(Zone::new());
    let half = "From: <a@sender.example>\r\n\r\nhalf\r\n";
    let ways = [
        ("DATA", half),
        // all but the last octet of the end
        ("DATA", "From: <a@sender.example>\r\n\r\nwhole\r\n.\r"),
        ("BDAT 500", half),
        ("BDAT 500 LAST", half),
        // a whole chunk, and no last one
        ("BDAT 34", half),
    ];
    assert_eq!(half.len(), 34);
    for under_tls in [true, false] {
        for (command, octets) in ways {
            let mut client = if under_tls { secured(&site, ANY_VERSION) } else { site.dial() };
            client.begin("a@sender.example", &["alice@local.example"]);
            client.send(format!("{command}\r\n"));
            if command == "DATA" {
                client.reply().is("354");
            }
            client.send(octets);
            if command == "BDAT 34" {
                client.reply().is("250 2.0.0");
            }
            if under_tls {
                client.close_notify();
            } else {
                client.half_close();
            }
            let end = client.reply();
            assert_eq!((end.code, end.text.as_str()), (0, ""), "{command}, TLS {under_tls}");
        }
    }
    let records = site.records(2 * ways.len());
    assert!(records.iter().all(|record| record.delivery.is_empty() && record.decision.reply.is_empty()));
    assert_eq!((records.len(), site.all_files().len()), (2 * ways.len(), 0));
}

#[test]
fn a_handshake_that_is_none_ends_the_session_and_no_other() {
    let site = site(Zone::new());
    let mut other = site.dial();
    for garbage in ["EHLO client.example\r\n", "\x16\x03\x01\x7f\x7fgarbage garbage garbage"] {
        let mut client = site.dial();
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220");
        client.send(garbage);
        client.half_close();
        let said = client.reply();
        assert!(!said.text.starts_with("250"), "no SMTP in clear any more: {said:?}");
    }
    site.wait_for_metric("gatepost_tls_handshakes_total", &["outcome=\"failed\""], 2.0);
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("STARTTLS foo", "501 5.5.4");
    other.expect("NOOP", "250");
}

/// A client that can do nothing but these.
fn with_provider(provider: CryptoProvider) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(ANY_VERSION)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth()
}

#[test]
fn keys_are_exchanged_so_that_a_quantum_computer_does_not_help_and_the_facts_say_so() {
    let site = site(Zone::new());
    let groups: [(&'static dyn SupportedKxGroup, &str); 3] = [
        (kx_group::X25519MLKEM768, "X25519MLKEM768"),
        (kx_group::X25519, "X25519"),
        (kx_group::SECP256R1, "secp256r1"),
    ];
    for (group, name) in groups {
        let mut client = site.dial();
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220");
        let only = CryptoProvider { kx_groups: vec![group], ..default_provider() };
        client.secure(with_provider(only), "mx.local.example").unwrap();
        client.begin("a@sender.example", &["alice@local.example"]);
        let tls = site.record(&client.data(message("a@sender.example"))).facts.tls.unwrap();
        assert_eq!((tls.group.as_str(), tls.sni.as_str()), (name, "mx.local.example"));
    }
    // who can do both gets the one
    let mut client = secured(&site, ANY_VERSION);
    client.begin("a@sender.example", &["alice@local.example"]);
    let record = site.record(&client.data(message("a@sender.example")));
    assert_eq!(record.facts.tls.unwrap().group, "X25519MLKEM768");
}

#[test]
fn every_suite_that_is_spoken_is_a_modern_one() {
    let site = site(Zone::new());
    let suites = default_provider().cipher_suites;
    assert!(suites.len() >= 9, "{suites:?}");
    for suite in suites {
        let name = format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1);
        let forward_secret = name.starts_with("TLS_ECDHE_") || suite.tls13().is_some();
        assert!(forward_secret && (name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305_")), "{name}");
        let mut client = site.dial();
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220");
        let only = CryptoProvider { cipher_suites: vec![suite], ..default_provider() };
        // the test's certificate has an ECDSA key
        let secured = client.secure(with_provider(only), "mx.local.example").is_ok();
        assert_eq!(secured, !name.contains("_RSA_"), "{name}");
    }
}

/// A ClientHello that names no version but the newest it speaks, with a suite of TLS 1.2 and an older one, secp256r1, and ECDSA.
fn old_hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x13, 1, 0]);
    body.extend([0, 16, 0, 10, 0, 4, 0, 2, 0, 0x17, 0, 13, 0, 4, 0, 2, 4, 3]);
    let length = u8::try_from(body.len()).unwrap();
    [vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length], body].concat()
}

#[test]
fn older_versions_are_refused_with_an_alert() {
    let site = site(Zone::new());
    // SSL 3.0, TLS 1.0 and TLS 1.1; the same of TLS 1.2 is answered
    for minor in [0, 1, 2, 3] {
        let mut client = site.dial();
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220");
        client.send(old_hello([3, minor]));
        let mut alert = [0; 7];
        client.read_exactly(&mut alert);
        if minor == 3 {
            // a handshake message: ServerHello
            assert_eq!((alert[0], alert[5]), (0x16, 2), "{alert:?}");
            continue;
        }
        // alert, fatal, protocol_version (RFC 8446 §6.2)
        assert_eq!((alert[0], alert[5], alert[6]), (0x15, 2, 70), "3.{minor}: {alert:?}");
    }
    // and the last one goes without finishing its own
    site.wait_for_metric("gatepost_tls_handshakes_total", &["outcome=\"failed\""], 4.0);
}

/// Whether it was asked for a certificate.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        self.0.store(true, Ordering::SeqCst);
        None
    }
    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn no_client_is_asked_for_a_certificate() {
    let site = site(Zone::new());
    for version in ANY_VERSION {
        let asked = Arc::new(Asked::default());
        let mut config = speaking(&[version]);
        config.client_auth_cert_resolver = asked.clone();
        let mut client = site.dial();
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220");
        client.secure(config, "mx.local.example").unwrap();
        assert!(!asked.0.load(Ordering::SeqCst));
    }
}

#[test]
fn a_handshake_that_does_not_come_frees_its_place() {
    let (cert, key, _) = certificate("mx.local.example");
    let files = [("cert.pem", cert.as_str()), ("key.pem", key.as_str())];
    let more = "[limits]\nidle = \"1s\"\n";
    let site = Site::start(Setup { domains: &with_tls(TLS), files: &files, more, ..Setup::default() });
    for begun in [Vec::new(), old_hello([3, 3])[..20].to_vec()] {
        let mut client = site.dial();
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220");
        client.send(begun);
        client.expect_end();
    }
    site.wait_for_metric("gatepost_tls_handshakes_total", &["outcome=\"timeout\""], 2.0);
    site.wait_for_metric("gatepost_connections", &[], 0.0);
}

/// Plays one dialogue; the code of each reply, 0 for an end without one, and nothing after STARTTLS was refused.
fn play(site: &Site, dialogue: &[&str]) -> Vec<u16> {
    let mut client = site.dial();
    let mut codes = Vec::new();
    for (at, step) in dialogue.iter().enumerate() {
        let code = match *step {
            "<tls>" => {
                client.secure(speaking(ANY_VERSION), "mx.local.example").unwrap();
                continue;
            }
            "<random bytes>" => {
                client.send([0x9b; 200]);
                client.half_close();
                client.reply().code
            }
            "<nothing>" => client.reply().code,
            step if step.starts_with("EHLO in clear text") => client.say("EHLO client.example").code,
            "EHLO" => {
                let reply = client.say("EHLO client.example");
                let is_secured = dialogue[..at].contains(&"<tls>");
                assert_eq!(reply.text.contains("STARTTLS"), !is_secured, "{reply:?}");
                reply.code
            }
            line => client.say(line).code,
        };
        codes.push(code);
        if step.starts_with("STARTTLS") && code != 220 {
            break;
        }
    }
    codes
}

#[test]
fn the_dialogues_of_the_corpus_end_as_they_must() {
    let Some(cases) = corpora::json("starttls", "cases.json") else { return };
    let (cert, key, _) = certificate("mx.local.example");
    let files = [("cert.pem", cert.as_str()), ("key.pem", key.as_str())];
    let more = "[limits]\nidle = \"1s\"\n";
    let site = Site::start(Setup { domains: &with_tls(TLS), files: &files, more, ..Setup::default() });
    let expected: &[(&str, &[u16])] = &[
        // in a transaction it is refused, so that there is no state to keep
        ("state-kept", &[250, 250, 503]),
        ("after-mail", &[250, 250, 503]),
        ("twice", &[250, 220, 250, 503]),
        ("with-argument", &[250, 501]),
        ("before-ehlo", &[503]),
        ("handshake-garbage", &[250, 220, 0]),
        ("handshake-stall", &[250, 220, 0]),
        ("plain-after-220", &[250, 220, 0]),
    ];
    let mut played = 0;
    for case in cases.as_array().unwrap() {
        let Some(dialogue) = case["dialogue"].as_array() else { continue };
        let id = case["id"].as_str().unwrap();
        let dialogue: Vec<&str> = dialogue.iter().map(|step| step.as_str().unwrap()).collect();
        let (_, codes) = expected.iter().find(|(known, _)| *known == id).unwrap_or_else(|| panic!("a new case: {id}"));
        assert_eq!(play(&site, &dialogue), *codes, "{id}: {}", case["must"]);
        played += 1;
    }
    assert_eq!(played, expected.len());
    secured(&site, ANY_VERSION).expect("EHLO client.example", "250");
}
