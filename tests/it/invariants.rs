//! The house rules that a reader can see in the sources: who may import whom, who may do what, and how long a file is.
//!
//! Each rule is a function from a file's name and text to offences. It is held to all of src/, and to small offending texts that
//! show that it can fail.

use crate::support::source::{NamedPath, code_of, files, paths};

/// Who may import whom. A room that is not here is an offence: say first where it stands.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("problem", &[]),
    ("smtp", &[]),
    ("message", &["smtp"]),
    ("facts", &["smtp", "message"]),
    ("recipients", &["smtp"]),
    ("policy", &["facts", "problem"]),
    ("authenticate", &["facts", "message", "smtp"]),
    ("scan", &["facts", "message", "smtp"]),
    ("state", &["facts", "message", "smtp"]),
    ("deliver", &["facts", "message", "smtp", "recipients"]),
    ("config", &["problem", "smtp", "policy", "recipients"]),
    ("observe", &["facts", "problem"]),
    (
        "receive",
        &["authenticate", "scan", "state", "policy", "deliver", "recipients", "facts", "message", "smtp", "observe"],
    ),
    // problem: what is wrong with a certificate is told as what is wrong with the file that names it
    ("server", &["smtp", "message", "receive", "deliver", "observe", "config", "problem"]),
    ("cli", ANYTHING),
    ("demo", ANYTHING),
    ("lib", ANYTHING),
    ("main", ANYTHING),
];
const ANYTHING: &[&str] = &["*"];

/// Nobody but the entrance may name these.
const IMPORTED_BY_NOBODY: &[&str] = &["cli", "demo"];

/// Where a thread or a runtime may be started: only by functions that `server::start` calls after the drop of privileges, and by
/// the commands that have no privileges to drop.
const MAY_START_THREADS: &[&str] =
    &["cli/", "deliver/writers.rs", "demo/", "observe/journal/", "observe/log/", "server/", "state/keeper.rs"];

/// Where files may be made: mail in deliver/, the journal's days in observe/journal/, a demo's own directory in demo/, what is
/// remembered in state/disk.rs, and by server/privileges.rs the directories and the socket that could not be made after the drop of
/// privileges.
const MAY_WRITE_FILES: &[&str] = &["deliver/", "demo/", "observe/journal/", "server/privileges.rs", "state/disk.rs"];

const LONGEST_FILE_LINES: usize = 600;

type Rule = fn(&str, &str) -> Vec<String>;

fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or(file)
}

fn is_in(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| file.starts_with(place))
}

/// Whether `path` is `prefix` or lies below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn offences(file: &str, text: &str, why: impl Fn(&NamedPath) -> Option<String>) -> Vec<String> {
    paths(file, text).iter().filter_map(|named| Some(format!("{file}:{}: {}", named.line, why(named)?))).collect()
}

/// `use` lines and inline paths against [`MAY_IMPORT`].
fn imports(file: &str, text: &str) -> Vec<String> {
    let own = room(file);
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(room, _)| *room == own) else {
        return vec![format!("{file}: the room {own} has no line in MAY_IMPORT")];
    };
    offences(file, text, |named| {
        let other = named.path.strip_prefix("crate::").or_else(|| named.path.strip_prefix("gatepost::"))?;
        let other = other.split("::").next()?;
        let is_room = MAY_IMPORT.iter().any(|(room, _)| *room == other);
        let entrance = matches!(own, "lib" | "main");
        if !is_room || other == own || entrance {
            return None;
        }
        let fine = !IMPORTED_BY_NOBODY.contains(&other) || own == "cli";
        let fine = fine && (*allowed == ANYTHING || allowed.contains(&other));
        (!fine).then(|| format!("{own} may not import {other}"))
    })
}

fn mail_auth_only_in_authenticate(file: &str, text: &str) -> Vec<String> {
    offences(file, text, |named| {
        let foreign = is_below(&named.path, "mail_auth") && room(file) != "authenticate";
        foreign.then(|| "only authenticate/ names mail_auth".to_owned())
    })
}

