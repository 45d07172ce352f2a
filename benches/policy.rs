//! What deciding costs: fifty rules on one message, and a list of a million names.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use gatepost::facts::word::Stage;
use gatepost::facts::{Dkim, DmarcPolicy, DmarcResult, Facts, IprevResult, MethodResult};
use gatepost::policy::{Judgement, List, Policy, shipped};
use gatepost::problem::Source;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Conditions of all kinds, as people write them; none holds for the message, so that every rule is looked at.
const CONDITIONS: &[&str] = &[
    "dmarc.result == 'fail' && dmarc.policy == 'reject' && !dkim.exists(d, d.result == 'pass')",
    "iprev.result in ['fail', 'permerror'] && spf.mail_from.result != 'pass'",
    "client.name in lists.forwarders && dmarc.result == 'fail'",
    "client.ip in lists.networks || ip_in(client.ip, '203.0.113.0/24')",
    "helo.matches('^[0-9]+[.-][0-9]+[.-][0-9]+') && helo_check.result != 'pass'",
    "domain_under(client.name, 'dynamic.example') || domain_under(mail_from.domain, 'bulk.example')",
    "size(from.defects) > 0 && !(mail_from.address == '' && from.defects.all(x, x == 'no-address'))",
    "forwarded_by(lists.forwarders) && arc.result == 'fail'",
    "from.domain.endsWith('.bank.example') && !dmarc.aligned",
    "message.bytes > 20000000 && tls.version == ''",
];

fn fifty() -> Policy {
    let mut text = String::from(
        "[lists]\nforwarders = ['mx.example.net', '.lists.example.org']\nnetworks = ['198.51.100.0/24', '2001:db8::/32']\n",
    );
    for (rule, condition) in CONDITIONS.iter().cycle().take(50).enumerate() {
        // each is a condition of its own: nothing is shared between rules
        let own = format!("{condition} && message.bytes != {rule}");
        writeln!(text, "[[rule]]\nname = 'rule-{rule}'\nat = 'data'\nscore = 1\nwhen = \"{own}\"").unwrap();
    }
    load("fifty.toml", &text)
}

fn load(name: &str, text: &str) -> Policy {
    let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
    Policy::load(source, &mut |_| Err("no files here".to_owned())).map_err(|problems| problems.to_string()).unwrap()
}

/// An honest message with two signatures.
fn facts() -> Facts {
    let mut facts = Facts::new(IpAddr::from([192, 0, 2, 1]), 4711, false);
    facts.client.name = "mail.sender.example".into();
    facts.iprev.result = IprevResult::Pass;
    facts.helo = "mail.sender.example".into();
    facts.mail_from.address = "carol@sender.example".into();
    facts.mail_from.domain = "sender.example".into();
    facts.from.addresses = vec!["carol@sender.example".into()];
    facts.from.domain = "sender.example".into();
    facts.spf.mail_from.result = MethodResult::Pass;
    let signature = |domain: &str| Dkim { result: MethodResult::Pass, domain: domain.into(), ..Dkim::default() };
    facts.dkim = vec![signature("sender.example"), signature("mailer.example")];
    (facts.dmarc.result, facts.dmarc.policy, facts.dmarc.aligned) = (DmarcResult::Pass, DmarcPolicy::Reject, true);
    facts.message.bytes = 10_000;
    facts
}

fn main() {
    divan::main();
}

/// The goal: 50 µs.
#[divan::bench]
fn fifty_rules(bencher: Bencher<'_, '_>) {
    let (policy, facts) = (fifty(), facts());
    let mut judgement = Judgement::default();
    policy.judge(Stage::Data, &facts, &mut judgement);
    assert_eq!((judgement.rules.len(), judgement.score), (50, 0.0), "every rule is looked at, and none matches");
    bencher.bench(|| policy.judge(Stage::Data, &facts, &mut Judgement::default()));
}

#[divan::bench]
fn the_default_policy(bencher: Bencher<'_, '_>) {
    let (policy, facts) = (load("default.toml", shipped::DEFAULT), facts());
    bencher.bench(|| {
        let mut judgement = Judgement::default();
        for stage in Stage::ALL {
            black_box(policy.judge(*stage, &facts, &mut judgement));
        }
        judgement
    });
}

static MILLION: LazyLock<List> = LazyLock::new(|| {
    let mut list = List::default();
    (0..1_000_000).for_each(|n| list.add(&format!("host{n}.example{}.net", n % 1000)).unwrap());
    list.shrink();
    list
});

#[divan::bench(sample_count = 3, sample_size = 1)]
fn adding_a_million_names() -> List {
    let mut list = List::default();
    (0..1_000_000).for_each(|n| list.add(&format!("host{n}.example{}.net", n % 1000)).unwrap());
    list
}

#[divan::bench]
fn a_name_among_a_million(bencher: Bencher<'_, '_>) {
    let list = &*MILLION;
    let mut n = 0u32;
    bencher.bench_local(|| {
        n = (n + 7919) % 2_000_000;
        list.contains(&format!("host{n}.example{}.net", n % 1000))
    });
}
