//! Policies in the real program: lists whose files change, and rules that fail.

use crate::support::server::{Server, Setup, code, wait_for};

const POLICY: &str = "description = \"a list decides\"\n[lists]\nbanned = { file = \"banned.txt\" }\n\
    [[rule]]\nname = \"banned\"\nat = \"mail\"\nwhen = \"mail_from.domain in lists.banned\"\naction = \"reject\"\n\
    [[test]]\nname = \"example.net is never banned\"\nat = \"mail\"\ngiven = { \"mail_from.domain\" = \"example.net\" }\n\
    expect = { action = \"accept\" }\n";

fn start() -> Server {
    Server::start(Setup { policy: Some(POLICY), files: &[("banned.txt", "first.example\n")], ..Setup::default() })
}

/// What RCPT is answered when a domain sends.
fn answer(server: &Server, domain: &str) -> u16 {
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    client.expect(&format!("MAIL FROM:<a@{domain}>"), 250);
    code(&client.say("RCPT TO:<alice@receiver.example>"))
}

fn wait_until_counted(server: &Server, outcome: &str, times: f64) {
    wait_for(outcome, || {
        ((server.metric("gatepost_list_reloads_total", &[outcome]) - times).abs() < 0.5).then_some(())
    });
}

#[test]
fn a_list_whose_file_changes_counts_without_a_signal() {
    let server = start();
    assert_eq!((answer(&server, "first.example"), answer(&server, "second.example")), (550, 250));
    // as editors and scripts do it: a new file in place of the old
    server.write("banned.new", "second.example\n");
    std::fs::rename(server.path("banned.new"), server.path("banned.txt")).unwrap();
    wait_until_counted(&server, "applied", 1.0);
    assert_eq!((answer(&server, "first.example"), answer(&server, "second.example")), (250, 550));
    server.write("banned.txt", "first.example\nsecond.example\n");
    wait_until_counted(&server, "applied", 2.0);
    assert_eq!((answer(&server, "first.example"), answer(&server, "second.example")), (550, 550));
    // what stands in the policy's own file waits for its signal
    server.write("policy.toml", "description = \"not yet\"\n");
    server.write("banned.txt", "second.example\n");
    wait_until_counted(&server, "applied", 3.0);
    assert_eq!((answer(&server, "first.example"), answer(&server, "second.example")), (250, 550));
    wait_for("each is in the audit", || (audited(&server, "reload") == 3).then_some(()));
}

/// How often the audit tells this of the list.
fn audited(server: &Server, event: &str) -> usize {
    let files = std::fs::read_dir(server.path("journal")).unwrap().map(|entry| entry.unwrap().path());
    let chains = files.filter(|path| path.extension().is_some_and(|extension| extension == "chain"));
    let text: String = chains.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let event = format!("\"event\":\"{event}\"");
    text.lines().filter(|line| line.contains(&event) && line.contains("banned.txt")).count()
}

#[test]
fn a_list_that_cannot_be_taken_leaves_the_old_one_in_force() {
    let server = start();
    for (refused, (bad, says)) in (1..).zip([
        ("second.example\nnot a domain\n", "banned.txt:2:1"),
        ("second.example\nexample.net\n", "example.net is never banned"),
    ]) {
        server.write("banned.txt", bad);
        wait_until_counted(&server, "refused", f64::from(refused));
        assert!(server.log().contains(says), "{}", server.log());
        assert_eq!((answer(&server, "first.example"), answer(&server, "second.example")), (550, 250));
    }
    std::fs::remove_file(server.path("banned.txt")).unwrap();
    wait_until_counted(&server, "refused", 3.0);
    wait_for("each is in the audit", || (audited(&server, "refused") == 3).then_some(()));
    assert_eq!(answer(&server, "first.example"), 550);
    server.write("banned.txt", "second.example\n");
    wait_until_counted(&server, "applied", 1.0);
    assert_eq!((answer(&server, "first.example"), answer(&server, "second.example")), (250, 550));
}

#[test]
fn a_rule_that_can_not_be_run_costs_its_own_outcome_and_is_logged_once_a_minute() {
    let policy = "description = \"a rule that fails\"\n[[rule]]\nname = \"divides\"\nat = \"data\"\naction = \"reject\"\n\
        when = \"1 / (message.bytes - message.bytes) == 1\"\n";
    let server = Server::start(Setup { policy: Some(policy), ..Setup::default() });
    for _ in 0..3 {
        let mut client = server.dial();
        client.expect("EHLO client.example", 250);
        client.expect("MAIL FROM:<a@sender.example>", 250);
        client.expect("RCPT TO:<alice@receiver.example>", 250);
        client.expect("DATA", 354);
        client.expect("From: <a@sender.example>\r\n\r\nhello\r\n.", 250);
    }
    assert_eq!(server.delivered("alice").len(), 3);
    assert!((server.metric("gatepost_rules_total", &["divides", "error"]) - 3.0).abs() < 0.5);
    let told = || server.log().matches("conditions of rules could not be run").count();
    wait_for("the log tells of it", || (told() > 0).then_some(()));
    wait_for("the last transaction is logged", || (server.log().matches("action=accept").count() >= 3).then_some(()));
    assert_eq!(told(), 1, "{}", server.log());
}

#[test]
fn a_policy_without_rules_is_taken_with_a_warning_at_the_start_and_at_a_reload() {
    let server = Server::start(Setup { policy: Some("description = \"not written yet\"\n"), ..Setup::default() });
    let warned = || {
        let log = server.log();
        let line =
            |line: &&str| line.contains("WARN ") && line.contains("policy.toml:1:1: rule: the policy has no rules");
        log.lines().filter(line).count()
    };
    wait_for("a warning at the start", || (warned() == 1).then_some(()));
    assert_eq!(answer(&server, "first.example"), 250);
    server.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for("a warning at the reload", || (warned() == 2).then_some(()));
    server.write("banned.txt", "first.example\n");
    server.write("policy.toml", POLICY);
    server.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for("the reload", || (server.log().matches("the configuration was reloaded").count() == 2).then_some(()));
    assert_eq!((warned(), answer(&server, "first.example")), (2, 550));
}
