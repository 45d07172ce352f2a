//! A command line, without its CRLF.

use gatepost::smtp::address::{ForwardPath, ReversePath};
use gatepost::smtp::command::{Command, CommandError};
use gatepost::smtp::xclient::Introduced;

use super::{Target, check_reply, outcome};

pub const TARGET: Target = Target {
    name: "command",
    run,
    seeds: &["testdata/fuzz/command"],
    words: &[
        b"EHLO ",
        b"HELO ",
        b"MAIL FROM:<",
        b"RCPT TO:<",
        b"DATA",
        b"BDAT ",
        b" LAST",
        b"RSET",
        b"NOOP",
        b"VRFY ",
        b"HELP",
        b"QUIT",
        b"STARTTLS",
        b"XCLIENT ",
        b"AUTH ",
        b"EXPN ",
        b"GET ",
        b"POST ",
        b"PROXY ",
        b" SIZE=",
        b" BODY=8BITMIME",
        b" BODY=7BIT",
        b" BODY=BINARYMIME",
        b" SMTPUTF8",
        b" REQUIRETLS",
        b" RET=FULL",
        b"> ",
        b"<>",
        b"ADDR=",
        b"PORT=",
        b"HELO=",
        b"NAME=",
        b"[UNAVAILABLE]",
        b"IPV6:",
        b"+20",
    ],
    longest: 600,
    briefly: 6000,
};

fn run(line: &[u8]) -> u64 {
    let found = Command::parse(line);
    let spaced = [line, b"  "].concat();
    assert_eq!(Command::parse(&spaced), found, "white space at the end is dropped");
    let ending = CommandError::that_ends_the_session(line);
    match &found {
        Ok(command) => {
            assert!(!line.contains(&b'\r') && !line.contains(&b'\n'), "a line end within a command");
            assert_eq!(ending.is_some(), matches!(command, Command::Bdat { .. }));
            check_command(line, command);
        }
        Err(error) => {
            let ends = matches!(error, CommandError::Chunk | CommandError::Foreign(_));
            assert_eq!(ending, ends.then_some(*error), "what ends the session is known from its verb");
            check_reply(&error.reply());
            assert!(error.reply().code() >= 400);
        }
    }
    if !line.trim_ascii_start().get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"PROXY")) {
        check_case(line, &found);
    }
    kind(&found)
}

fn check_command(line: &[u8], command: &Command<'_>) {
    match command {
        Command::Helo { name, .. } => {
            assert!((1..=255).contains(&name.len()) && name.bytes().all(|octet| matches!(octet, b' '..=b'~')));
        }
        Command::Mail { path, .. } => {
            check_path(path);
            _ = ReversePath::parse(path, true);
        }
        Command::Rcpt { path } => {
            check_path(path);
            _ = ForwardPath::parse(path, true);
        }
        Command::Bdat { octets, last } => {
            let words = line.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
            let words: Vec<&str> = words.map(|word| std::str::from_utf8(word).unwrap().trim_ascii_end()).collect();
            assert_eq!(words[1].trim_start_matches('0'), octets.to_string().trim_start_matches('0'));
            assert_eq!(words.iter().skip(2).any(|word| word.eq_ignore_ascii_case("LAST")), *last);
        }
        Command::Xclient { attributes } => {
            if let Ok(Introduced { helo: Some(helo), .. }) = Introduced::parse(attributes) {
                assert!((1..=255).contains(&helo.len()) && helo.bytes().all(|octet| matches!(octet, b' '..=b'~')));
            }
        }
        _ => {}
    }
}

fn check_path(path: &[u8]) {
    assert_eq!(path.starts_with(b"<"), path.ends_with(b">") && path.starts_with(b"<"));
    assert!(!path.is_empty());
}

/// Verbs know no case (RFC 5321 §2.4).
fn check_case(line: &[u8], found: &Result<Command<'_>, CommandError>) {
    let verb = line.iter().position(|octet| *octet == b' ').unwrap_or(line.len());
    let mut swapped = line.to_vec();
    swapped[..verb].iter_mut().filter(|octet| octet.is_ascii_alphabetic()).for_each(|octet| *octet ^= 0x20);
    assert_eq!(Command::parse(&swapped), *found);
}

fn kind(found: &Result<Command<'_>, CommandError>) -> u64 {
    match found {
        Ok(Command::Mail { path, parameters }) => {
            outcome(&(ReversePath::parse(path, parameters.smtputf8).err(), parameters.body))
        }
        Ok(Command::Rcpt { path }) => outcome(&ForwardPath::parse(path, false).err()),
        Ok(Command::Xclient { attributes }) => outcome(&Introduced::parse(attributes).err()),
        Ok(command) => outcome(&std::mem::discriminant(command)),
        Err(error) => outcome(error),
    }
}
