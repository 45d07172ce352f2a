//! A policy file: it is read whole or told of, and what is read judges anything.

use std::sync::Arc;

use gatepost::facts::word::{Action, Stage};
use gatepost::facts::{Dkim, DmarcPolicy, DmarcResult, Facts, MethodResult};
use gatepost::policy::{Judgement, Policy, Verdict};
use gatepost::problem::Source;
use gatepost::smtp::reply::Reply;

use super::{Target, check_problems, check_reply, outcome};

pub const TARGET: Target = Target {
    name: "policy",
    run,
    seeds: &["testdata/fuzz/policy", "testdata/policies", "policies"],
    words: &[
        b"[[rule]]\n",
        b"[[test]]\n",
        b"[lists]\n",
        b"name = 'a'\n",
        b"at = 'data'\n",
        b"at = 'rcpt'\n",
        b"when = \"",
        b"action = 'reject'\n",
        b"action = 'quarantine'\n",
        b"reply = '550 5.7.1 {from.domain}'\n",
        b"score = 1.5\n",
        b"observe = true\n",
        b"given = { }\n",
        b"expect = { action = 'accept' }\n",
        b"dmarc.result == 'fail'",
        b"client.name",
        b"from.domain",
        b"spf.mail_from.result",
        b" in lists.a",
        b" && ",
        b" || ",
        b"!",
        b"matches('",
        b".startsWith(",
        b".exists(d, d.result == 'pass')",
        b"dkim",
        b"size(",
        b"header['subject']",
        b"score",
        b" ? 1 : 2",
        b"{ file = 'names.txt' }",
        b"rate.",
        b"'''",
        b"\"\"\"",
    ],
    longest: 3000,
    briefly: 500,
};

fn run(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text).into_owned();
    let source = Arc::new(Source { name: "policy.toml".to_owned(), text });
    let mut read = |name: &str| match name {
        "names.txt" => Ok("mx.example.net\n# a comment\n192.0.2.0/24\n".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    match Policy::parse(source, &mut read) {
        Err(problems) => check_problems(&problems),
        Ok(policy) => judge(&policy),
    }
}

fn judge(policy: &Policy) -> u64 {
    _ = policy.run_tests();
    judge_by(policy, &Facts::default()) ^ judge_by(policy, &forged()).rotate_left(1)
}

/// What is known of a message that claims somebody else's domain.
fn forged() -> Facts {
    let mut facts = Facts::default();
    facts.client.name = "mx.example.net".to_owned();
    facts.client.early_talker = true;
    facts.helo = "{from.domain}\r\n250 ok".to_owned();
    facts.mail_from.domain = "sender.example".to_owned();
    facts.from.domain = "bank.example".to_owned();
    facts.from.defects = vec!["several-fields".to_owned()];
    (facts.dmarc.result, facts.dmarc.policy) = (DmarcResult::Fail, DmarcPolicy::Reject);
    facts.spf.mail_from.result = MethodResult::Pass;
    let signature = |result| Dkim { result, domain: "sender.example".to_owned(), ..Dkim::default() };
    facts.dkim = vec![signature(MethodResult::Pass), signature(MethodResult::Fail)];
    facts.message.bytes = 1 << 40;
    facts.message.message_id = "<\u{e9}\0\"@sender.example>".to_owned();
    facts.score = 5.0;
    facts
}

fn judge_by(policy: &Policy, facts: &Facts) -> u64 {
    let mut so_far = Judgement::default();
    let mut actions = Vec::new();
    for stage in [Stage::Connect, Stage::Mail, Stage::Rcpt, Stage::Data] {
        let mut again = so_far.clone();
        let verdict = policy.judge(stage, facts, &mut so_far);
        assert_eq!(
            (policy.judge(stage, facts, &mut again), &again.rules),
            (verdict.clone(), &so_far.rules),
            "judging is pure"
        );
        assert!(
            verdict.rule().is_empty()
                || policy.rules().iter().any(|rule| rule.name() == verdict.rule() && rule.at() == stage)
        );
        check_verdict(&verdict);
        actions.push(verdict.action());
    }
    outcome(&(policy.rules().len(), actions, so_far.rules.iter().map(|rule| rule.outcome).collect::<Vec<_>>()))
}

/// A refusal says so in a reply of its class.
fn check_verdict(verdict: &Verdict) {
    let class = match verdict.action() {
        Action::Defer => 4,
        Action::Reject => 5,
        _ => return assert_eq!(verdict.reply(), None),
    };
    let reply = Reply::parse(verdict.reply().expect("a refusal has a reply")).unwrap();
    assert_eq!(reply.code() / 100, class);
    check_reply(&reply);
}
