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
        "[[rule]]\nname='a'\nat='connect'\nwhen='true'\naction='defer'\nwhy='a client'\n[[rule]]\nname='b'\nat='data'\nwhen='client.port == 1'\naction='reject'\nwhy='a message'",
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

// Shares

fn share_policy(percent: u8) -> Policy {
    good(&format!(
        "[[rule]]\nname = 'strict'\nat = 'data'\nwhen = 'true'\naction = 'reject'\nscore = 2\nshare = {percent}\n[[rule]]\nname = 'tags'\nat = 'data'\nwhen = 'true'\ntag_subject = '[X] '\nshare = {percent}\n"
    ))
}

/// What the rules do for a client.
fn for_client(policy: &Policy, ip: std::net::IpAddr) -> Vec<String> {
    let mut judgement = Judgement::default();
    policy.judge(Stage::Data, &Facts::new(ip, 1, false), &mut judgement);
    outcomes(&judgement)
}

#[test]
fn a_share_is_of_networks_and_always_the_same() {
    let (ten, twenty) = (share_policy(10), share_policy(20));
    let networks: Vec<u32> = (0..5_000u32).map(|n| 0x0a00_0000 + n * 256).collect();
    let mut acted = [0, 0];
    for network in &networks {
        let ip = |host: u32| std::net::Ipv4Addr::from(network + host).into();
        let of_ten = for_client(&ten, ip(1));
        assert_eq!(of_ten, for_client(&ten, ip(254)), "one network, one answer");
        let acts = |outcomes: &[String]| outcomes[0] == "strict: acted";
        let of_twenty = for_client(&twenty, ip(7));
        assert!(!acts(&of_ten) || acts(&of_twenty), "a larger share takes nobody out");
        acted[0] += u32::from(acts(&of_ten));
        acted[1] += u32::from(acts(&of_twenty));
        if !acts(&of_ten) {
            assert_eq!(of_ten[0], "strict: observed");
        }
    }
    assert!((400..600).contains(&acted[0]) && (850..1150).contains(&acted[1]), "about 10 and 20 percent: {acted:?}");
    // the documented rule: SHA-256("RULE NETWORK"), its first 8 octets modulo 100
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"strict 2001:db8:1:2::/64");
    let number = u64::from_be_bytes(digest.as_ref()[..8].try_into().unwrap()) % 100;
    for percent in [1, 10, 25, 50, 75, 99, 100] {
        let outcome = for_client(&share_policy(percent), "2001:db8:1:2:3::4".parse().unwrap());
        assert_eq!(outcome[0] == "strict: acted", number < u64::from(percent), "{percent}");
    }
}

#[test]
fn two_rules_of_one_share_take_different_networks() {
    let policy = share_policy(50);
    let both = |n: u32| {
        let outcomes = for_client(&policy, std::net::Ipv4Addr::from(0x0a00_0000 + n * 256).into());
        (outcomes[0] == "strict: acted", outcomes.get(1).is_some_and(|tags| tags == "tags: changed"))
    };
    let observed: Vec<bool> = (0..200).map(both).filter(|(strict, _)| !strict).map(|(_, tags)| tags).collect();
    assert!(observed.contains(&true) && observed.contains(&false), "the rule's name is in it");
}

#[test]
fn outside_its_share_a_rule_only_observes() {
    let policy = share_policy(1);
    let outside = (0..)
        .map(|n: u32| std::net::Ipv4Addr::from(n * 256).into())
        .find(|ip| for_client(&policy, *ip)[0] == "strict: observed");
    let mut judgement = Judgement::default();
    let facts = Facts::new(outside.unwrap(), 1, false);
    let verdict = policy.judge(Stage::Data, &facts, &mut judgement);
    assert_eq!((verdict, judgement.score, judgement.rules[0].action), (Verdict::Continue, 0.0, Some(Action::Reject)));
    assert!(policy.needs(Stage::Data).contains("client.ip"));
    // a test that gives no client is about the rule that acts
    good(
        "[[rule]]\nname='it'\nat='data'\nwhen='true'\naction='reject'\nshare=1\n[[test]]\nname='acts'\nexpect={action='reject',rule='it'}",
    );
}

// Edits and scores across stages

const ACROSS: &str = r#"
[[rule]]
name = "client"
at = "connect"
when = "client.ip == '192.0.2.1'"
score = 2
add_headers = { "X-Client" = "{client.ip} has {score} points" }
[[rule]]
name = "reverse-path"
at = "mail"
when = "mail_from.domain == 'bad.example'"
score = 1.5
[[rule]]
name = "recipient"
at = "rcpt"
when = "rcpt.role == '' && score > 3.0"
score = 1
redirect = "watch@local.example"
tag_subject = "[WATCHED] "
[[rule]]
name = "message"
at = "data"
when = "score >= 4.5"
action = "quarantine"
folder = "Watched"
redirect = "abuse@local.example"
remove_headers = ["X-Spam-*"]
tag_subject = "[WATCHED] "
[[test]]
name = "the sum of all stages"
at = "data"
given = { score = 4.5 }
expect = { action = "quarantine", rule = "message", changed = [], excepted = [] }
[[test]]
name = "a change is no decision"
at = "rcpt"
given = { score = 3.5 }
expect = { action = "accept", rule = "", score = 4.5, changed = ["recipient"], observed = [] }
"#;

