//! Our own trouble is a 4yz, never a 5yz, and nothing that was acknowledged is lost.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use gatepost::facts::word::Action;

use crate::support::dns::{Fault, Zone};
use crate::support::programs::left_out;
use crate::support::server::{self, Server, wait_for};
use crate::support::site::{Site, get, message};

/// alice and bob are sent one message while something is wrong with bob's mailbox; then it is mended and sent again.
fn check(what: &str, spoil: impl Fn(&std::path::Path), mend: impl Fn(&std::path::Path)) {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example", "bob@local.example"]);
    client.data(message("a@sender.example")).is("250 2.0.0");
    let bob = site.maildir("local.example/bob");
    spoil(&bob);
    client.mail("a@sender.example", &["alice@local.example", "bob@local.example"]);
    let reply = client.data(message("a@sender.example"));
    let record = site.record(reply.is("451 4.3.0"));
    assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Defer, ""), "{what}");
    assert_eq!(record.delivery, [], "{what}");
    assert!(record.trouble.starts_with("local.example/bob"), "{what}: {}", record.trouble);
    assert_eq!(site.delivered("local.example/alice").len(), 1, "{what}: a retry must not add copies");
    assert_eq!(site.metric("gatepost_deliver_errors_total", &["io"]), 1.0);
    client.mail("a@sender.example", &["alice@local.example"]);
    client.data(message("a@sender.example")).is("250 2.0.0");
    mend(&bob);
    client.mail("a@sender.example", &["bob@local.example"]);
    client.data(message("a@sender.example")).is("250 2.0.0");
    assert_eq!(site.delivered("local.example/alice").len(), 2, "{what}");
}

#[test]
fn a_mailbox_that_can_not_be_written_is_a_deferral_and_leaves_no_copy() {
    check(
        "new/ is a file",
        |bob| {
            fs::remove_dir_all(bob.join("new")).unwrap();
            fs::write(bob.join("new"), "").unwrap();
        },
        |bob| fs::remove_file(bob.join("new")).unwrap(),
    );
    check(
        "the mailbox is a file",
        |bob| {
            fs::remove_dir_all(bob).unwrap();
            fs::write(bob, "").unwrap();
        },
        |bob| fs::remove_file(bob).unwrap(),
    );
    check(
        "the mailbox is a symbolic link",
        |bob| {
            fs::rename(bob, bob.with_extension("away")).unwrap();
            std::os::unix::fs::symlink(bob.with_extension("away"), bob).unwrap();
        },
        |bob| fs::remove_file(bob).unwrap(),
    );
}

#[test]
fn a_mailbox_that_was_removed_is_made_again() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    for _ in 0..2 {
        client.mail("a@sender.example", &["alice@local.example"]);
        client.data(message("a@sender.example")).is("250 2.0.0");
        assert_eq!(site.delivered("local.example/alice").len(), 1);
        fs::remove_dir_all(site.maildir("local.example")).unwrap();
    }
}

const SPF: &str = r#"
description = "SPF alone decides"
[[rule]]
name = "spf"
at = "data"
when = "spf.mail_from.result == 'fail'"
action = "reject"
"#;

#[test]
fn an_outage_of_our_dns_is_told_and_deferred_until_it_is_over() {
    let zone = || Zone::new().txt("sender.example", "v=spf1 -all").txt("other.example", "v=spf1 -all");
    let site = Site::judging(SPF, zone());
    site.wait_for_metric("gatepost_dns_up", &[], 1.0);
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    client.data(message("a@sender.example")).is("550 5.7.1");
    site.dns.replace(zone().failing_all(Fault::ServFail));
    // whoever connects now asks for something that can't be told: the canary is asked, too
    let visitor = site.dial_from([127, 0, 0, 9]);
    site.wait_for_metric("gatepost_dns_up", &[], 0.0);
    drop(visitor);
    let page = get(site.http, "/readyz");
    assert!(page.starts_with("HTTP/1.1 503 ") && page.contains("the DNS does not work"), "{page}");
    client.mail("a@sender.example", &["alice@local.example"]);
    client.data(message("a@sender.example")).is("550 5.7.1");
    client.mail("a@other.example", &["alice@local.example"]);
    let reply = client.data(message("a@other.example"));
    let record = site.record(reply.is("451 4.4.3"));
    assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Defer, ""));
    site.dns.replace(zone());
    site.wait_for_metric("gatepost_dns_up", &[], 1.0);
    assert!(get(site.http, "/readyz").starts_with("HTTP/1.1 200 "));
    client.mail("a@other.example", &["alice@local.example"]);
    client.data(message("a@other.example")).is("550 5.7.1");
}

