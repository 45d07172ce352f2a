//! Policies.
use gatepost::policy::{Policy, shipped};
use gatepost::problem::Source;
use std::sync::Arc;
fn no_files(_: &str) -> Result<String, String> {
    Err("no such file".to_owned())
}
fn one(w: &str) -> (bool, std::time::Duration) {
    let text = format!("[[rule]]\nname='x'\nat='data'\nscore=1\nwhen = '''\n{w}'''");
    let t = std::time::Instant::now();
    let got = Policy::load(Arc::new(Source { name: "p.toml".into(), text }), &mut no_files);
    if let Err(p) = &got {
        println!("{}", &p.render(false).chars().take(300).collect::<String>());
    }
    if let Ok(p) = &got {
        let f = gatepost::facts::Facts::default();
        let r = p.judge(gatepost::facts::Stage::Data, &f, &mut Default::default());
        println!("{r:?}");
    }
    (got.is_ok(), t.elapsed())
}
#[test]
fn scratch() {
    std::thread::Builder::new()
        .stack_size(512 << 10)
        .spawn(|| {
            for (n, w) in [
                ("parens", format!("{}true{}", "(".repeat(46), ")".repeat(46))),
                ("parens2", format!("{}true{}", "(".repeat(47), ")".repeat(47))),
                ("unbalanced", "(".repeat(46)),
                ("nots", format!("{}true", "!".repeat(46))),
                ("plus", format!("1{} > 1", "+1".repeat(45))),
                ("and", format!("true{}", " && true".repeat(480))),
                ("or", format!("true{}", " || helo == 'x'".repeat(260))),
                ("minus", format!("{}1 == 1", "-".repeat(40))),
                ("dots", format!("a{} == 'x'", ".a".repeat(44))),
                ("ternary", format!("{}true{}", "true ? ".repeat(40), " : true".repeat(40))),
                ("ternary2", format!("true{}", " ? true : true".repeat(40))),
                ("lists", format!("helo in {}{}", "[".repeat(40), "]".repeat(40))),
                ("brackets", "[{(".repeat(15)),
                ("calls", format!("{}helo{} == 1", "size(".repeat(44), ")".repeat(44))),
                ("exists", format!("{}true{}", "dkim.exists(d, ".repeat(15), ")".repeat(15))),
                ("exists3", format!("{}true{}", "dkim.exists(d, ".repeat(25), ")".repeat(25))),
                ("garbage", "(a?b:(c[d.e(".repeat(8)),
                ("inlist", format!("helo in [{}]", "'a',".repeat(1000).trim_end_matches(','))),
                ("mixed", format!("{}true{}", "(!".repeat(23), ")".repeat(23))),
            ] {
                let (ok, t) = one(&w);
                println!("== {n} {ok} {t:?}");
            }
        })
        .unwrap()
        .join()
        .unwrap();
    for deep in [1000, 10_000, 100_000] {
        let text = format!("{} = 1", vec!["a"; deep].join("."));
        let t = std::time::Instant::now();
        let got = Policy::load(Arc::new(Source { name: "p.toml".into(), text }), &mut no_files);
        println!("{deep} {} {:?}", got.is_ok(), t.elapsed());
    }
}
