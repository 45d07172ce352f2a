//! Our own trouble is a 4yz, never a 5yz, and nothing that was acknowledged is lost.

use std::fs;

use gatepost::facts::word::Action;

use crate::support::dns::Zone;
use crate::support::site::{Site, message};

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
