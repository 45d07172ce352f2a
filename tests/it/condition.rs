//! Conditions: what they mean, that what the checker lets through runs, and that none of them breaks anything.

use std::collections::BTreeSet;
use std::sync::Mutex;

use gatepost::facts::table::{self, Fact, FactSource, Given, Type, Value};
use gatepost::facts::word::{Action, Outcome, Stage};
use gatepost::facts::{BlockList, Dkim, Facts, MethodResult};
use gatepost::policy::{Judgement, MAX_CONDITION_BYTES, MAX_CONDITION_DEPTH, Verdict};
use proptest::prelude::*;

use crate::policy::{given, good, load, one_rule, shipped_policies};

#[test]
fn conditions_mean_what_they_say() {
    let signature = |result, domain: &str| Dkim { result, domain: domain.into(), ..Dkim::default() };
    let mut facts = Facts::default();
    facts.client.ip = "192.0.2.7".parse().unwrap();
    facts.client.name = "mx.lists.example.org".into();
    facts.helo = "Mail.Example.NET".into();
    facts.message.bytes = 1000;
    facts.from.domain = "example.org".into();
    facts.from.addresses = vec!["a@example.org".into(), "b@example.org".into()];
    facts.dkim = vec![signature(MethodResult::Fail, "example.org"), signature(MethodResult::Pass, "example.net")];
    facts.score = 99.0;
    let codes = vec!["sbl".to_owned()];
    let names = vec!["192.0.2.7".to_owned()];
    facts.block_lists.insert("zen.example".into(), BlockList { listed: true, codes, names, temperror: false });
    for (when, holds) in [
        ("dkim.exists(d, d.result == 'pass')", true),
        ("dkim.exists(d, d.result == 'pass' && d.domain == from.domain)", false),
        ("dkim.all(d, d.domain.startsWith('example.'))", true),
        ("dkim.exists_one(d, d.result == 'fail')", true),
        ("size(dkim.filter(d, d.result == 'fail')) == 1", true),
        ("dkim.filter(d, d.result == 'none').size() == 0", true),
        ("from.addresses.exists(x, x.endsWith('@example.org'))", true),
        ("'b@example.org' in from.addresses", true),
        ("'group' in from.defects", false),
        ("size(from.defects) == 0", true),
        ("iprev.result in ['none', 'pass']", true),
        ("helo in ['a', 'b']", false),
        ("message.bytes in [1, 1000]", true),
        ("helo.matches('(?i)^mail[.]example[.](net|org)$')", true),
        ("matches(helo, '^mail')", false),
        ("helo.contains('Example') && !helo.startsWith('mail')", true),
        ("message.bytes > 999.5 && message.bytes < 1000.5 && 1000.0 == message.bytes", true),
        ("message.bytes / 2 * 3 - 1 + 1 == 1500 && message.bytes % 7 == 6 && -message.bytes < 0", true),
        ("score == 0.0", true), // the judgement's, not what stands in the facts
        ("(client.trusted ? 'x' : helo) == 'Mail.Example.NET'", true),
        ("helo + '/' + from.domain == 'Mail.Example.NET/example.org'", true),
        ("spf.helo.result == spf.mail_from.result", true),
        ("helo > 'A' && helo < 'Z'", true),
        ("message.bytes == 0 && 1 / (message.bytes - 1000) == 1", false), // nothing comes of the right side, and need not
        ("true // whatever && false", true),
        ("client.ip in lists.networks", true),
        ("block_lists['zen.example'].listed", true),
        ("block_lists[\"zen.example\"] . listed && !block_lists['dbl.example'].listed", true),
        ("'sbl' in block_lists['zen.example'].codes && !('pbl' in block_lists['zen.example'].codes)", true),
        ("client.ip in block_lists['zen.example'].names", true),
        ("size(block_lists['dbl.example'].codes) == 0", true),
        ("client.name in lists.names && !(helo in lists.names)", true),
        (
            "ip_in(client.ip, '192.0.2.0/24') && !ip_in(client.ip, '198.51.100.7') && !ip_in(client.ip, '2001:db8::/32')",
            true,
        ),
        ("domain_under(client.name, 'example.org') && domain_under(client.name, 'Lists.Example.ORG.')", true),
        ("domain_under(helo, 'mail.example.net')", true), // case aside
        ("domain_under(client.name, 'ists.example.org') || domain_under(from.domain, 'lists.example.org')", false),
        ("domain_under(from.domain, reply_to.domain)", false), // nothing is under nothing
        ("domain_under(client.name, from.domain) && domain_under(from.domain, from.domain)", true),
        ("forwarded_by(lists.names)", true),    // by the client's name
        ("forwarded_by(lists.networks)", true), // by its address
        ("forwarded_by(lists.signers)", true),  // by a signature that passes
        ("forwarded_by(lists.failing)", false), // by one that doesn't
    ] {
        let lists = "[lists]\nnames = ['.lists.example.org']\nnetworks = ['192.0.2.0/24']\nsigners = ['example.net']\n\
                     failing = ['example.org']\n";
        let verdict = good(&format!("{lists}{}", one_rule(when))).judge(Stage::Data, &facts, &mut Judgement::default());
        assert_eq!(verdict.action() == Action::Quarantine, holds, "{when}");
    }
}

