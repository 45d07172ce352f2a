//! From what a client names to a directory: a forward-path leads to mailboxes that were configured, and these to one directory each,
//! right below their domain's.

use std::path::{Component, Path};

use gatepost::recipients::{Directory, DirectoryBuilder, Resolution, fold, is_safe_component};
use gatepost::smtp::address::{Domain, ForwardPath};

use super::{Target, outcome};

pub const TARGET: Target = Target {
    name: "mailbox",
    run,
    seeds: &["testdata/fuzz/mailbox"],
    words: &[
        b"../",
        b"..",
        b"/etc/passwd",
        b"alice",
        b"bob+detail",
        b"<alice@example.com>",
        b"<\"../bob\"@example.com>",
        b"<postmaster>",
        b"\"a b\"",
        b"\\/",
        b"\xc3\x9f",
        b"\xe1\xba\x9e",
        b"\xc4\xb0",
        b"\xc4\xb1",
        b"\xcf\x82",
        b"e\xcc\x81",
        b"\xe2\x80\xa8",
        b".Junk",
    ],
    longest: 400,
    briefly: 4000,
};

/// The first line has names of mailboxes, set off by commas; each of the others is a forward-path.
fn run(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').take(20).collect();
    names.iter().for_each(|name| check_name(name));
    let home = Domain::parse("example.com").unwrap();
    let good: Vec<&str> = names.into_iter().filter(|name| build(&home, &[name]).is_some()).collect();
    let Some(directory) = build(&home, &good) else { return outcome(&"names that meet") };
    for mailbox in directory.mailboxes() {
        check_path(mailbox.domain.as_str(), &mailbox.name);
    }
    let resolved: Vec<_> =
        lines.take(20).filter_map(|line| Some(resolve(&directory, &home, &good, line)?.min(4))).collect();
    outcome(&(good.len(), resolved))
}

fn build(home: &Domain, names: &[&str]) -> Option<Directory> {
    let mut builder = DirectoryBuilder::new();
    builder.add_domain(home.clone());
    for name in names {
        builder.add_mailbox(home.clone(), *name);
    }
    builder.build().ok()
}

fn check_name(name: &str) {
    assert_eq!(fold(&fold(name)), fold(name), "what is folded stays as it is: {name:?}");
    let is_one = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
    assert!(!is_safe_component(name, 64) || is_one, "{name:?}");
}

fn check_path(domain: &str, name: &str) {
    let root = Path::new("/var/vmail");
    let path = root.join(domain).join(name);
    let below: Vec<_> = path.strip_prefix(root).unwrap().components().collect();
    assert_eq!(below, [Component::Normal(domain.as_ref()), Component::Normal(name.as_ref())]);
    assert!(name.len() <= 64 && !name.starts_with('.') && !name.chars().any(char::is_control));
}

/// How many mailboxes a path leads to; `None` where it is none.
fn resolve(directory: &Directory, home: &Domain, names: &[&str], line: &str) -> Option<usize> {
    let path = ForwardPath::parse(line.trim_end_matches('\r'), true).ok()?;
    match directory.resolve(&path) {
        Resolution::Local(local) => {
            assert_eq!(local.domain, *home);
            let local_part = &path.mailbox()?.local;
            let base = local_part.split('+').next().filter(|base| !base.is_empty()).unwrap_or(local_part);
            let is_named = |name: &str| names.iter().any(|known| fold(known) == name);
            for mailbox in &local.mailboxes {
                assert!(
                    is_named(&mailbox.name) && [fold(local_part), fold(base)].contains(&mailbox.name),
                    "{line:?} leads to {mailbox}"
                );
            }
            Some(local.mailboxes.len())
        }
        Resolution::Unknown | Resolution::Relay => Some(0),
        Resolution::Trouble => panic!("there is no list that could not be read"),
    }
}
