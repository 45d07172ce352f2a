//! Certificates that are renewed while the real program runs.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;

use crate::support::server::{Server, Setup, mail_user, wait_for};
use crate::support::site::Client;

use super::tls::{ANY_VERSION, certificate, speaking};

const TAKEN: &str = "certificates were read again";
const REFUSED: &str = "certificates were NOT read again";

fn dial(server: &Server) -> Client {
    let mut client = Client::connect(server.smtp, Ipv4Addr::LOCALHOST);
    assert_eq!(client.reply().code, 220);
    client.expect("EHLO client.example", "250");
    client
}

/// The certificate that a new session is shown.
fn shown(server: &Server) -> Vec<u8> {
    let mut client = dial(server);
    client.expect("STARTTLS", "220");
    client.secure(speaking(ANY_VERSION), "mx.receiver.example").unwrap().certificate
}

fn wait_for_log(server: &Server, says: &str, times: usize) {
    wait_for(says, || (server.log().matches(says).count() >= times).then_some(()));
}

#[test]
fn a_renewed_certificate_is_shown_without_a_signal_and_no_session_is_dropped() {
    let policy = Some("description = \"takes\"\n");
    let server = Server::start(Setup { tls: true, policy, ..Setup::default() });
    let first = shown(&server);
    let mut secured = dial(&server);
    secured.expect("STARTTLS", "220");
    secured.secure(speaking(ANY_VERSION), "mx.receiver.example").unwrap();
    secured.begin("a@sender.example", &["alice@receiver.example"]);
    let mut in_clear = dial(&server);
    let (cert, key, renewed) = certificate("mx.receiver.example");
    server.write("key.pem", &key);
    server.write("cert.pem", &cert);
    wait_for_log(&server, TAKEN, 1);
    assert!(shown(&server) == renewed && renewed != first);
    assert!((server.metric("gatepost_tls_certificate_reloads_total", &["applied"]) - 1.0).abs() < 0.5);
    assert!(secured.data("From: <a@sender.example>\r\n\r\nhello\r\n").text.starts_with("250 2.0.0"));
    in_clear.expect("STARTTLS", "220");
    in_clear.secure(speaking(ANY_VERSION), "mx.receiver.example").unwrap();
    in_clear.expect("EHLO client.example", "250");
}

#[test]
fn a_bad_pair_leaves_the_old_one_in_force_is_told_once_and_is_tried_again_when_it_changes() {
    let server = Server::start(Setup { tls: true, ..Setup::default() });
    let first = shown(&server);
    let (cert, _, _) = certificate("mx.receiver.example");
    let (other, key, renewed) = certificate("mx.receiver.example");
    server.write("cert.pem", &cert);
    wait_for_log(&server, REFUSED, 1);
    assert!(server.log().contains("key.pem: this key does not fit the certificate"), "{}", server.log());
    assert!(shown(&server) == first);
    // long enough for two more looks
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(server.log().matches(REFUSED).count(), 1, "{}", server.log());
    std::fs::remove_file(server.path("cert.pem")).unwrap();
    wait_for_log(&server, REFUSED, 2);
    assert!(shown(&server) == first);
    server.write("key.pem", &key);
    server.write("cert.pem", &other);
    wait_for_log(&server, TAKEN, 1);
    assert!(shown(&server) == renewed);
    assert!(server.metric("gatepost_tls_certificate_reloads_total", &["refused"]) > 1.5);
}

/// A certificate that ends at that time.
fn ending(not_after: (i32, u8, u8)) -> (String, String) {
    let mut parameters = rcgen::CertificateParams::new(vec!["mx.receiver.example".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(not_after.0, not_after.1, not_after.2);
    let key = rcgen::KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn the_end_of_a_certificate_is_a_metric_and_a_warning_in_time() {
    let server = Server::start(Setup { tls: true, ..Setup::default() });
    let expiry = || server.metric("gatepost_tls_certificate_expiry_timestamp_seconds", &[]);
    assert!(!server.log().contains("expire"), "that of the test lasts long: {}", server.log());
    // both notations of a time in a certificate (RFC 5280 §4.1.2.5)
    for (taken, (year, month, day), seconds) in
        [(1, (2040, 2, 29), 2_214_086_400.0), (2, (2061, 12, 31), 2_903_212_800.0)]
    {
        let (cert, key) = ending((year, month, day));
        server.write("key.pem", &key);
        server.write("cert.pem", &cert);
        wait_for_log(&server, TAKEN, taken);
        assert_eq!(expiry(), seconds, "{year}");
    }
    let (cert, key) = ending((1999, 1, 1));
    server.write("key.pem", &key);
    server.write("cert.pem", &cert);
    let checked = server.gatepost(&["config", "check", "gatepost.toml"]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.contains("warning: cert.pem: this certificate has expired"), "{said}");
    let soon =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().saturating_add(jiff::Span::new().days(5));
    let (cert, key) = ending((soon.year().into(), soon.month().cast_unsigned(), soon.day().cast_unsigned()));
    server.write("key.pem", &key);
    server.write("cert.pem", &cert);
    wait_for_log(&server, TAKEN, 3);
    wait_for_log(&server, "this certificate expires soon", 1);
}

#[test]
fn one_that_has_ended_does_not_take_the_place_of_a_good_one_by_whatever_way() {
    let mut server = Server::start(Setup { tls: true, ..Setup::default() });
    let first = shown(&server);
    let expiry = |server: &Server| server.metric("gatepost_tls_certificate_expiry_timestamp_seconds", &[]);
    let good = expiry(&server);
    let (cert, key) = ending((2024, 2, 29));
    server.write("key.pem", &key);
    server.write("cert.pem", &cert);
    let says = "smtp.tls.certificate: cert.pem: this certificate ended at 2024-02-29T00:00:00Z, and the one in force is still good";
    wait_for_log(&server, REFUSED, 1);
    server.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for_log(&server, "the configuration was NOT reloaded", 1);
    assert_eq!(server.log().matches(says).count(), 2, "by the watch and by the signal: {}", server.log());
    assert!(server.log().contains("renew it, or put the old one back"), "{}", server.log());
    assert!(shown(&server) == first && expiry(&server) == good);
    assert!(server.metric("gatepost_tls_certificate_reloads_total", &["refused"]) > 0.5);
    // where there is no other, it is better than none, and hinders nothing
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(server.wait().success());
    server.start_again();
    wait_for_log(&server, "this certificate has EXPIRED", 1);
    assert_eq!(expiry(&server), 1_709_164_800.0);
    server.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for_log(&server, "the configuration was reloaded", 1);
    assert!(shown(&server) != first);
}

/// Read by root at the start, as from /etc/letsencrypt: what can't be seen any more has not changed.
#[test]
fn files_that_only_root_can_look_at_are_no_change() {
    if mail_user().is_none() {
        crate::support::programs::left_out("only root can hide a file from the server");
        return;
    }
    let server = Server::start(Setup { tls: true, ..Setup::default() });
    let first = shown(&server);
    let hidden = tempfile::tempdir().unwrap();
    std::fs::set_permissions(hidden.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let (cert, _, _) = certificate("mx.receiver.example");
    std::fs::write(hidden.path().join("cert.pem"), cert).unwrap();
    std::fs::remove_file(server.path("cert.pem")).unwrap();
    std::os::unix::fs::symlink(hidden.path().join("cert.pem"), server.path("cert.pem")).unwrap();
    // long enough for three looks
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert!(!server.log().contains(REFUSED) && !server.log().contains(TAKEN), "{}", server.log());
    assert!(shown(&server) == first);
}