/// Only root can become another user; the file of passwords tells whether this machine has one to become.
fn can_become_nobody(directory: &std::path::Path) -> bool {
    let known =
        fs::read_to_string("/etc/passwd").is_ok_and(|users| users.lines().any(|user| user.starts_with("nobody:")));
    known && fs::metadata(directory).unwrap().uid() == 0
}

#[test]
fn a_directory_of_another_s_is_refused_with_its_chown_and_stays_as_it_is() {
    let config = "hostname = \"mx.local.example\"\n[smtp]\nlisten = [\"127.0.0.1:0\"]\npostmaster = \"a@local.example\"\n\
        [maildir]\nroot = \"mail\"\n[domains.\"local.example\"]\nmailboxes = [\"a\"]\n[http]\nlisten = \"127.0.0.1:0\"\n\
        [journal]\ndirectory = \"journal\"\n[security]\nuser = \"nobody\"\n";
    for (own, key) in [("mail", "maildir.root"), ("journal", "journal.directory")] {
        let directory = tempfile::tempdir().unwrap();
        if !can_become_nobody(directory.path()) {
            return left_out("not root, or there is no user nobody");
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(directory.path().join("gatepost.toml"), config).unwrap();
        let path = directory.path().join(own);
        fs::create_dir(&path).unwrap();
        let serve = ["serve", "--config", "gatepost.toml"];
        let output =
            Command::new(env!("CARGO_BIN_EXE_gatepost")).args(serve).current_dir(directory.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(&format!(": {key}: ")), "{said}");
        assert!(said.contains("mend: chown nobody ") && said.contains(&format!("{own}\n")), "{said}");
        assert_eq!(fs::metadata(&path).unwrap().uid(), 0, "{own} was given away");
    }
}

#[test]
fn a_new_maildir_root_is_told_and_what_keeps_from_serving_is_told_with_its_place() {
    let server = Server::start(server::Setup::default());
    let made = |server: &Server| server.log().contains("maildir.root did not exist and was made");
    let is_new = server.maildir("alice").ancestors().nth(2).unwrap().to_owned();
    assert!(!made(&server), "{} was there", is_new.display());
    let text = fs::read_to_string(server.path("gatepost.toml")).unwrap();
    // the port is taken: by the server that runs
    let said = server.refused(&["serve", "--config", "gatepost.toml"]);
    assert!(said.contains("gatepost.toml:3:"), "{said}");
    assert!(
        said.contains(": smtp.listen: can't listen on ") && said.contains("another program listens there"),
        "{said}"
    );
    let elsewhere = text.lines().map(|line| match line.split_once(" = ") {
        Some(("listen", all)) if all.starts_with('[') => "listen = [\"127.0.0.1:0\"]".to_owned(),
        Some(("listen", _)) => "listen = \"127.0.0.1:0\"".to_owned(),
        Some(("root", _)) => "root = \"policy.txt/mail\"".to_owned(),
        Some(("directory", all)) => format!("directory = {}", all.replacen('"', "\"deep/", 1)),
        _ => line.to_owned(),
    });
    let elsewhere = elsewhere.collect::<Vec<_>>().join("\n");
    server.write("policy.txt", "");
    server.write("file.toml", &elsewhere.replace("policy.txt/mail", "policy.txt"));
    let said = server.refused(&["serve", "--config", "file.toml"]);
    assert!(said.contains("file.toml:") && said.contains(": maildir.root: the Maildir root "), "{said}");
    assert!(said.contains("is not a directory") && said.contains("mend: name a directory"), "{said}");
    server.write("deep.toml", &elsewhere.replace("policy.txt/mail", "deep/mail"));
    let log = fs::File::create(server.path("deep.log")).unwrap();
    let mut command = server.gatepost(&["serve", "--config", "deep.toml"]);
    let mut child = command.stderr(log).spawn().unwrap();
    let said = || fs::read_to_string(server.path("deep.log")).unwrap();
    wait_for("the start", || said().contains("maildir.root did not exist and was made").then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said().contains("root=deep/mail"), "{}", said());
}