fn hickory_only_where_dns_is(file: &str, text: &str) -> Vec<String> {
    offences(file, text, |named| {
        let foreign = named.path.starts_with("hickory_") && !matches!(room(file), "authenticate" | "demo");
        foreign.then(|| "only authenticate/ and demo/ name hickory".to_owned())
    })
}

/// The crate is named by its paths: a word `maildir` alone is a field of the configuration.
fn mail_written_only_by_deliver(file: &str, text: &str) -> Vec<String> {
    offences(file, text, |named| {
        let crate_named = named.path.starts_with("maildir::") && room(file) != "deliver";
        crate_named.then(|| "only deliver/ writes mail".to_owned())
    })
}

fn files_made_only_where_files_are(file: &str, text: &str) -> Vec<String> {
    const MAKES: &[&str] = &[
        "OpenOptions",
        "File::create",
        "File::create_new",
        "DirBuilder",
        "fs::write",
        "fs::rename",
        "fs::copy",
        "fs::hard_link",
        "fs::create_dir",
        "fs::create_dir_all",
        "fs::remove_file",
    ];
    offences(file, text, |named| {
        let makes = MAKES.iter().any(|call| named.path == *call || named.path.ends_with(&format!("::{call}")));
        (makes && !is_in(file, MAY_WRITE_FILES)).then(|| format!("{} makes or removes files here", named.path))
    })
}

fn threads_start_only_in_start(file: &str, text: &str) -> Vec<String> {
    const STARTS: &[&str] = &["thread::spawn", "thread::Builder", "thread::scope", "runtime::Builder", "Runtime::new"];
    let mut found = offences(file, text, |named| {
        let starts = STARTS.iter().any(|call| {
            named.path == *call
                || named.path.ends_with(&format!("::{call}"))
                || named.path.contains(&format!("::{call}::"))
                || named.path.starts_with(&format!("{call}::"))
        });
        (starts && !is_in(file, MAY_START_THREADS)).then(|| format!("{} starts a thread here", named.path))
    });
    // an attribute starts a runtime before anything of ours has run
    found.extend(offences(file, text, |named| {
        (named.path == "tokio::main").then(|| "no #[tokio::main]: privileges go before the first thread".to_owned())
    }));
    found
}

fn pure_rooms_do_no_io(file: &str, text: &str) -> Vec<String> {
    const IMPURE: &[&str] = &[
        "tokio",
        "std::fs",
        "std::io::stdin",
        "std::env",
        "std::process",
        "std::thread",
        "std::net::TcpStream",
        "std::net::TcpListener",
        "std::net::UdpSocket",
        "std::os",
        "std::time::Instant",
        "std::time::SystemTime",
        "jiff::Timestamp::now",
        "jiff::Zoned::now",
        "getrandom",
        "socket2",
        "nix",
    ];
    if !matches!(room(file), "smtp" | "policy") {
        return Vec::new();
    }
    offences(file, text, |named| {
        let impure = IMPURE.iter().any(|prefix| is_below(&named.path, prefix));
        impure.then(|| format!("{} has no {}: it is pure", room(file), named.path))
    })
}

/// `Stored` is the proof that a message is durable: its fields are private and only deliver/ has a constructor of it.
fn stored_made_only_by_deliver(file: &str, text: &str) -> Vec<String> {
    if room(file) == "deliver" {
        let code = code_of(text);
        let declared = code.lines().position(|line| line.trim_start().starts_with("pub struct Stored"));
        let Some(start) = declared else { return Vec::new() };
        let body = code.lines().skip(start + 1).take_while(|line| !line.starts_with('}'));
        let open = body.filter(|line| line.trim_start().starts_with("pub")).count();
        return if open > 0 { vec![format!("{file}: a field of Stored is public")] } else { Vec::new() };
    }
    Vec::new()
}

