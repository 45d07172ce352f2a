//! Rates as conditions ask for them and as the record has them: `rate('client', '10m')` and `rates['client/10m']`.

use gatepost::facts::Facts;
use gatepost::facts::rate::{Counted, Rate, RateMistake};
use gatepost::facts::word::{Action, Stage};
use gatepost::policy::Judgement;

use crate::policy::{good, load};

#[test]
fn a_rate_has_one_name_however_it_is_written() {
    for (key, window, name) in [
        ("client", "10m", "client/10m"),
        ("client", "600s", "client/10m"),
        ("client", "60m", "client/1h"),
        ("client", "24h", "client/1d"),
        ("client", "90s", "client/90s"),
        ("mail_from.domain+client.network", "1h", "client.network+mail_from.domain/1h"),
        ("client.network+mail_from.domain", "1h", "client.network+mail_from.domain/1h"),
        ("rcpt.domain", "30d", "rcpt.domain/30d"),
        ("from.domain", "10s", "from.domain/10s"),
    ] {
        let rate = Rate::parse(key, window).unwrap();
        assert_eq!(rate.to_string(), name);
        assert_eq!(Rate::from_name(name), Ok(rate));
    }
}

#[test]
fn what_is_no_rate_is_told_apart() {
    use RateMistake::{Never, Part, Parts, Window};
    for (key, window, mistake) in [
        ("", "10m", Part(String::new())),
        ("clients", "10m", Part("clients".into())),
        ("client+", "10m", Part(String::new())),
        ("client+client", "10m", Parts),
        ("client+client.network+helo+mail_from.address+mail_from.domain", "10m", Parts),
        ("from.domain+rcpt.domain", "10m", Never),
        ("client", "", Window(String::new())),
        ("client", "m", Window("m".into())),
        ("client", "9s", Window("9s".into())),
        ("client", "31d", Window("31d".into())),
        ("client", "-1h", Window("-1h".into())),
        ("client", "99999999999h", Window("99999999999h".into())),
        ("client", "4294967295d", Window("4294967295d".into())),
    ] {
        assert_eq!(Rate::parse(key, window), Err(mistake), "{key}/{window}");
    }
    assert_eq!(Rate::from_name("client"), Err(Window(String::new())));
}

#[test]
fn a_rate_is_known_where_all_that_it_counts_by_is() {
    let known = |key: &str| -> Vec<Stage> {
        let rate = Rate::parse(key, "1h").unwrap();
        Stage::ALL.iter().copied().filter(|stage| rate.known_at(*stage)).collect()
    };
    use Stage::{Connect, Data, Mail, Rcpt};
    assert_eq!(known("client"), [Connect, Mail, Rcpt, Data]);
    assert_eq!(known("client+mail_from.domain"), [Mail, Rcpt, Data]);
    assert_eq!(known("client+rcpt.address"), [Rcpt]);
    assert_eq!(known("client+from.domain"), [Data]);
    let counted = |key: &str| Rate::parse(key, "1h").unwrap().counted();
    assert_eq!(counted("helo"), Counted::Transactions);
    assert_eq!(counted("helo+rcpt.domain"), Counted::Recipients);
    assert_eq!(counted("client+from.domain"), Counted::Messages);
}

#[test]
fn a_rate_counts_by_what_its_key_says_and_by_nothing_that_is_empty() {
    let mut facts = Facts::new("192.0.2.77".parse().unwrap(), 25, false);
    facts.helo = "MX.Example.Net".into();
    let values = |facts: &Facts, key: &str| Rate::parse(key, "1h").unwrap().values(facts);
    assert_eq!(values(&facts, "client"), Some(vec!["192.0.2.77".to_owned()]));
    assert_eq!(values(&facts, "helo+client.network"), Some(vec!["192.0.2.0/24".into(), "mx.example.net".into()]));
    assert_eq!(values(&facts, "client+mail_from.domain"), None, "the null reverse-path has no domain");
    facts.client.ip = "2001:db8:1:2:3::4".parse().unwrap();
    assert_eq!(values(&facts, "client.network"), Some(vec!["2001:db8:1:2::/64".to_owned()]));
}

const SLOW: &str = r#"
[[rule]]
name = "too-many"
at = "rcpt"
when = "rate('client.network', '10m') >= 30 && rate('mail_from.domain+client', '1h') > 5"
action = "defer"
[[rule]]
name = "scored"
at = "data"
when = "dkim.exists(d, d.result == 'pass' && rate('client', '1d') == 7)"
score = 2.0
[[test]]
name = "a quick client is slowed down"
at = "rcpt"
given = { "rate('client.network', '10m')" = 30, "rates['client+mail_from.domain/1h']" = 6 }
expect = { action = "defer", rule = "too-many" }
[[test]]
name = "a slow one is not"
at = "rcpt"
given.rates = { "client.network/600s" = 30, "client+mail_from.domain/60m" = 5 }
expect = { action = "accept", rule = "" }
[[test]]
name = "a rate within an exists"
given = { "rate('client', '24h')" = 7, "dkim" = [{ result = "pass" }] }
expect = { score = 2.0 }
"#;

#[test]
fn conditions_ask_for_rates_and_tests_give_them() {
    let policy = good(SLOW);
    let names: Vec<String> = policy.rates().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["client/1d", "client.network/10m", "client+mail_from.domain/1h"]);
    assert!(policy.needs(Stage::Rcpt).contains("rates") && policy.needs(Stage::Data).contains("rates"));
    let mut facts = Facts::default();
    let judged = |facts: &Facts| policy.judge(Stage::Rcpt, facts, &mut Judgement::default()).action();
    assert_eq!(judged(&facts), Action::Accept, "what was not counted is 0");
    facts.rates = [("client.network/10m".to_owned(), 31), ("client+mail_from.domain/1h".to_owned(), 6)].into();
    assert_eq!(judged(&facts), Action::Defer);
    facts.rates.insert("client.network/10m".to_owned(), 29);
    assert_eq!(judged(&facts), Action::Accept);
}

#[test]
fn a_policy_asks_for_a_bounded_number_of_rates() {
    let rule = |n: usize| {
        format!("[[rule]]\nname = \"r{n}\"\nat = \"rcpt\"\nscore = 1\nwhen = \"rate('client', '{}s') > 3\"\n", 100 + n)
    };
    let policy = |count: usize| (0..count).map(rule).collect::<String>();
    assert_eq!(good(&policy(32)).rates().len(), 32);
    let problems = load(&policy(35)).unwrap_err().render(false);
    assert!(
        problems.contains("policy.toml:161:1") && problems.contains("a policy asks for at most 32 rates"),
        "{problems}"
    );
    assert_eq!(problems.matches("at most 32 rates").count(), 1, "{problems}");
}

#[test]
fn old_records_have_no_rates_and_none_are_written_where_nobody_asks() {
    let json = serde_json::to_value(Facts::default()).unwrap();
    assert!(json.get("rates").is_none() && json.get("greylist").is_none(), "{json}");
    let facts: Facts = serde_json::from_value(json).unwrap();
    assert_eq!(facts, Facts::default());
    let mut asked = Facts::default();
    asked.rates.insert("client/10m".into(), 3);
    asked.greylist.wait = 60;
    let json = serde_json::to_value(&asked).unwrap();
    assert_eq!(json["rates"]["client/10m"], 3);
    assert_eq!(serde_json::from_value::<Facts>(json).unwrap(), asked);
}
