//! Policies: what is told about bad ones, how good ones judge, and what no input may do to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use gatepost::facts::table::{Given, Value};
use gatepost::facts::word::{Action, Outcome, Stage};
use gatepost::facts::{Facts, MethodResult};
use gatepost::policy::{Judgement, List, ListKind, Policy, Verdict, Zone, Zones, shipped};
use gatepost::problem::{Problems, Source};
use gatepost::smtp::reply::Reply;
use proptest::prelude::*;

use crate::condition::any_given;

pub fn no_files(name: &str) -> Result<String, String> {
    Err(format!("there is no {name} in this test"))
}

pub fn source(name: &str, text: &str) -> Arc<Source> {
    Arc::new(Source { name: name.to_owned(), text: text.to_owned() })
}

/// The block lists of the configuration that policies are loaded with here: addresses with two codes, and domains without names.
pub fn zones() -> Zones {
    let codes = ["sbl", "pbl"].map(str::to_owned).into();
    let zen = Zone { kind: ListKind::Address, codes: Some(codes) };
    let dbl = Zone { kind: ListKind::Domain, codes: None };
    Zones::of([("zen.example".to_owned(), zen), ("dbl.example".to_owned(), dbl)])
}

pub fn load(text: &str) -> Result<Policy, Problems> {
    Policy::load_with(&zones(), source("policy.toml", text), &mut no_files)
}