/// The 250 after DATA: worded by `Acknowledged` alone, which is made of a `Stored`, a journalled discard, or a rehearsal.
fn acknowledged_only_by_what_is_kept(file: &str, text: &str) -> Vec<String> {
    let mut found = offences(file, text, |named| {
        let words = named.path.ends_with("reply::accepted") || named.path.ends_with("catalogue::accepted");
        let elsewhere = words && !matches!(file, "receive/carry_out.rs" | "smtp/reply.rs" | "smtp/reply/catalogue.rs");
        elsewhere.then(|| "only Acknowledged says that a message is accepted".to_owned())
    });
    found.extend(offences(file, text, |named| {
        let makes = named.path.contains("Acknowledged::") && room(file) != "receive";
        makes.then(|| "only receive/ acknowledges".to_owned())
    }));
    found
}

/// Evidence has no verdict in it: authenticate/ knows neither actions nor rules.
fn evidence_is_no_verdict(file: &str, text: &str) -> Vec<String> {
    const VERDICTS: &[&str] = &["Action", "DecisionRecord", "RuleRecord"];
    offences(file, text, |named| {
        let last = named.path.rsplit("::").next().unwrap_or_default();
        let judges = room(file) == "authenticate" && VERDICTS.contains(&last);
        judges.then(|| format!("authenticate/ names {last}: it gathers evidence, rules decide"))
    })
}

fn begins_with_a_doc(file: &str, text: &str) -> Vec<String> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if first.starts_with("//!") && first.len() > 8 {
        Vec::new()
    } else {
        vec![format!("{file}: does not begin with //!")]
    }
}

fn not_too_long(file: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if lines > LONGEST_FILE_LINES { vec![format!("{file}: {lines} lines")] } else { Vec::new() }
}

/// No file of ours opens what Cargo.toml forbids for all.
fn no_lint_is_allowed(file: &str, text: &str) -> Vec<String> {
    const HELD: &[&str] =
        &["unwrap_used", "expect_used", "panic", "indexing_slicing", "todo", "unimplemented", "unsafe_code"];
    let code = code_of(text);
    let attributes = code.lines().enumerate().filter(|(_, line)| line.contains("allow("));
    let opened = attributes.filter(|(_, line)| HELD.iter().any(|lint| line.contains(lint)));
    opened.map(|(number, _)| format!("{file}:{}: opens a lint that holds everywhere", number + 1)).collect()
}

