//! Lists over a whole session, and the pages about them.

use std::path::Path;
use std::sync::Arc;

use gatepost::config::Config;
use gatepost::facts::table;
use gatepost::observe::explain::story;
use gatepost::policy::Policy;
use gatepost::problem::Source;
use nix::sys::signal::Signal;

use super::{V6_LISTED, listed, zone};
use crate::support::dns::*;
use crate::support::server::{self, Server};
use crate::support::site::{Setup, Site, message, wait_for};

const LISTS: &str = r#"
[[block_lists]]
zone = "zen.example"
kind = "address"
codes = { "127.0.0.2" = "sbl", "127.0.0.10" = "pbl" }
[[block_lists]]
zone = "dbl.example"
kind = "domain"
[[block_lists]]
zone = "gone.example"
kind = "address"
"#;

const POLICY: &str = r#"
[[rule]]
name = "listed-client"
at = "connect"
when = "'sbl' in block_lists['zen.example'].codes"
action = "reject"
reply = "550 5.7.1 {client.ip} is listed by zen.example"
[[rule]]
name = "listed-helo"
at = "mail"
when = "helo in block_lists['dbl.example'].names"
action = "defer"
[[rule]]
name = "listed-domain"
at = "data"
when = "block_lists['dbl.example'].listed"
action = "reject"
reply = "550 5.7.1 a domain of this message is listed by dbl.example"
[[rule]]
name = "gone"
at = "data"
when = "block_lists['gone.example'].listed || block_lists['gone.example'].temperror"
action = "reject"
[[test]]
name = "a listed client"
at = "connect"
given = { "block_lists['zen.example'].codes" = ["sbl"] }
expect = { action = "reject", rule = "listed-client" }
"#;

fn site() -> Site {
    let zone = zone()
        .a("66.0.0.127.zen.example", [127, 0, 0, 2])
        .a("67.0.0.127.zen.example", [127, 0, 0, 10])
        .a("author.example.dbl.example", [127, 0, 1, 2])
        .a("helo.example.dbl.example", [127, 0, 1, 2])
        .a("path.example.dbl.example", [127, 0, 1, 4])
        .a("ptr.example.dbl.example", [127, 0, 1, 2])
        .ptr([127, 0, 0, 68], "ptr.example")
        .a("ptr.example", [127, 0, 0, 68])
        .a("77.0.0.127.zen.example", [127, 0, 0, 2]);
    let smtp = "postmaster = \"alice@local.example\"\ntrusted = [\"127.0.0.77\"]";
    let site = Site::start(Setup { zone, policy: POLICY, more: LISTS, smtp, ..Setup::default() });
    for list in ["zen.example", "dbl.example"] {
        site.wait_for_metric("gatepost_block_list_up", &[&format!("zone=\"{list}\"")], 1.0);
    }
    site
}

/// The next probe of all would be ten minutes off.
#[test]
fn lists_that_could_not_be_probed_in_an_outage_are_probed_as_it_ends() {
    let zone = || zone().a("66.0.0.127.zen.example", [127, 0, 0, 2]);
    let out_of_order = zone().failing_all(Fault::ServFail);
    let site = Site::start(Setup { zone: out_of_order, policy: POLICY, more: LISTS, ..Setup::default() });
    let zen = ["zone=\"zen.example\""];
    // the metrics are 0 before anything is known
    wait_for("the outage to be known", || site.page("/readyz").starts_with("HTTP/1.1 503").then_some(()));
    site.dns.replace(zone());
    site.wait_for_metric("gatepost_dns_up", &[], 1.0);
    site.wait_for_metric("gatepost_block_list_up", &zen, 1.0);
    let mut client = site.dial_from([127, 0, 0, 66]);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "550 5.7.1 127.0.0.66 is listed");
}

/// The list alone is out of order as it is probed first; no outage ends that would have it probed again.
#[test]
fn a_list_that_did_not_answer_its_first_probe_is_in_force_soon() {
    let probe = |family: &str| format!("{family}.zen.example");
    let mute = [probe("2.0.0.127"), probe(V6_LISTED)]
        .iter()
        .fold(zone(), |zone, name| zone.failing(name, RecordType::A, Fault::ServFail));
    let site = Site::start(Setup { zone: mute, policy: POLICY, more: LISTS, ..Setup::default() });
    let probed = || (site.dns.count("2.0.0.127.zen.example", RecordType::A) > 0).then_some(());
    wait_for("the first probe", probed);
    site.wait_for_metric("gatepost_block_list_up", &["zone=\"dbl.example\""], 1.0);
    site.dns.replace(zone());
    site.wait_for_metric("gatepost_block_list_up", &["zone=\"zen.example\""], 1.0);
}

#[test]
fn an_address_list_refuses_at_rcpt_and_everybody_is_told_why() {
    let site = site();
    let mut client = site.dial_from([127, 0, 0, 66]);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    let refused = client.expect("RCPT TO:<alice@local.example>", "550 5.7.1 127.0.0.66 is listed by zen.example");
    client.expect("QUIT", "221");
    let record = site.record(&refused);
    assert_eq!(record.facts.block_lists["zen.example"], listed(&["sbl"], &["127.0.0.66"]));
    assert_eq!(record.decision.rule, "listed-client");
    assert!(!record.facts.block_lists.contains_key("gone.example"), "a list that is switched off is not asked");
    let story = story(&record);
    assert!(story.starts_with("Refused: the list zen.example has the client 127.0.0.66 as sbl.\n"), "{story}");
    assert!(story.contains("zen.example: lists 127.0.0.66 as sbl\n"), "{story}");
    let zen = "zone=\"zen.example\"";
    site.wait_for_metric("gatepost_block_list_queries_total", &[zen, "outcome=\"listed\""], 1.0);
    site.wait_for_metric("gatepost_block_list_up", &["zone=\"gone.example\""], 0.0);
}