pub fn good(text: &str) -> Policy {
    load(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// A policy with one rule at data that quarantines.
pub fn one_rule(when: &str) -> String {
    format!("[[rule]]\nname = 'it'\nat = 'data'\naction = 'quarantine'\nwhen = '''\n{when}'''\n")
}

pub fn given(values: &[(&str, Value<'static>)]) -> Given {
    let mut given = Given::new();
    for (name, value) in values {
        given.set(name, value.clone()).unwrap_or_else(|mistake| panic!("{name}: {mistake}"));
    }
    given
}

pub fn text(text: &'static str) -> Value<'static> {
    Value::text(text)
}

/// The shipped policies, loaded once.
pub fn shipped_policies() -> &'static [(&'static str, Policy); 3] {
    static POLICIES: LazyLock<[(&str, Policy); 3]> = LazyLock::new(|| {
        [("default", shipped::DEFAULT), ("strict", shipped::STRICT), ("monitor", shipped::MONITOR)]
            .map(|(name, text)| (name, good(text)))
    });
    &POLICIES
}

// What is told about bad policies

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/policies")
}

/// Every `NAME.toml` there is refused with exactly the text of `NAME.problems`; UPDATE_EXPECT=1 writes the latter anew.
#[test]
fn a_bad_policy_is_refused_with_every_problem_at_its_place() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(testdata()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        seen += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let policy = source(name, &std::fs::read_to_string(path).unwrap());
        let mut read =
            |file: &str| std::fs::read_to_string(testdata().join(file)).map_err(|_| "no such file".to_owned());
        let problems = Policy::load_with(&zones(), policy, &mut read).expect_err(name).render(false);
        let expected = path.with_extension("problems");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&expected, &problems).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != problems {
            wrong.push(format!("{name}:\n{problems}"));
        }
    }
    assert!(seen >= 8, "only {seen} cases were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_that_is_no_list_has_ten_problems_and_a_count() {
    let policy = source("policy.toml", "[lists]\na = { file = \"names.txt\" }\n");
    let text = "not an entry\n".repeat(1000);
    let problems = Policy::load(policy, &mut |_| Ok(text.clone())).expect_err("no list");
    assert_eq!(problems.len(), 11);
    let told = problems.render(false);
    assert!(
        told.contains("names.txt:1000:1: lists.a: 990 more lines are no entries, this is the last of them"),
        "{told}"
    );
}

#[test]
fn without_a_configuration_no_block_list_is_known_and_the_problem_says_where_they_stand() {
    let text = one_rule("block_lists['zen.example'].listed");
    let problems =
        Policy::load(source("policy.toml", &text), &mut no_files).expect_err("nothing is known").render(false);
    assert!(problems.contains("which block lists there are stands in the configuration"), "{problems}");
    assert!(problems.contains("mend: check the policy with --config gatepost.toml"), "{problems}");
}

#[test]
fn a_stage_waits_for_lists_of_the_kind_that_its_rules_name() {
    let rule = |at: &str, when: &str| format!("[[rule]]\nname = '{at}'\nat = '{at}'\nscore = 1\nwhen = \"{when}\"\n");
    let policy = good(&format!(
        "{}{}{}",
        rule("connect", "block_lists['zen.example'].listed"),
        rule("mail", "helo == 'x'"),
        rule("rcpt", "'x.example' in block_lists['dbl.example'].names")
    ));
    let asks = |stage, kind| policy.needs(stage).asks_lists(kind);
    assert!(asks(Stage::Connect, ListKind::Address) && !asks(Stage::Connect, ListKind::Domain));
    assert!(!asks(Stage::Mail, ListKind::Address) && !asks(Stage::Mail, ListKind::Domain));
    assert!(!asks(Stage::Rcpt, ListKind::Address) && asks(Stage::Rcpt, ListKind::Domain));
    assert!(policy.needs(Stage::Rcpt).contains("block_lists") && !policy.needs(Stage::Mail).contains("block_lists"));
}

#[test]
fn a_test_gives_block_lists_in_two_spellings() {
    let rule = one_rule("'sbl' in block_lists['zen.example'].codes && block_lists['dbl.example'].listed");
    let test = |given: &str, action: &str| {
        format!("[[test]]\nname = '{action} {}'\ngiven = {given}\nexpect = {{ action = '{action}' }}\n", given.len())
    };
    let both = r#"{ "block_lists['zen.example'].codes" = ["sbl"], "block_lists['dbl.example'].listed" = true }"#;
    let dotted = r#"{ block_lists."zen.example" = { listed = true, codes = ["pbl", "sbl"] }, block_lists."dbl.example".listed = true }"#;
    let half = r#"{ "block_lists['zen.example'].codes" = ["sbl"], "block_lists['zen.example'].listed" = true }"#;
    let text = format!("{rule}{}{}{}", test(both, "quarantine"), test(dotted, "quarantine"), test(half, "accept"));
    assert!(good(&text).run_tests().passed());
}

// The shipped policies

#[test]
fn the_tests_of_the_shipped_policies_hold_every_rule_both_ways() {
    for (name, policy) in shipped_policies() {
        let report = policy.run_tests();
        assert!(report.passed() && report.tests.len() > 20, "{name}");
        assert_eq!(report.uncovered, [], "{name}");
        assert!(!policy.description().is_empty(), "{name}");
    }
}

fn rules(policy: &str) -> Vec<toml::Table> {
    let table: toml::Table = policy.parse().unwrap();
    table["rule"].as_array().unwrap().iter().map(|rule| rule.as_table().unwrap().clone()).collect()
}

/// The code for each reason (RFC 3463, RFC 7372, RFC 7505), by the rules that refuse for it.
#[test]
fn the_shipped_policies_refuse_with_the_code_of_the_reason() {
    let codes = [
        ("early-talker", "554 5.5.0 "),
        ("no-reverse-name", "550 5.7.25 "),
        ("reverse-name-trouble", "451 4.4.3 "),
        ("reverse-path-null-mx", "550 5.7.27 "),
        ("reverse-path-missing", "550 5.1.8 "),
        ("reverse-path-trouble", "451 4.4.3 "),
        ("author-malformed", "550 5.6.0 "),
        ("dmarc-trouble", "451 4.7.1 "),
        ("dmarc-evidence-trouble", "451 4.7.1 "),
        ("dmarc-reject", "550 5.7.1 "),
        ("unauthenticated-trouble", "451 4.4.3 "),
        ("unauthenticated", "550 5.7.26 "),
    ];
    let mut held = BTreeSet::new();
    for policy in [shipped::DEFAULT, shipped::STRICT, shipped::MONITOR] {
        for rule in rules(policy)
            .iter()
            .filter(|rule| matches!(rule.get("action").and_then(|a| a.as_str()), Some("reject" | "defer")))
        {
            let name = rule["name"].as_str().unwrap();
            let Some((known, code)) = codes.iter().find(|(known, _)| *known == name) else { panic!("{name}") };
            assert!(rule["reply"].as_str().unwrap().starts_with(code), "{rule:?}");
            held.insert(*known);
        }
    }
    assert_eq!(held.len(), codes.len(), "{held:?}");
}

#[test]
fn the_monitoring_policy_has_the_rules_of_the_default_one_with_observe() {
    let mut monitor = rules(shipped::MONITOR);
    for rule in &mut monitor {
        let acts = rule.get("action").is_some_and(|action| action.as_str() != Some("accept"));
        assert_eq!(rule.remove("observe"), acts.then_some(toml::Value::Boolean(true)), "{rule:?}");
    }
    assert_eq!(monitor, rules(shipped::DEFAULT));
}

#[test]
fn the_shipped_policies_wait_for_no_look_up_at_connect() {
    for (name, policy) in shipped_policies() {
        let needs: Vec<&str> = policy.needs(Stage::Connect).iter().map(|fact| fact.name).collect();
        assert_eq!(needs, ["client.trusted"], "{name}");
        assert!(
            policy.needs(Stage::Data).contains("dkim") && policy.needs(Stage::Rcpt).contains("mail_from.domain"),
            "{name}"
        );
        assert!(policy.rules().iter().all(|rule| rule.at() != Stage::Mail), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_shipped_policies_judge_any_facts_as_they_promise(facts in any_given(), role in 0..3usize, score in -10.0..10.0f64) {
        let role = ["", "postmaster", "abuse"][role];
        let mut facts = facts;
        facts.set("rcpt.role", Value::text(role)).unwrap();
        for (name, policy) in shipped_policies() {
            for stage in Stage::ALL {
                let mut judgement = Judgement { score, ..Judgement::default() };
                let verdict = policy.judge(*stage, &facts, &mut judgement);
                prop_assert!(judgement.rules.iter().all(|rule| rule.outcome != Outcome::Error), "{name}: {judgement:?}");
                if *name == "monitor" {
                    prop_assert_eq!(verdict.action(), Action::Accept);
                }
                if !role.is_empty() {
                    prop_assert!(matches!(verdict.action(), Action::Accept | Action::Quarantine), "{name}: {verdict:?}");
                }
                if let Some(reply) = verdict.reply() {
                    let parsed = Reply::parse(reply).expect(reply);
                    prop_assert_eq!(parsed.code() / 100, if verdict.action() == Action::Defer { 4 } else { 5 });
                    prop_assert_eq!(parsed.one_line(), reply);
                    prop_assert!(reply.bytes().all(|b| (b' '..=b'~').contains(&b)) && reply.len() <= 450, "{reply:?}");
                }
            }
        }
    }

    #[test]
    fn the_default_policy_refuses_nothing_that_only_fails_spf(spf in proptest::sample::select(MethodResult::WORDS), helo in proptest::sample::select(MethodResult::WORDS)) {
        let facts = given(&[("spf.mail_from.result", Value::text(spf)), ("spf.helo.result", Value::text(helo)), ("dmarc.result", text("none"))]);
        let (_, policy) = &shipped_policies()[0];
        for stage in Stage::ALL {
            prop_assert_eq!(policy.judge(*stage, &facts, &mut Judgement::default()), Verdict::Continue);
        }
    }

    #[test]
    fn a_damaged_policy_is_told_about_at_places_that_exist(at in 0.0..1.0f64, length in 0..40usize, put in "[\\[\\]{}='\",.a-z0-9\n&!() ]{0,12}") {
        let text = shipped::STRICT;
        let place = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let start = place((at * text.len() as f64) as usize);
        let damaged = format!("{}{put}{}", &text[..start], &text[place(start + length).max(start)..]);
        if let Err(problems) = load(&damaged) {
            for problem in problems.iter() {
                let (source, span) = (problem.source.as_ref().unwrap(), problem.span.clone().unwrap());
                prop_assert!(source.text.get(span).is_some(), "{problem:?}");
                prop_assert!(!problem.cause.is_empty() && !problem.mend.is_empty(), "{problem:?}");
            }
            prop_assert!(problems.render(true).len() > 20);
        }
    }

    #[test]
    fn no_text_makes_loading_panic(text in "(\\[\\[rule\\]\\]|\\[\\[test\\]\\]|\\[lists\\]|name|when|given|expect|=|'[a-z.]*'|\\{|\\}|\\[|\\]|\n|,|1|\\.|#| ){0,40}") {
        let _ = load(&text);
    }
}

// Judging

/// Rules that show one thing each, from stage to stage.
const SEMANTICS: &str = r#"
[[rule]]
name = "friend"
at = "connect"
when = "client.name == 'friend.example'"
action = "accept"

[[rule]]
name = "watched"
at = "data"
when = "helo == 'a'"
action = "reject"
score = 100
observe = true

[[rule]]
name = "one-point"
at = "data"
when = "helo == 'a'"
score = 1

[[rule]]
name = "after-one-point"
at = "data"
when = "score >= 1.0"
action = "quarantine"
score = 0.5

[[rule]]
name = "divides"
at = "data"
when = "100 / message.bytes > 1"
action = "defer"

[[rule]]
name = "refuses"
at = "data"
when = "helo == 'b'"
action = "reject"
reply = "554 5.7.1 {helo} has {score} points"

[[rule]]
name = "drops"
at = "data"
when = "helo == 'c'"
action = "discard"

[[rule]]
name = "last"
at = "data"
when = "true"
score = -2
"#;

fn judged(policy: &Policy, stage: Stage, facts: &Given, mut so_far: Judgement) -> (Verdict, f64, Vec<String>) {
    let verdict = policy.judge(stage, facts, &mut so_far);
    let rules = so_far.rules.iter().map(|rule| format!("{}: {}", rule.name, rule.outcome)).collect();
    (verdict, so_far.score, rules)
}

#[test]
fn the_first_rule_that_acts_ends_the_stage_and_scores_add_up() {
    let policy = good(SEMANTICS);
    let one_byte = ("message.bytes", Value::Int(1000));
    let rules = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>();
    let check = |helo: &'static str, verdict: Verdict, score: f64, looked_at: &[&str]| {
        let facts = given(&[("helo", text(helo)), one_byte.clone()]);
        assert_eq!(
            judged(&policy, Stage::Data, &facts, Judgement::default()),
            (verdict, score, rules(looked_at)),
            "{helo}"
        );
    };
    check(
        "a",
        Verdict::Quarantine { rule: "after-one-point".into() },
        1.5,
        &["watched: observed", "one-point: scored", "after-one-point: acted"],
    );
    let before =
        ["watched: not matched", "one-point: not matched", "after-one-point: not matched", "divides: not matched"];
    let with = |more: &[&'static str]| before.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    let refused = Verdict::Reject { rule: "refuses".into(), reply: "554 5.7.1 b has 0 points".into() };
    check("b", refused, 0.0, &with(&["refuses: acted"]));
    check("c", Verdict::Discard { rule: "drops".into() }, 0.0, &with(&["refuses: not matched", "drops: acted"]));
    check("d", Verdict::Continue, -2.0, &with(&["refuses: not matched", "drops: not matched", "last: scored"]));
}

#[test]
fn a_condition_that_cannot_be_run_is_recorded_and_stops_nothing() {
    let facts = given(&[("helo", text("b")), ("message.bytes", Value::Int(0))]);
    let (verdict, _, rules) = judged(&good(SEMANTICS), Stage::Data, &facts, Judgement::default());
    assert_eq!(verdict.rule(), "refuses");
    assert!(rules.contains(&"divides: error".to_owned()), "{rules:?}");
}

#[test]
fn accept_ends_this_stage_and_the_later_ones() {
    let policy = good(SEMANTICS);
    let facts =
        given(&[("client.name", text("friend.example")), ("helo", text("b")), ("message.bytes", Value::Int(1))]);
    let mut so_far = Judgement::default();
    assert_eq!(policy.judge(Stage::Connect, &facts, &mut so_far), Verdict::Accept { rule: "friend".into() });
    assert!(so_far.accepted);
    assert_eq!(policy.judge(Stage::Data, &facts, &mut so_far), Verdict::Continue);
    assert_eq!(so_far.rules.len(), 1, "no rule of a later stage is looked at");
    assert_eq!(policy.judge(Stage::Data, &facts, &mut Judgement::default()).action(), Action::Defer);
}

#[test]
fn the_score_of_earlier_stages_is_the_fact_score() {
    let facts = given(&[("message.bytes", Value::Int(1000))]);
    let so_far = Judgement { score: 4.0, ..Judgement::default() };
    let (verdict, score, _) = judged(&good(SEMANTICS), Stage::Data, &facts, so_far);
    assert_eq!((verdict.rule(), score), ("after-one-point", 4.5));
}

#[test]
fn a_stage_needs_what_its_conditions_and_replies_read() {
    let policy = good(SEMANTICS);
    let needs = |stage| policy.needs(stage).iter().map(|fact| fact.name).collect::<Vec<_>>();
    assert_eq!(needs(Stage::Connect), ["client.name"]);
    assert_eq!(needs(Stage::Mail), [""; 0]);
    assert_eq!(needs(Stage::Data), ["helo", "message.bytes", "score"]);
    let reply_only = "[[rule]]\nname='it'\nat='data'\nwhen='true'\naction='reject'\nobserve=true\nreply='550 5.7.1 {from.domain} {arc.result}'";
    let names: Vec<&str> = good(reply_only).needs(Stage::Data).iter().map(|fact| fact.name).collect();
    assert_eq!(names, ["from.domain", "arc.result"]);
}

#[test]
fn a_refusal_without_a_reply_has_one_of_its_class() {
    for (action, reply) in [
        ("reject", "550 5.7.1 refused by local policy"),
        ("defer", "451 4.7.1 deferred by local policy, try again later"),
    ] {
        let policy = good(&format!("[[rule]]\nname='it'\nat='mail'\nwhen='true'\naction='{action}'"));
        let verdict = policy.judge(Stage::Mail, &Facts::default(), &mut Judgement::default());
        assert_eq!(verdict.reply(), Some(reply));
    }
}

#[test]
fn what_a_client_sent_is_escaped_and_cut_in_a_reply() {
    let policy = good(
        "[[rule]]\nname='it'\nat='data'\nwhen='true'\naction='reject'\nreply='550 5.7.1 <{helo}> {{x}} {from.defects}'",
    );
    let reply = |helo: String| {
        let mut facts = Facts { helo, ..Facts::default() };
        facts.from.defects = vec!["group".into(), "missing".into()];
        policy.judge(Stage::Data, &facts, &mut Judgement::default()).reply().unwrap().to_owned()
    };
    assert_eq!(reply("a.example".into()), "550 5.7.1 <a.example> {x} group, missing");
    assert_eq!(reply("a\r\n250 ok\u{fc}\0{score}".into()), "550 5.7.1 <a??250 ok??{score}> {x} group, missing");
    assert_eq!(reply("x".repeat(5000)), format!("550 5.7.1 <{}> {{x}} group, missing", "x".repeat(100)));
    let many = good(
        "[[rule]]\nname='it'\nat='data'\nwhen='true'\naction='reject'\nreply='550 5.7.1 {helo}{helo}{helo}{helo}{helo}{helo}'",
    );
    let facts = Facts { helo: "x".repeat(500), ..Facts::default() };
    let verdict = many.judge(Stage::Data, &facts, &mut Judgement::default());
    assert_eq!(verdict.reply().unwrap().len(), 450, "a reply with its ref fits a line");
}

#[test]
fn given_facts_are_named_with_dots_or_in_quotes() {
    good(&format!(
        "{}[[test]]\nname = 'both'\ngiven = {{ spf.helo.result = 'pass', 'dmarc.result' = 'fail', dkim = [{{ result = 'pass' }}] }}\nexpect = {{ rule = 'it' }}",
        one_rule(
            "spf.helo.result == 'pass' && dmarc.result == 'fail' && dkim.exists(d, d.result == 'pass' && d.domain == '')"
        )
    ));
}

#[test]
fn coverage_names_the_rules_that_no_test_holds() {
    let policy = good(&format!(
        "{}[[rule]]\nname='never'\nat='data'\nwhen=\"helo == 'b'\"\nscore=1\n[[test]]\nname='one way'\nexpect={{ action='accept' }}\n",
        one_rule("helo == 'a'")
    ));
    let uncovered: Vec<_> =
        policy.run_tests().uncovered.into_iter().map(|rule| (rule.rule, rule.matched, rule.not_matched)).collect();
    assert_eq!(uncovered, [("it".to_owned(), false, true), ("never".to_owned(), false, true)]);
}

#[test]
fn a_policy_has_a_bounded_number_of_rules() {
    let rule =
        |n: usize| format!("[[rule]]\nname = \"r{n}\"\nat = \"data\"\nwhen = \"message.bytes > {n}\"\nscore = 1\n");
    let policy = |count: usize| (0..count).map(rule).collect::<String>();
    assert_eq!(good(&policy(2_000)).rules().len(), 2_000);
    let problems = load(&policy(2_001)).unwrap_err().render(false);
    assert!(
        problems.contains("a policy has at most 2000 rules") && problems.contains("policy.toml:10001:1"),
        "{problems}"
    );
}

#[test]
fn parse_leaves_the_tests_to_run_tests() {
    let text = std::fs::read_to_string(testdata().join("failing.toml")).unwrap();
    let report = Policy::parse(source("failing.toml", &text), &mut no_files).unwrap().run_tests();
    assert!(!report.passed());
    let passed: Vec<bool> = report.tests.iter().map(|test| test.passed).collect();
    assert_eq!(passed, [true, false, false, false]);
    assert_eq!(report.tests[1].expected, "reject, by rule \"dmarc-reject\"");
    assert_eq!(report.tests[1].got, "accept, by no rule");
}

#[test]
fn the_record_names_the_file_and_its_digest() {
    let record = good("").record();
    assert_eq!(record.file, "policy.toml");
    assert_eq!(record.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn a_policy_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&good(""));
}

// Lists

#[test]
fn a_list_matches_addresses_domains_and_networks() {
    let mut list = List::default();
    for entry in [
        "Alice@Example.NET",
        "example.com",
        ".example.org",
        "192.0.2.0/24",
        "198.51.100.7",
        "2001:db8::/32",
        "bücher.example",
        "_h.example",
    ] {
        list.add(entry).unwrap_or_else(|cause| panic!("{entry}: {cause}"));
    }
    for (value, is_in) in [
        ("alice@example.net", true),
        ("ALICE@EXAMPLE.net", true),
        ("bob@example.net", false),
        ("example.net", false),
        ("example.com", true),
        ("EXAMPLE.COM", true),
        ("bob@example.com", true),
        ("sub.example.com", false),
        ("notexample.com", false),
        ("example.org", true),
        ("a.b.example.org", true),
        ("x@a.example.org", true),
        ("notexample.org", false),
        ("org", false),
        ("192.0.2.200", true),
        ("::ffff:192.0.2.200", true),
        ("192.0.3.1", false),
        ("198.51.100.7", true),
        ("198.51.100.8", false),
        ("2001:db8:1::1", true),
        ("2001:db9::1", false),
        ("xn--bcher-kva.example", true),
        ("_h.example", true),
        ("", false),
        (".", false),
        ("@", false),
    ] {
        assert_eq!(list.contains(value), is_in, "{value}");
    }
}

#[test]
fn a_list_comes_from_a_file_with_an_entry_a_line() {
    let text = format!("[lists]\nnames = {{ file = 'names.txt' }}\n{}", one_rule("helo in lists.names"));
    let mut asked = Vec::new();
    let mut read = |name: &str| {
        asked.push(name.to_owned());
        Ok("# comment\r\n\r\n mx.example.net # ours\r\n.example.org".to_owned())
    };
    let policy = Policy::load(source("policy.toml", &text), &mut read).unwrap();
    assert_eq!(asked, ["names.txt"]);
    for (helo, action) in
        [("mx.example.net", Action::Quarantine), ("a.example.org", Action::Quarantine), ("ours", Action::Accept)]
    {
        let facts = Facts { helo: helo.to_owned(), ..Facts::default() };
        assert_eq!(policy.judge(Stage::Data, &facts, &mut Judgement::default()).action(), action, "{helo}");
    }
}

#[test]
fn a_test_need_not_give_of_a_header_field_what_follows() {
    let test = |name: &str, given: &str, action: &str| {
        format!("[[test]]\nname = '{name}'\ngiven = {{ {given} }}\nexpect = {{ action = '{action}' }}\n")
    };
    let rule = one_rule(
        "headers['list-id'].present && headers['list-id'].count == 1 && headers['list-id'].last == headers['list-id'].value",
    );
    let action = good(&rule).rules()[0].action().unwrap().as_str();
    let text = [
        rule,
        test("present", r#""headers['list-id'].present" = true"#, action),
        test("text", r#"headers."list-id".value = "x""#, action),
        test("text of the last", r#""headers['list-id'].last" = "x""#, action),
        test("count", r#""headers['list-id'].count" = 1"#, action),
        test("whole", r#"headers."list-id" = { value = "x", count = 1 }"#, action),
        test("several", r#""headers['list-id'].count" = 2"#, "accept"),
        test("differing", r#""headers['list-id'].value" = "x", "headers['list-id'].last" = "y""#, "accept"),
        test("absent", r#""headers['list-id'].present" = false"#, "accept"),
        test("another", r#""headers['list-post'].present" = true"#, "accept"),
    ]
    .concat();
    let policy = good(&text);
    assert_eq!(policy.run_tests().tests.len(), 9);
    assert_eq!(policy.headers(), ["list-id"]);
    assert!(policy.needs(Stage::Data).contains("headers") && !policy.needs(Stage::Data).touches("mime"));
}

#[test]
fn a_policy_names_at_most_64_header_fields() {
    let rules = |n: usize| {
        (0..n)
            .map(|n| format!("[[rule]]\nname = 'r{n}'\nat = 'data'\nscore = 1\nwhen = \"headers['x-{n}'].present\"\n"))
    };
    assert_eq!(good(&rules(64).collect::<String>()).headers().len(), 64);
    let source = source("policy.toml", &rules(65).collect::<String>());
    let problems = Policy::parse(source, &mut no_files).expect_err("too many").render(false);
    assert!(problems.contains("the rules name 65 header fields; 64 are the most"), "{problems}");
}

#[test]
fn what_a_list_file_holds_today_makes_no_rule_a_mistake() {
    let text = "[lists]\nbanned = { file = \"banned.txt\" }\n[[rule]]\nname = \"banned\"\nat = \"mail\"\naction = \"reject\"\n\
        when = \"client.ip in lists.banned || mail_from.domain in lists.banned\"\n";
    for holds in ["", "evil.example\n", "192.0.2.0/24\n", "evil.example\n192.0.2.1\n"] {
        let loaded = Policy::load(source("policy.toml", text), &mut |_| Ok(holds.to_owned()));
        assert!(loaded.is_ok(), "{holds:?}: {}", loaded.unwrap_err());
    }
}
