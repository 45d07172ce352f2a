//! The rules that the page and the shipped file show: each is loaded, and held both ways by its own tests. What `try` says.

use gatepost::policy::Policy;

use crate::policy::good;
use crate::support::server::{Server, Setup};

#[track_caller]
fn is_held(name: &str, text: &str) -> Policy {
    let policy = good(text);
    let report = policy.run_tests();
    assert!(report.tests.len() >= 2, "{name} has tests");
    assert_eq!(report.uncovered, [], "{name}");
    policy
}

#[test]
fn each_rule_of_the_page_is_held_both_ways_by_its_tests() {
    let page = include_str!("../../../docs/greylisting.md");
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert!(blocks.len() >= 3, "{}", blocks.len());
    for block in blocks {
        assert!(is_held(block, block).remembers(), "{block}");
    }
}

#[test]
fn each_rule_of_the_file_to_copy_is_held_both_ways_by_its_tests() {
    let policy = is_held("greylist.toml", include_str!("../../../policies/greylist.toml"));
    assert!(policy.greylists());
    assert_eq!(policy.rates().len(), 2);
}

#[test]
fn the_page_names_every_key_that_rates_count_by() {
    let page = include_str!("../../../docs/greylisting.md");
    for part in gatepost::facts::word::RatePart::WORDS {
        assert!(page.contains(&format!("`{part}`")), "{part}");
    }
}

#[test]
fn a_rehearsal_remembers_nothing_and_says_so() {
    let rule =
        "[[rule]]\nname = \"stranger\"\nat = \"rcpt\"\nwhen = \"rate('client', '1h') >= 0\"\naction = \"greylist\"\n";
    let server = Server::start(Setup { policy: Some(rule), ..Setup::default() });
    for _ in 0..2 {
        let tried = server.gatepost(&["try", "--config", "gatepost.toml", "--ip", "192.0.2.1"]).output().unwrap();
        let said = String::from_utf8(tried.stdout).unwrap();
        assert!(tried.status.success() && said.contains("A rehearsal looks up and notes nothing"), "{said}");
        assert!(!said.contains("deferred by"), "{said}");
    }
    assert!((server.metric("gatepost_state_entries", &[])).abs() < 0.5);
}
