//! Exceptions, reasons and greylisting: what a rule does where its condition holds, without a server.

use gatepost::facts::Facts;
use gatepost::facts::table::{Given, Value};
use gatepost::facts::word::{Action, GreylistResult, Outcome, Stage};
use gatepost::policy::{Judgement, Policy, Verdict};

use crate::policy::{given, good, load, text};

/// What became of each rule, as `name: outcome`.
fn outcomes(judgement: &Judgement) -> Vec<String> {
    judgement.rules.iter().map(|rule| format!("{}: {}", rule.name, rule.outcome)).collect()
}

fn judge(policy: &Policy, stage: Stage, facts: &Given) -> (Verdict, Judgement) {
    let mut judgement = Judgement::default();
    (policy.judge(stage, facts, &mut judgement), judgement)
}

const FORWARDERS: &str = r#"
[lists]
forwarders = ["forward.example"]
[[rule]]
name = "dmarc-reject"
at = "data"
when = "dmarc.result == 'fail'"
except = "client.name in lists.forwarders"
why = "{from.domain} fails DMARC and {client.name} is no forwarder we know"
action = "reject"
score = 2
[[rule]]
name = "watched"
at = "data"
when = "dmarc.result == 'fail'"
except = "100 / message.bytes > 1"
action = "quarantine"
observe = true
"#;

#[test]
fn an_exception_holds_a_rule_back_and_is_told() {
    let policy = good(FORWARDERS);
    let check = |client: &'static str, bytes: i64, rule: &str, score: f64, rules: &[&str]| {
        let facts = given(&[
            ("dmarc.result", text("fail")),
            ("client.name", text(client)),
            ("from.domain", text("bank.example")),
            ("message.bytes", Value::Int(bytes)),
        ]);
        let (verdict, judgement) = judge(&policy, Stage::Data, &facts);
        assert_eq!(
            (verdict.rule(), judgement.score, outcomes(&judgement)),
            (rule, score, rules.iter().map(|rule| (*rule).to_owned()).collect())
        );
        judgement
    };
    check("other.example", 1000, "dmarc-reject", 2.0, &["dmarc-reject: acted"]);
    let judgement = check("forward.example", 1000, "", 0.0, &["dmarc-reject: excepted", "watched: observed"]);
    let would: Vec<_> = judgement.rules.iter().map(|rule| rule.action).collect();
    assert_eq!(would, [Some(Action::Reject), Some(Action::Quarantine)], "what each would have done");
    check("forward.example", 10, "", 0.0, &["dmarc-reject: excepted", "watched: excepted"]);
    check("forward.example", 0, "", 0.0, &["dmarc-reject: excepted", "watched: error"]);
}

#[test]
fn an_exception_is_not_looked_at_where_the_condition_does_not_hold() {
    let (_, judgement) = judge(&good(FORWARDERS), Stage::Data, &given(&[("client.name", text("forward.example"))]));
    assert_eq!(outcomes(&judgement), ["dmarc-reject: not matched", "watched: not matched"]);
}

#[test]
fn a_decision_says_why_and_what_was_read() {
    let policy = good(FORWARDERS);
    let facts = given(&[
        ("dmarc.result", text("fail")),
        ("client.name", text("x\u{202e}\r\nevil.example")),
        ("from.domain", text("b\u{fc}cher.example")),
    ]);
    let (_, judgement) = judge(&policy, Stage::Data, &facts);
    assert_eq!(
        judgement.grounds.why, "b\u{fc}cher.example fails DMARC and x???evil.example is no forwarder we know",
        "letters stay, what would break a line or turn it around does not"
    );
    assert_eq!(judgement.grounds.read, ["client.name", "dmarc.result"], "in the table's order, without the texts'");
    let needs = policy.needs(Stage::Data);
    assert!(["client.name", "dmarc.result", "from.domain"].iter().all(|fact| needs.contains(fact)));
    let (_, judgement) = judge(&policy, Stage::Data, &Given::new());
    assert_eq!(judgement.grounds, Default::default(), "no rule decided");
}

#[test]
fn the_reasons_of_an_earlier_stage_are_not_those_of_a_later_one() {
    let policy = good(
        "[[rule]]\nname='a'\nat='connect'\nwhen='true'\naction='defer'\nwhy='a client'\n[[rule]]\nname='b'\nat='data'\nwhen='false'\naction='reject'\nwhy='a message'",
    );
    let mut judgement = Judgement::default();
    policy.judge(Stage::Connect, &Facts::default(), &mut judgement);
    assert_eq!(judgement.grounds.why, "a client");
    policy.judge(Stage::Data, &Facts::default(), &mut judgement);
    assert_eq!(judgement.grounds.why, "");
}