fn hold(rule: Rule) {
    let found: Vec<String> = files().iter().flat_map(|file| rule(&file.name, &file.text)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[track_caller]
fn refuses(rule: Rule, file: &str, text: &str) {
    assert!(!rule(file, text).is_empty(), "not seen in {file}: {text}");
}

#[track_caller]
fn allows(rule: Rule, file: &str, text: &str) {
    assert_eq!(rule(file, text), Vec::<String>::new(), "{text}");
}

#[test]
fn rooms_import_only_whom_they_may() {
    hold(imports);
    refuses(imports, "smtp/session.rs", "use crate::policy::Policy;");
    refuses(imports, "smtp/session.rs", "fn f() { crate::observe::log::say() }");
    refuses(imports, "message/author.rs", "use crate::{smtp::address::Domain, facts::{From, To}};");
    refuses(imports, "message/author.rs", "use super::super::facts::From;");
    refuses(imports, "policy/mod.rs", "use super::config;");
    refuses(imports, "server/mod.rs", "use crate::demo::zone;");
    refuses(imports, "demo/mod.rs", "use crate::cli::serve;");
    refuses(imports, "cellar/mod.rs", "//! A room that nobody has drawn.");
    allows(
        imports,
        "message/author.rs",
        "use crate::smtp::address::Domain; use super::header::Header; // crate::policy",
    );
    allows(imports, "policy/mod.rs", "use super::facts; const S: &str = \"crate::server\"; use super::problem;");
    allows(imports, "cli/demo.rs", "use crate::demo::run; use crate::server::start;");
}

#[test]
fn only_authenticate_names_mail_auth() {
    hold(mail_auth_only_in_authenticate);
    refuses(mail_auth_only_in_authenticate, "receive.rs", "use mail_auth::DkimResult;");
    refuses(mail_auth_only_in_authenticate, "demo/mod.rs", "fn f(r: ::mail_auth::SpfResult) {}");
    allows(mail_auth_only_in_authenticate, "authenticate/spf.rs", "use mail_auth::SpfResult;");
}

#[test]
fn only_authenticate_and_demo_name_hickory() {
    hold(hickory_only_where_dns_is);
    refuses(hickory_only_where_dns_is, "server/mod.rs", "let r = hickory_resolver::Resolver::new();");
    refuses(hickory_only_where_dns_is, "cli/serve.rs", "use {hickory_server::Server, std::io};");
    allows(hickory_only_where_dns_is, "demo/dns.rs", "use hickory_server::Server;");
}

#[test]
fn only_deliver_writes_mail() {
    hold(mail_written_only_by_deliver);
    hold(files_made_only_where_files_are);
    hold(stored_made_only_by_deliver);
    refuses(mail_written_only_by_deliver, "receive.rs", "use ::maildir::Maildir;");
    allows(mail_written_only_by_deliver, "config/mod.rs", "let root = self.maildir.root;");
    refuses(files_made_only_where_files_are, "receive.rs", "std::fs::write(path, message)?;");
    refuses(files_made_only_where_files_are, "server/mod.rs", "use std::fs::{File, OpenOptions};");
    refuses(files_made_only_where_files_are, "smtp/data.rs", "let f = File::create(path);");
    allows(files_made_only_where_files_are, "config/mod.rs", "let text = std::fs::read_to_string(path)?;");
    refuses(stored_made_only_by_deliver, "deliver/mod.rs", "pub struct Stored {\n    pub files: Vec<u8>,\n}");
    allows(stored_made_only_by_deliver, "deliver/mod.rs", "pub struct Stored {\n    files: Vec<u8>,\n}\npub fn f() {}");
}

#[test]
fn only_what_is_kept_is_acknowledged() {
    hold(acknowledged_only_by_what_is_kept);
    refuses(acknowledged_only_by_what_is_kept, "receive/ending.rs", "fn f() -> Reply { reply::accepted(\"x\") }");
    refuses(acknowledged_only_by_what_is_kept, "server/connection.rs", "use crate::smtp::reply::accepted;");
    refuses(acknowledged_only_by_what_is_kept, "server/connection.rs", "let a = Acknowledged::Discarded;");
    allows(acknowledged_only_by_what_is_kept, "receive/carry_out.rs", "fn f() -> Reply { reply::accepted(\"x\") }");
}

#[test]
fn authentication_yields_evidence_never_a_verdict() {
    hold(evidence_is_no_verdict);
    refuses(evidence_is_no_verdict, "authenticate/dmarc.rs", "use crate::facts::word::Action;");
    refuses(evidence_is_no_verdict, "authenticate/dmarc.rs", "use crate::facts::{Dmarc, record::DecisionRecord};");
    allows(evidence_is_no_verdict, "authenticate/dmarc.rs", "use crate::facts::{Dmarc, DmarcPolicy};");
    allows(evidence_is_no_verdict, "policy/decide.rs", "use crate::facts::word::Action;");
}

#[test]
fn threads_start_only_after_the_drop_of_privileges() {
    hold(threads_start_only_in_start);
    refuses(threads_start_only_in_start, "receive.rs", "std::thread::spawn(|| ());");
    refuses(threads_start_only_in_start, "observe/http.rs", "use std::thread; fn f() { thread::Builder::new(); }");
    refuses(threads_start_only_in_start, "config/mod.rs", "tokio::runtime::Builder::new_multi_thread();");
    refuses(threads_start_only_in_start, "server/mod.rs", "#[tokio::main]\nasync fn start() {}");
    allows(threads_start_only_in_start, "server/start.rs", "tokio::runtime::Builder::new_multi_thread();");
}

#[test]
fn smtp_and_policy_are_pure() {
    hold(pure_rooms_do_no_io);
    refuses(pure_rooms_do_no_io, "smtp/session.rs", "use std::{fmt, time::{Duration, Instant}};");
    refuses(pure_rooms_do_no_io, "policy/mod.rs", "let text = std::fs::read_to_string(path);");
    refuses(pure_rooms_do_no_io, "smtp/mod.rs", "async fn f() { tokio::time::sleep(d).await }");
    refuses(pure_rooms_do_no_io, "policy/rule.rs", "use jiff::{Timestamp}; fn f() { jiff::Timestamp::now() }");
    allows(pure_rooms_do_no_io, "smtp/session.rs", "use std::net::IpAddr; use std::time::Duration;");
    allows(pure_rooms_do_no_io, "server/mod.rs", "use std::time::Instant;");
}

#[test]
fn every_file_begins_with_what_it_is_and_stays_short() {
    hold(begins_with_a_doc);
    hold(not_too_long);
    refuses(begins_with_a_doc, "smtp/data.rs", "use std::fmt;\n//! Too late.");
    refuses(begins_with_a_doc, "smtp/data.rs", "");
    refuses(not_too_long, "smtp/data.rs", &"\n".repeat(LONGEST_FILE_LINES + 1));
    allows(not_too_long, "smtp/data.rs", &"\n".repeat(LONGEST_FILE_LINES));
}

#[test]
fn no_file_opens_a_lint_that_holds_everywhere() {
    hold(no_lint_is_allowed);
    refuses(no_lint_is_allowed, "smtp/data.rs", "#[allow(clippy::unwrap_used)]\nfn f() {}");
    refuses(no_lint_is_allowed, "lib.rs", "#![allow(missing_docs, unsafe_code)]");
    allows(no_lint_is_allowed, "smtp/data.rs", "#[allow(clippy::too_many_lines)]\nfn f() {}");
}

/// A panic in a check must cost one message and not the process.
fn unwinds(cargo_toml: &str) -> bool {
    let cargo: toml::Table = cargo_toml.parse().unwrap();
    let profile = |name: &str| cargo.get("profile").and_then(|profiles| profiles.get(name)?.get("panic")?.as_str());
    let aborts = |name: &str| profile(name) == Some("abort");
    profile("release") == Some("unwind") && !aborts("dev") && !aborts("test") && !aborts("bench")
}

#[test]
fn a_panic_unwinds() {
    assert!(unwinds(include_str!("../../Cargo.toml")));
    assert!(!unwinds("[profile.release]\npanic = \"abort\""));
    assert!(!unwinds("[profile.release]\npanic = \"unwind\"\n[profile.dev]\npanic = \"abort\""));
}

#[test]
fn paths_are_seen_however_they_are_written() {
    let seen = |text: &str| paths("smtp/session.rs", text).into_iter().map(|named| named.path).collect::<Vec<_>>();
    assert_eq!(seen("use a::{b::{c, d as e}, self, f::*};"), ["a::b::c", "a::b::d", "a::self", "a::f"]);
    assert_eq!(seen("use super::data::Framer;"), ["crate::smtp::data::Framer"]);
    assert_eq!(seen("use ::maildir::Maildir;"), ["maildir::Maildir"]);
    assert!(
        seen("let x = 'a'; let y: &'static str = \"std::fs\"; /* std::fs */ r#\"std::fs\"#;")
            .iter()
            .all(|p| p != "std::fs")
    );
    assert!(seen("let quote = '\"'; std::fs::read(p);").contains(&"std::fs::read".to_owned()));
    assert!(seen("let quote = '\\''; std::fs::read(p);").contains(&"std::fs::read".to_owned()));
}