fn any_value(ty: Type) -> BoxedStrategy<Value<'static>> {
    let words = |words: &'static [&'static str]| proptest::sample::select(words).prop_map(Value::text);
    match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        // mostly such as conditions name, so that both sides of a comparison come up
        Type::Int => prop_oneof![3 => 0..8i64, 1 => any::<i64>()].prop_map(Value::Int).boxed(),
        Type::Double => (-10.0..10.0f64).prop_map(Value::Double).boxed(),
        Type::String => prop_oneof![1 => "[ -~]{0,20}", 1 => ".{0,20}", 5 => "[ab]{0,3}", 1 => "(x\\.)?a\\.example"]
            .prop_map(|text| Value::String(text.into()))
            .boxed(),
        Type::Address => any::<std::net::IpAddr>().prop_map(|ip| Value::String(ip.to_string().into())).boxed(),
        Type::Word(set) => words(set).boxed(),
        Type::StringList => proptest::collection::vec(any_value(Type::String), 0..4).prop_map(Value::List).boxed(),
        Type::WordList(set) => {
            proptest::collection::vec(any_value(Type::Word(set)), 0..3).prop_map(Value::List).boxed()
        }
        Type::RecordList(fields) => {
            let record: Vec<_> =
                fields.iter().map(|(name, ty)| any_value(*ty).prop_map(move |v| ((*name).into(), v))).collect();
            proptest::collection::vec(record.prop_map(Value::Map), 0..4).prop_map(Value::List).boxed()
        }
        Type::Counts => {
            let entry = |name: &'static str| (0..100i64).prop_map(move |n| (name.into(), Value::Int(n)));
            (entry("client/10m"), entry("helo/1h")).prop_map(|(a, b)| Value::Map(vec![a, b])).boxed()
        }
        Type::RecordMap(fields) => {
            let record = || {
                let values = fields.iter().map(|(name, ty)| any_value(*ty).prop_map(move |v| ((*name).into(), v)));
                values.collect::<Vec<_>>().prop_map(Value::Map)
            };
            let entry =
                |zone: &'static str| proptest::option::of(record()).prop_map(move |r| r.map(|r| (zone.into(), r)));
            let entries = (entry("zen.example"), entry("dbl.example"), entry("forgotten.example"));
            entries.prop_map(|(a, b, c)| Value::Map([a, b, c].into_iter().flatten().collect())).boxed()
        }
    }
}

/// Random facts, all given.
pub fn any_given() -> impl Strategy<Value = Given> {
    let values: Vec<_> = table::TABLE.iter().map(|fact| any_value(fact.ty).prop_map(move |v| (fact.name, v))).collect();
    values.prop_map(|values| given(&values))
}

/// A fact of a type that the stage data knows.
fn fact_of(wanted: fn(Type) -> bool) -> BoxedStrategy<String> {
    let names: Vec<&str> = table::TABLE
        .iter()
        .filter(|fact| wanted(fact.ty) && fact.known_at(Stage::Data))
        .map(|fact| fact.name)
        .collect();
    proptest::sample::select(names).prop_map(str::to_owned).boxed()
}

fn any_text() -> BoxedStrategy<String> {
    let literal = prop_oneof!["[a-z@. ]{0,6}", "[ab]{0,2}"].prop_map(|text| format!("'{text}'"));
    let fact = fact_of(|ty| matches!(ty, Type::String | Type::Address));
    let sum = (fact.clone(), literal.clone()).prop_map(|(a, b)| format!("({a} + {b})"));
    prop_oneof![literal, fact, sum].boxed()
}

