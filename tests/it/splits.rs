//! Others' bad input through the session, at every split: in two pieces at each octet, and octet by octet, it must come to the same.

use gatepost::smtp::address::ReversePath;
use gatepost::smtp::session::{Capabilities, Limits, Session, Step};

use crate::support::corpora::{self, decoded};
use crate::support::player::{Player, accept, capabilities};

/// Cuts of longer input are tried at every so-manieth octet.
const SPARSE: usize = 101;
const LONG: usize = 4000;

fn roomy() -> Capabilities {
    let limits = Limits { message: 1 << 20, line: 1000, errors: 100, ..capabilities().limits };
    Capabilities { limits, ..capabilities() }
}

/// What comes of the input whole; all cuts must come to the same.
#[track_caller]
fn check(name: &str, input: &[u8]) -> Player<'static> {
    let play = |pieces: &[&[u8]]| {
        let mut player = Player::new(roomy(), accept);
        pieces.iter().for_each(|piece| player.feed(piece));
        player
    };
    let whole = play(&[input]);
    let step = if input.len() > LONG { SPARSE } else { 1 };
    for at in (0..=input.len()).step_by(step) {
        let (head, tail) = input.split_at(at);
        assert_eq!(play(&[head, tail]).transcript(), whole.transcript(), "{name}: cut at {at}");
    }
    let octets: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(play(&octets).transcript(), whole.transcript(), "{name}: octet by octet");
    whole
}

#[test]
fn corpus_smuggling_after_data_and_in_a_chunk() {
    let Some(cases) = corpora::json("smtp-smuggling", "cases.json") else { return };
    let cases = cases["eod"].as_array().unwrap();
    assert!(cases.len() >= 10, "{} cases", cases.len());
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let data = decoded(case["after_354_b64"].as_str().unwrap());
        let opening = b"EHLO x\r\nMAIL FROM:<a@s.example>\r\nRCPT TO:<v@victim.example>\r\n";
        let after_data = check(id, &[opening, &b"DATA\r\n"[..], &data, b"\r\n.\r\nQUIT\r\n"].concat());
        if id != "nul-crlf.crlf" {
            assert_eq!(after_data.messages.len(), 1, "{id}");
            assert!(!after_data.transcript().contains("Q: mail <admin@"), "{id}: {}", after_data.transcript());
        }
        // in a chunk there is no end but its count, and a stray CR, LF or NUL is as bad
        let line = format!("BDAT {} LAST\r\n", data.len());
        let chunk = check(id, &[opening, line.as_bytes(), &data, b"QUIT\r\n"].concat());
        assert_eq!(chunk.messages.len(), 1, "{id}");
        assert_eq!(chunk.replies.last().map(gatepost::smtp::reply::Reply::code), Some(221), "{id}");
        let (content, defect) = &chunk.messages[0];
        assert!(defect.is_some() || content.starts_with(&data), "{id}");
    }
}

#[test]
fn corpus_dialogs() {
    let Some(folder) = corpora::folder("smtp-dialogs") else { return };
    let mut played = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cmy") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let script = std::fs::read_to_string(&path).unwrap();
        let lines = script.lines().filter_map(|line| line.strip_prefix("c ->"));
        let sent: String = lines.map(|line| format!("{}\r\n", line.strip_prefix(' ').unwrap_or(line))).collect();
        check(&name, sent.as_bytes());
        played += 1;
    }
    assert!(played >= 8, "{played} dialogs");
}

#[test]
fn corpus_addresses_are_taken_as_the_parser_takes_them() {
    let Some(isemail) = corpora::json("address-isemail", "cases.json") else { return };
    let haraka = corpora::json("address-haraka", "cases.json").unwrap();
    let flanker = corpora::folder("address-flanker").unwrap();
    let mut paths: Vec<String> = Vec::new();
    paths
        .extend(isemail.as_array().unwrap().iter().filter_map(|case| Some(format!("<{}>", case["address"].as_str()?))));
    for kind in ["good", "bad"] {
        paths.extend(
            haraka[kind]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|case| case.as_str().or_else(|| case["input"].as_str()).map(str::to_owned)),
        );
    }
    for file in ["mailbox_valid.txt", "mailbox_invalid.txt"] {
        let text = std::fs::read_to_string(flanker.join(file)).unwrap();
        paths.extend(text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("<{line}>")));
    }
    assert!(paths.len() > 300, "{} paths", paths.len());
    let mut taken = 0;
    for path in &paths {
        let utf8 = !path.is_ascii();
        let line = format!("MAIL FROM:{path}{}", if utf8 { " SMTPUTF8" } else { "" });
        let player = check(path, format!("HELO x\r\n{line}\r\n").as_bytes());
        let code = player.replies[1].code();
        if code == 250 {
            taken += 1;
            let asked = player.transcript().lines().find_map(|line| line.strip_prefix("Q: mail ")).unwrap();
            let parsed = ReversePath::parse(path.trim_ascii(), utf8).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(asked.starts_with(&format!("<{parsed}>")), "{path}: {asked}");
        } else {
            assert!(matches!(code, 500 | 501 | 553 | 555), "{path}: {}", player.replies[1]);
        }
    }
    assert!(taken > 60, "{taken} of {} were taken", paths.len());
}

/// Nothing behind STARTTLS is read before the handshake, and nothing of it is there after it.
#[test]
fn corpus_starttls_injections() {
    let Some(cases) = corpora::json("starttls", "cases.json") else { return };
    let injections: Vec<&str> =
        cases.as_array().unwrap().iter().filter_map(|case| case["cleartext_one_write"].as_str()).collect();
    assert!(injections.len() >= 3);
    for injection in injections {
        for at in 0..=injection.len() {
            let mut session = Session::new(std::sync::Arc::new(capabilities()));
            let mut input = b"EHLO x\r\n".to_vec();
            let mut steps = Vec::new();
            for piece in [&injection.as_bytes()[..at], &injection.as_bytes()[at..]] {
                input.extend_from_slice(piece);
                loop {
                    let (taken, step) = session.next(&input);
                    let step = format!("{step:?}");
                    input.drain(..taken);
                    if step == "NeedInput" {
                        break;
                    }
                    steps.push(step);
                }
            }
            assert!(steps.last().unwrap().starts_with("StartTls"), "{steps:?}");
            assert_eq!(
                input,
                injection.as_bytes()["STARTTLS\r\n".len()..],
                "the server sees what was injected, and closes"
            );
            session.secured();
            let (_, step) = session.next(b"MAIL FROM:<a@s.example>\r\n");
            assert!(matches!(step, Step::Reply(reply) if reply.code() == 503));
        }
    }
}