#[test]
fn scores_and_changes_add_up_across_stages_and_the_last_redirect_counts() {
    let policy = good(ACROSS);
    let facts = given(&[("client.ip", text("192.0.2.1")), ("mail_from.domain", text("bad.example"))]);
    let mut judgement = Judgement::default();
    for stage in [Stage::Connect, Stage::Mail, Stage::Rcpt] {
        assert_eq!(policy.judge(stage, &facts, &mut judgement), Verdict::Continue);
    }
    assert_eq!(judgement.score, 4.5);
    assert_eq!(judgement.edits.redirect, "watch@local.example");
    let verdict = policy.judge(Stage::Data, &facts, &mut judgement);
    assert_eq!(verdict, Verdict::Quarantine { rule: "message".into() });
    assert_eq!(
        outcomes(&judgement),
        ["client: changed", "reverse-path: scored", "recipient: changed", "message: acted"]
    );
    let edits = &judgement.edits;
    assert_eq!((edits.redirect.as_str(), edits.folder.as_str()), ("abuse@local.example", "Watched"));
    assert_eq!(
        (edits.tags.as_slice(), edits.remove.as_slice()),
        (&["[WATCHED] ".to_owned()][..], &["x-spam-*".to_owned()][..])
    );
    assert_eq!(
        (edits.add[0].name.as_str(), edits.add[0].text.as_str(), edits.add[0].replaces),
        ("X-Client", "192.0.2.1 has 2 points", false)
    );
    assert_eq!(policy.redirects().collect::<Vec<_>>(), ["watch@local.example", "abuse@local.example"]);
}

#[test]
fn a_rule_that_does_not_act_changes_nothing() {
    let policy = good(
        "[[rule]]\nname='a'\nat='data'\nwhen='true'\nobserve=true\ntag_subject='[A] '\n[[rule]]\nname='b'\nat='data'\nwhen='true'\nexcept='size(helo) == 0'\ntag_subject='[B] '\n[[rule]]\nname='c'\nat='data'\nwhen='client.port == 1'\ntag_subject='[C] '",
    );
    let (_, judgement) = judge(&policy, Stage::Data, &Given::new());
    assert_eq!(outcomes(&judgement), ["a: observed", "b: excepted", "c: not matched"]);
    assert!(judgement.edits.is_empty());
}

#[test]
fn all_rules_of_a_policy_add_a_hundred_fields_at_most() {
    let rule = |n: usize| {
        let fields: String = (0..n).map(|n| format!("\"X-F{n}\" = \"x\"\n")).collect();
        format!("[[rule]]\nname='it{n}'\nat='data'\nwhen='true'\n[rule.add_headers]\n{fields}\n")
    };
    good(&format!("{}{}", rule(60), rule(40)));
    let problems = load(&format!("{}{}", rule(60), rule(41))).unwrap_err().to_string();
    assert!(problems.contains("the rules add 101 fields together; 100 are the most"), "{problems}");
}

// What settles a transaction

/// Whether two policies store the same messages, whatever else they do with them.
#[track_caller]
fn check_settles(one: &str, other: &str, alike: bool) {
    let (one, other) = (good(one), good(other));
    assert_eq!(one.settling().is_like(other.settling()), alike);
}

#[test]
fn policies_are_compared_by_what_they_refuse() {
    let rule =
        |name: &str, when: &str, more: &str| format!("[[rule]]\nname='{name}'\nat='data'\nwhen=\"{when}\"\n{more}\n");
    let refuses = rule("no", "dmarc.result == 'fail'", "action='reject'");
    let refused_otherwise = rule("never", "dmarc.result == 'fail'", "action='reject'\nreply='550 5.7.1 never'");
    check_settles(&refuses, &refused_otherwise, true);
    let with = |more: &str| format!("{refuses}{more}");
    check_settles(&refuses, &with(&rule("files", "message.bytes > 1", "action='quarantine'\nfolder='Big'")), true);
    check_settles(&refuses, &with(&rule("tags", "true", "tag_subject='[X] '\nscore=1")), true);
    check_settles(&refuses, &with(&rule("watches", "true", "action='reject'\nobserve=true")), true);
    check_settles(&refuses, &rule("later", "dmarc.result == 'fail'", "action='defer'"), false);
    check_settles(&refuses, &rule("other", "dmarc.result == 'none'", "action='reject'"), false);
    check_settles(
        &refuses,
        &rule("no", "dmarc.result == 'fail'", "action='reject'\nexcept='message.bytes < 9'"),
        false,
    );
    check_settles(&refuses, &rule("no", "dmarc.result == 'fail'", "action='reject'\nshare=10"), false);
    check_settles(&refuses, "", false);
    let before = rule("spares", "from.domain == 'a.example'", "action='accept'");
    check_settles(&refuses, &format!("{before}{refuses}"), false);
    let by_score = rule("sum", "score > 5.0", "action='reject'");
    let scored = |score: u8| format!("{}{by_score}", rule("big", "message.bytes > 1", &format!("score={score}")));
    check_settles(&scored(1), &scored(1), true);
    check_settles(&scored(1), &scored(2), false);
    let listed =
        |entry: &str| format!("[lists]\nl=['{entry}']\n{}", rule("no", "from.domain in lists.l", "action='reject'"));
    check_settles(&listed("a.example"), &listed("a.example"), true);
    check_settles(&listed("a.example"), &listed("b.example"), false);
}