fn any_number() -> BoxedStrategy<String> {
    let fact = fact_of(|ty| matches!(ty, Type::Int | Type::Double));
    let size = fact_of(|ty| !matches!(ty, Type::Bool | Type::Int | Type::Double | Type::RecordMap(_) | Type::Counts))
        .prop_map(|fact| format!("size({fact})"));
    // numbers that every count can be on either side of
    prop_oneof![(2..=6i64).prop_map(|n| n.to_string()), Just("2.5".to_owned()), fact, size].boxed()
}

/// Conditions of every kind that the checker takes, but for arithmetic, which can fail when run.
fn any_condition() -> BoxedStrategy<String> {
    let words: Vec<String> = table::TABLE
        .iter()
        .filter(|fact| matches!(fact.ty, Type::Word(_)) && fact.known_at(Stage::Data))
        .flat_map(|fact| fact.ty.words().iter().map(move |word| format!("{} == '{word}'", fact.name)))
        .collect();
    let leaf = prop_oneof![
        fact_of(|ty| ty == Type::Bool),
        proptest::sample::select(words),
        (any_text(), proptest::sample::select(vec!["==", "!="]), any_text())
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (fact_of(|ty| ty == Type::String), proptest::sample::select(vec!["<", ">="]))
            .prop_map(|(a, op)| format!("{a} {op} 'b'")),
        (any_number(), proptest::sample::select(vec!["==", "!=", "<", "<=", ">"]), any_number())
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (any_text(), proptest::sample::select(vec!["contains", "startsWith", "endsWith"]), any_text())
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        any_text().prop_map(|text| format!("{text}.matches('^[a-z]+$')")),
        any_text().prop_map(|text| format!("{text} in ['a', 'b']")),
        any_text().prop_map(|text| format!("{text} in from.addresses")),
        any_text().prop_map(|text| format!("{text} in lists.names")),
        Just("client.ip in lists.networks".to_owned()),
        Just("forwarded_by(lists.names)".to_owned()),
        Just("ip_in(client.ip, '2001:db8::/32')".to_owned()),
        (fact_of(|ty| ty == Type::String), fact_of(|ty| ty == Type::String))
            .prop_map(|(name, parent)| format!("domain_under({name}, {parent})")),
        Just("block_lists['zen.example'].listed && !block_lists[\"dbl.example\"].temperror".to_owned()),
        Just("'sbl' in block_lists['zen.example'].codes".to_owned()),
        any_text().prop_map(|text| format!("{text} in block_lists['dbl.example'].names")),
        (proptest::sample::select(vec!["exists", "all", "exists_one"]), any_text())
            .prop_map(|(f, text)| format!("dkim.{f}(d, d.domain == {text} && d.result != 'none')")),
        any_text().prop_map(|text| format!("from.addresses.exists(x, x.endsWith({text}))")),
        Just("size(from.defects.filter(x, x == 'group')) > 0".to_owned()),
        Just("headers['zen.example'].present || headers['list-id'].count > 2".to_owned()),
        Just("headers['dbl.example'].value.contains('a') != headers['zen.example'].present".to_owned()),
        (2..90i64).prop_map(|n| format!("rate('client', '10m') >= {n} || {n} > rate('client', '1h')")),
        Just("dkim.all(d, d.secure || d.domain in lists.names || d.domain == from.domain)".to_owned()),
        Just("'group' in from.defects".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        ]
    })
    .boxed()
}

/// Notes which facts are asked for.
struct Asked<'a>(&'a Given, Mutex<BTreeSet<&'static str>>);

impl FactSource for Asked<'_> {
    fn value<'a>(&'a self, fact: &'static Fact) -> Value<'a> {
        self.1.lock().unwrap().insert(fact.name);
        self.0.value(fact)
    }
}

/// Facts of which some are not known, as those of an older record.
struct Lacking<'a>(&'a Given, BTreeSet<&'static str>);

impl FactSource for Lacking<'_> {
    fn value<'a>(&'a self, fact: &'static Fact) -> Value<'a> {
        self.0.value(fact)
    }

    fn find<'a>(&'a self, fact: &'static Fact) -> Option<Value<'a>> {
        (!self.1.contains(fact.name)).then(|| self.value(fact))
    }

    fn is_whole(&self) -> bool {
        self.1.is_empty()
    }
}

