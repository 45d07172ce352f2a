//! What is fuzzed: a file a target. A target takes any octets, holds what comes of them to properties and to a second, simpler
//! reading, and panics where they do not hold. `make test` runs all of them briefly, `make fuzz` for hours (docs/fuzz.md).

mod address;
mod chunk;
mod command;
mod config;
mod data;
mod header;
mod mailbox;
pub mod mutator;
mod policy;
mod proxy;
mod results;
pub mod session;

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use gatepost::problem::Problems;
use gatepost::smtp::reply::{LINE_MAX, Reply};

use mutator::Random;

/// Something to be fuzzed.
pub struct Target {
    /// What `make fuzz TARGET=` calls it.
    pub name: &'static str,
    /// Panics where a property does not hold. What it gives tells inputs apart that led elsewhere: where nothing measures coverage,
    /// those are kept and changed further.
    pub run: fn(&[u8]) -> u64,
    /// Folders and files of inputs to begin with, from the root of the project.
    pub seeds: &'static [&'static str],
    /// What its inputs are made of, beside [`mutator::WORDS`].
    pub words: &'static [&'static [u8]],
    /// The longest input, in octets.
    pub longest: usize,
    /// How many inputs `make test` tries.
    pub briefly: usize,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    command::TARGET,
    address::TARGET,
    data::TARGET,
    chunk::TARGET,
    header::TARGET,
    results::TARGET,
    policy::TARGET,
    config::TARGET,
    mailbox::TARGET,
    proxy::TARGET,
    session::TARGET,
];

/// The root of the project: of the tests' package, or above that of `fuzz/`.
pub fn project() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = if env!("CARGO_PKG_NAME") == "gatepost" { Some(package) } else { package.parent() };
    root.unwrap().to_owned()
}

/// Tells outcomes apart.
fn outcome(of: &impl Debug) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{of:?}").hash(&mut hasher);
    hasher.finish()
}

/// An input's first octets, which say how the rest is treated; the character `0` where there are fewer.
fn options<const N: usize>(input: &[u8]) -> ([u8; N], &[u8]) {
    let mut options = [b'0'; N];
    let (head, rest) = input.split_at(N.min(input.len()));
    options[..head.len()].copy_from_slice(head);
    (options, rest)
}

/// `input` in pieces of random lengths.
fn pieces(input: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut random = Random::new(u64::from(seed));
    let longest = 1 + random.below(40);
    let (mut pieces, mut rest) = (Vec::new(), input);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + random.below(longest)).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// A reply goes over the wire as one reply (RFC 5321 §4.2.1), whatever it quotes.
fn check_reply(reply: &Reply) {
    let mut wire = Vec::new();
    reply.write_to(&mut wire);
    let text = String::from_utf8(wire).unwrap();
    let lines: Vec<&str> = text.strip_suffix("\r\n").expect("a reply ends in CRLF").split("\r\n").collect();
    for (number, line) in lines.iter().enumerate() {
        let separator = if number + 1 == lines.len() { b' ' } else { b'-' };
        assert!(line.len() + 2 <= LINE_MAX && line.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{line:?}");
        assert!(line.starts_with(&reply.code().to_string()) && line.as_bytes()[3] == separator, "{line:?}");
    }
}

/// What is told of a bad file: there is something, its places exist, and nothing in it moves a terminal's cursor.
fn check_problems(problems: &Problems) -> u64 {
    assert!(!problems.is_empty());
    for problem in problems.iter() {
        assert!(!problem.cause.is_empty());
        if let (Some(source), Some((line, _))) = (&problem.source, problem.line_column()) {
            assert!(line <= source.text.matches('\n').count() + 1);
        }
    }
    let text = problems.render(false);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(!problems.render(true).is_empty() && !problems.headlines(20).is_empty());
    outcome(&problems.iter().map(|problem| problem.cause.split('"').next().unwrap_or_default()).collect::<Vec<_>>())
}
