//! Real programs that tests speak with: where they are, and what happens where they are not.
//!
//! `make packages` unpacks what the machine lacks into target/debian/. Without a program its tests say so and pass; with CI=true
//! they fail, so that nothing is left out unseen.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where `make packages` unpacks to.
fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian")
}

/// Where `name` is: what the variable GATEPOST_NAME says (smtp-source: GATEPOST_SMTP_SOURCE), on the PATH, or unpacked.
pub fn program(name: &str) -> Option<PathBuf> {
    let variable = format!("GATEPOST_{}", name.to_uppercase().replace('-', "_"));
    if let Some(path) = std::env::var_os(&variable) {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let unpacked = unpacked();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for tree in [Path::new("/"), &unpacked] {
        directories
            .extend(["usr/bin", "usr/sbin", "usr/lib/dovecot", "usr/lib/postfix/sbin"].map(|below| tree.join(below)));
    }
    directories.into_iter().map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// A command of the program; `None` (said on the terminal; with CI=true a failure) where it isn't there.
pub fn command(name: &str) -> Option<Command> {
    let Some(path) = program(name) else {
        left_out(&format!("{name} is not on this machine (make packages gets it)"));
        return None;
    };
    let mut command = Command::new(&path);
    for (name, value) in environment(&path) {
        command.env(name, value);
    }
    Some(command)
}

/// Says that something is not tested.
///
/// # Panics
/// With CI=true.
pub fn left_out(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "with CI=true nothing may be left out: {why}");
    println!("left out: {why}");
}

/// What an unpacked program needs to find its libraries and modules.
fn environment(program: &Path) -> Vec<(&'static str, String)> {
    let root = unpacked();
    let mut found = Vec::new();
    let existing = |patterns: &[&str]| {
        let directories = patterns.iter().flat_map(|pattern| spread(&root, pattern));
        directories.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
    };
    if program.starts_with(&root) {
        let libraries = [
            "usr/lib/*-linux-gnu*",
            "lib/*-linux-gnu*",
            "usr/lib/*-linux-gnu*/systemd",
            "usr/lib/postfix",
            "usr/lib/dovecot",
        ];
        found.push(("LD_LIBRARY_PATH", existing(&libraries)));
    }
    let modules = existing(&["usr/share/perl5", "usr/share/perl/*", "usr/lib/*/perl5/*", "usr/lib/*/perl/*"]);
    if program.ends_with("swaks") && !modules.is_empty() {
        found.push(("PERL5LIB", modules));
    }
    found
}

/// The directories below `root` that a path with `*` in its parts means.
fn spread(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    for part in pattern.split('/') {
        found = found.iter().flat_map(|directory| below(directory, part)).collect();
    }
    found
}

fn below(directory: &Path, part: &str) -> Vec<PathBuf> {
    let pieces: Vec<&str> = part.split('*').collect();
    let fits = |name: &str| match pieces.as_slice() {
        [whole] => name == *whole,
        [first, .., last] => {
            let middle = pieces.get(1).filter(|_| pieces.len() > 2).copied().unwrap_or_default();
            name.starts_with(first) && name.ends_with(last) && name.contains(middle)
        }
        [] => false,
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let fitting = entries.filter(|entry| entry.file_name().to_str().is_some_and(fits) && entry.path().is_dir());
    let mut found: Vec<PathBuf> = fitting.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Runs to the end and gives what it said.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs to the end, which must be a success, and gives its standard output.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