/// Tests of few facts, so that it is often the last octet or the equal number that decides.
fn any_plain_test() -> impl Strategy<Value = String> {
    let order = || proptest::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let text = || "[ab]{0,2}";
    prop_oneof![
        (order(), 2..7i64).prop_map(|(order, n)| format!("message.bytes {order} {n}")),
        (order(), 2..7i64).prop_map(|(order, n)| format!("{n} {order} message.bytes")),
        (order(), 1..4i64).prop_map(|(order, n)| format!("size(from.addresses) {order} {n}")),
        (proptest::sample::select(vec!["contains", "startsWith", "endsWith"]), text())
            .prop_map(|(function, text)| format!("helo.{function}('{text}')")),
        (text(), text()).prop_map(|(a, b)| format!("helo in ['{a}', '{b}']")),
        (proptest::sample::select(vec!["==", "!="]), text()).prop_map(|(order, text)| format!("helo {order} '{text}'")),
    ]
}

/// Facts that a record can lack.
fn any_lack() -> impl Strategy<Value = BTreeSet<&'static str>> {
    let names: Vec<&'static str> = table::names().collect();
    let some = proptest::sample::subsequence(names.clone(), 0..=names.len());
    prop_oneof![Just(BTreeSet::new()), some.prop_map(|names| names.into_iter().collect())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Most of a condition is run without CEL; held against `true`, all of it is run by CEL.
    #[test]
    fn a_condition_comes_to_what_cel_says_of_it(
        condition in prop_oneof![any_condition(), any_plain_test()], facts in any_given(), lacking in any_lack(),
        division in any::<bool>()
    ) {
        // which fails, and is decided by the other side or by nothing
        let condition = if division { format!("({condition}) || 1 / message.bytes == 7") } else { condition };
        let lists = "[lists]\nnames = ['a.example', '192.0.2.1']\nnetworks = ['192.0.2.0/24']\n";
        let rule = |name: &str, when: &str| {
            format!("[[rule]]\nname = '{name}'\nat = 'data'\nscore = 0.0\nwhen = \'\'\'\n{when}\'\'\'\n")
        };
        let rules = [
            rule("holds", &condition),
            rule("holds-by-cel", &format!("({condition}) == true")),
            rule("fails", &format!("!({condition})")),
            rule("fails-by-cel", &format!("({condition}) == false")),
        ];
        let loaded = load(&format!("{lists}{}", rules.concat()));
        prop_assume!(!matches!(&loaded, Err(problems) if problems.to_string().contains("nests deeper")));
        let policy = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        let mut judgement = Judgement::default();
        policy.judge(Stage::Data, &Lacking(&facts, lacking), &mut judgement);
        let outcomes: Vec<Outcome> = judgement.rules.iter().map(|rule| rule.outcome).collect();
        prop_assert_eq!((outcomes[0], outcomes[2]), (outcomes[1], outcomes[3]), "{}", condition);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The checker is sound: a run-time error would be a type that it did not see.
    #[test]
    fn what_the_checker_takes_runs_on_any_facts_and_reads_what_it_says(condition in any_condition(), facts in any_given()) {
        let lists = "[lists]\nnames = ['a.example', '192.0.2.1']\nnetworks = ['192.0.2.0/24']\n";
        let loaded = load(&format!("{lists}{}", one_rule(&condition)));
        prop_assume!(!matches!(&loaded, Err(problems) if problems.to_string().contains("nests deeper")));
        let policy = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        let asked = Asked(&facts, Mutex::default());
        let mut judgement = Judgement::default();
        policy.judge(Stage::Data, &asked, &mut judgement);
        prop_assert!(judgement.rules[0].outcome != Outcome::Error, "{condition}");
        for name in asked.1.lock().unwrap().iter() {
            prop_assert!(policy.needs(Stage::Data).contains(name), "{condition} asks for {name}");
        }
    }

    #[test]
    fn the_shipped_policies_ask_only_for_what_they_need(facts in any_given()) {
        for (_, policy) in shipped_policies() {
            for stage in Stage::ALL {
                let asked = Asked(&facts, Mutex::default());
                policy.judge(*stage, &asked, &mut Judgement::default());
                for name in asked.1.lock().unwrap().iter() {
                    prop_assert!(policy.needs(*stage).contains(name), "{name} at {stage}");
                }
            }
        }
    }

    #[test]
    fn no_condition_makes_loading_panic(when in "[a-z.'\"()\\[\\]{}!=<>&|?:,+*/%0-9 \\\\-]{0,60}|(dkim\\.exists\\(d, |helo|==|'x'| in |\\(|\\)|&&|!|score|>|1|lists\\.a|[.]){0,20}") {
        let text = format!("[[rule]]\nname = 'it'\nat = 'data'\nscore = 1\nwhen = {when:?}");
        if let Ok(policy) = load(&text) {
            policy.judge(Stage::Data, &Facts::default(), &mut Judgement::default());
        }
    }
}

// What no input may do

/// Loads and runs a condition where the stack is a quarter of what a worker thread has.
fn on_a_small_stack(when: String) -> Result<Verdict, String> {
    let run = move || {
        let policy = load(&one_rule(&when)).map_err(|problems| problems.render(false))?;
        Ok(policy.judge(Stage::Data, &Facts::default(), &mut Judgement::default()))
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap().join().unwrap()
}

#[test]
fn the_deepest_condition_that_is_taken_fits_a_small_stack() {
    let n = MAX_CONDITION_DEPTH - 3;
    for when in [
        format!("{}true{}", "(".repeat(n), ")".repeat(n)),
        format!("{}true", "!".repeat(n - n % 2)),
        format!("1{} > 1", "+1".repeat(n)),
        format!("{}1 != 0", "-".repeat(n - 2)),
        format!("true{}", " ? true : false".repeat(n)),
        format!("{}true{}", "(!!".repeat(n / 3), ")".repeat(n / 3)),
        format!("true{}", " && true".repeat(MAX_CONDITION_BYTES / 8 - 1)),
        format!("true{}", " && (true || false)".repeat(MAX_CONDITION_BYTES / 19 - 1)),
        format!("!(helo in [{}])", ["'a'"; MAX_CONDITION_BYTES / 4 - 8].join(",")),
    ] {
        let verdict = on_a_small_stack(when.clone()).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(verdict.action(), Action::Quarantine, "{when}");
    }
}

#[test]
fn a_condition_beyond_the_bounds_is_refused_before_it_is_parsed() {
    let n = 1300;
    for (when, cause) in [
        (format!("{}true{}", "(".repeat(n), ")".repeat(n)), "nests deeper"),
        ("(".repeat(n), "nests deeper"),
        ("[".repeat(n), "nests deeper"),
        ("!".repeat(n), "nests deeper"),
        ("-".repeat(n), "nests deeper"),
        (format!("1{}", "+1".repeat(n)), "nests deeper"),
        (format!("a{}", ".a".repeat(n)), "nests deeper"),
        (format!("true{}", " && true ? true : true".repeat(100)), "nests deeper"),
        (format!("{}true{}", "dkim.exists(d, ".repeat(40), ")".repeat(40)), "nests deeper"),
        (format!("helo == '\n{}", "(".repeat(n)), "does not end"),
        (format!(r"helo == '\q' {}", "(".repeat(n)), "escape is not known"),
        (format!(r"helo == '\x(' {}", "(".repeat(n)), "escape is not known"),
        (format!("// comment\n{}", "(".repeat(n)), "nests deeper"),
        (format!("helo == r'\\' && {}", "(".repeat(n)), "nests deeper"),
        (format!("helo == \"\"\"'\"\"\" && {}", "(".repeat(n)), "nests deeper"),
        (format!("helo == '{}'", "x".repeat(MAX_CONDITION_BYTES)), "4096 are the most"),
        (format!("helo{}", " ".repeat(10_000_000)), "the policy is"),
        ("{".repeat(n), "no maps"),
        (format!("{}true{}", "dkim.exists(d, ".repeat(10), ")".repeat(10)), "exists stands within another one"),
    ] {
        let problems = on_a_small_stack(when.clone()).expect_err("it is refused");
        assert!(problems.contains(cause), "{}\n{problems}", when.chars().take(80).collect::<String>());
    }
}

#[test]
fn a_deep_or_long_file_is_refused() {
    for text in [
        format!("{} = 1", ["a"; 50_000].join(".")),
        format!("[[test]]\nname='x'\ngiven = {{ {} = 1 }}", ["a"; 50_000].join(".")),
        format!("x = {}", "[".repeat(50_000)),
        format!("[{}]", ["a"; 50_000].join(".")),
        "[[rule]]\nname='x'\nat='data'\nwhen='true'\nscore=1\n".repeat(2000),
        "#".repeat(2_000_000),
        (0..40_000).map(|n| format!("unknown{n} = 1\n")).collect(),
        format!(
            "[[test]]\nname='x'\n[test.given]\n{}",
            (0..40_000).map(|n| format!("dmarcresul{n} = 1\n")).collect::<String>()
        ),
    ] {
        let run = move || load(&text).is_err();
        assert!(std::thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap().join().unwrap());
    }
}