#[test]
fn lists_of_domains_look_at_all_four_names() {
    let site = site();
    for (ip, helo, path, author, expected) in [
        ([127, 0, 0, 9], "client.example", "sender.example", "other.example", None),
        ([127, 0, 0, 67], "client.example", "sender.example", "other.example", None), // pbl: no rule names it
        ([127, 0, 0, 9], "client.example", "sender.example", "author.example", Some("author.example")),
        ([127, 0, 0, 9], "client.example", "path.example", "other.example", Some("path.example")),
        ([127, 0, 0, 68], "client.example", "sender.example", "other.example", Some("ptr.example")),
    ] {
        let mut client = site.dial_from(ip);
        client.expect(&format!("EHLO {helo}"), "250");
        client.expect(&format!("MAIL FROM:<a@{path}>"), "250");
        client.expect("RCPT TO:<alice@local.example>", "250");
        let reply = client.data(message(&format!("b@{author}")));
        let code = if expected.is_some() { "550 5.7.1 a domain of this message is listed" } else { "250" };
        let record = site.record(reply.is(code));
        let names: Vec<&str> = expected.into_iter().collect();
        assert_eq!(record.facts.block_lists["dbl.example"].names, names, "{helo} {path} {author}");
    }
    let mut client = site.dial_from([127, 0, 0, 9]);
    client.expect("EHLO helo.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "451 4.7.1");
    // what is known of the name in HELO is gone with it
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "250");
}

#[test]
fn a_trusted_client_is_not_looked_up() {
    let site = site();
    let mut client = site.dial_from([127, 0, 0, 77]);
    client.expect("EHLO helo.example", "250");
    client.expect("MAIL FROM:<a@path.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "250");
    let record = site.record(client.data(message("b@author.example")).is("250"));
    assert!(record.facts.block_lists.is_empty(), "{:?}", record.facts.block_lists);
    assert_eq!(site.dns.count("77.0.0.127.zen.example", RecordType::A), 0);
}

#[test]
fn a_reload_brings_lists_and_takes_them_away_and_the_log_says_which_fail() {
    let mut server = Server::start(server::Setup { zone: zone(), ..server::Setup::default() });
    let reload = |server: &Server, lists: &str| {
        server.write_config(lists);
        server.signal(Signal::SIGHUP);
    };
    reload(&server, LISTS);
    let up = |server: &Server, zone: &str, value: f64| {
        let line = format!("gatepost_block_list_up{{zone=\"{zone}\"}} {value}");
        server::wait_for(&line, || server.metrics().lines().any(|other| other == line).then_some(()));
    };
    up(&server, "zen.example", 1.0);
    up(&server, "dbl.example", 1.0);
    up(&server, "gone.example", 0.0);
    let says = |server: &Server| {
        let log = server.log();
        log.lines().find(|line| line.contains("gone.example") && line.contains("switched off")).map(str::to_owned)
    };
    let line = server::wait_for("a line of the log", || says(&server));
    assert!(line.contains("it does not list its own test entry"), "{line}");
    reload(&server, "");
    server::wait_for("no lists", || (!server.metrics().contains("gatepost_block_list_up")).then_some(()));
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
}

/// The indented blocks of a page that have this table.
fn examples(page: &str, table: &str) -> String {
    let lines =
        page.lines().map(|line| if line.is_empty() { line } else { line.strip_prefix("    ").unwrap_or("#end") });
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split("#end").filter(|block| block.contains(table)).collect()
}

#[test]
fn the_examples_of_the_pages_are_taken() {
    let page = include_str!("../../../docs/block-lists.md");
    let lists = examples(page, "[[block_lists]]");
    let text = format!(
        "hostname = 'mx.example.com'\nsecurity.user = 'vmail'\n[domains.'example.com']\nmailboxes = ['postmaster']\n{lists}"
    );
    let source = |text: String| Arc::new(Source { name: "example".to_owned(), text });
    let config = Config::parse(source(text), Path::new("/nowhere")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.block_lists.len(), 2);
    for (page, rules) in [(page, 2), (include_str!("../../../docs/helo.md"), 2)] {
        let policy =
            Policy::load_with(&config.zones(), source(examples(page, "[[rule]]")), &mut |_| Err(String::new()));
        assert_eq!(policy.unwrap_or_else(|problems| panic!("{problems}")).rules().len(), rules);
    }
}

#[test]
fn the_pages_name_every_fact_and_word_of_theirs() {
    let lists = include_str!("../../../docs/block-lists.md");
    for (field, _) in table::BLOCK_LIST_FIELDS {
        assert!(lists.contains(&format!("| `block_lists['Z'].{field}` |")), "{field}");
    }
    let helo = include_str!("../../../docs/helo.md");
    for fact in table::TABLE.iter().filter(|fact| fact.name.starts_with("helo")) {
        assert!(helo.contains(&format!("| `{}` |", fact.name)), "{}", fact.name);
        for word in fact.ty.words() {
            assert!(helo.contains(&format!("`{word}`")) || word.is_empty(), "{word}");
        }
    }
}