const GREYLISTING: &str = r#"
[[rule]]
name = "grey"
at = "rcpt"
when = "mail_from.address != ''"
except = "client.name == 'friend.example'"
action = "greylist"
score = 1
[[rule]]
name = "after"
at = "rcpt"
when = "true"
score = 5
"#;

#[test]
fn greylisting_defers_the_new_and_the_early_and_no_others() {
    let policy = good(GREYLISTING);
    assert!(policy.needs(Stage::Rcpt).contains("greylist.result"), "so that it is recalled");
    for word in GreylistResult::WORDS {
        let facts = given(&[("mail_from.address", text("a@b.example")), ("greylist.result", text(word))]);
        let (verdict, judgement) = judge(&policy, Stage::Rcpt, &facts);
        if ["new", "early"].contains(word) {
            assert_eq!(verdict.action(), Action::Defer, "{word}");
            assert_eq!(verdict.reply(), Some("451 4.7.1 greylisted, try again in a few minutes"));
            assert_eq!(judgement.score, 1.0);
            assert_eq!(judgement.grounds.read, ["client.name", "mail_from.address", "greylist.result"]);
        } else {
            assert_eq!(verdict, Verdict::Continue, "{word}");
            assert_eq!(outcomes(&judgement), ["grey: not matched", "after: scored"], "{word}");
            assert_eq!(judgement.score, 5.0);
        }
    }
    let friend = given(&[
        ("mail_from.address", text("a@b.example")),
        ("client.name", text("friend.example")),
        ("greylist.result", text("new")),
    ]);
    let (verdict, judgement) = judge(&policy, Stage::Rcpt, &friend);
    assert_eq!(
        (verdict, judgement.rules[0].outcome, judgement.rules[0].action),
        (Verdict::Continue, Outcome::Excepted, Some(Action::Defer))
    );
}

/// One rule with these lines besides name and condition; what is told about it, each as `cause | mend`.
#[track_caller]
pub fn check_told(lines: &str, told: &[(&str, &str)]) {
    let policy = format!("[[rule]]\nname = 'it'\nwhen = 'true'\n{lines}");
    let problems = load(&policy).err().unwrap_or_else(|| panic!("{lines}: nothing is wrong with it"));
    let said: Vec<(String, String)> =
        problems.iter().map(|problem| (problem.cause.clone(), problem.mend.clone())).collect();
    assert_eq!(said.len(), told.len(), "{lines}: {said:#?}");
    for ((cause, mend), (wanted, mended)) in said.iter().zip(told) {
        assert!(cause.contains(wanted) && mend.contains(mended), "{lines}\n{cause} | {mend}\n{wanted} | {mended}");
    }
    assert!(problems.iter().all(|problem| problem.span.is_some()), "{lines}: each has its place");
}

#[test]
fn mistakes_in_exceptions_reasons_and_greylisting_are_told() {
    check_told("at='data'\naction='reject'\nexcept='dmarc.resul == 1'", &[("dmarc.resul", "dmarc.result")]);
    check_told("at='mail'\naction='reject'\nexcept=\"dmarc.result == 'fail'\"", &[("not known at stage mail", "data")]);
    check_told("at='data'\naction='reject'\nexcept=''", &[("empty", "")]);
    check_told(
        "at='data'\naction='reject'\nwhy='{from.domian}'",
        &[("there is no fact \"from.domian\"", "from.domain")],
    );
    check_told(
        "at='connect'\naction='reject'\nwhy='{from.domain}'",
        &[("not known at stage connect", "at stage data only")],
    );
    check_told(
        "at='data'\naction='reject'\nwhy=\"two\\nlines\"",
        &[("a reason is one line", "leave this character out")],
    );
    check_told("at='data'\naction='reject'\nwhy=' '", &[("the reason is empty", "leave it out")]);
    check_told("at='mail'\naction='greylist'", &[("whom the mail is for is not known at stage mail", "at = \"rcpt\"")]);
    check_told("at='rcpt'\naction='greylist'\nreply='550 5.7.1 no'", &[("defer answers with 4yz", "451 4.7.1")]);
    check_told(
        "at='rcpt'\naction='graylist'",
        &[("\"graylist\" is not one of its words", "did you mean \"greylist\"?")],
    );
    check_told("at='rcpt'\naction='defer'\nexpect='true'", &[("this key is not known", "did you mean \"except\"?")]);
}
