//! Tests of dialogs: the files of testdata/dialogs, played whole, in turns, in every two pieces and octet by octet.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use gatepost::smtp::reply::Reply;
use gatepost::smtp::session::Capabilities;

use crate::support::corpora;
use crate::support::player::{Player, accept, capabilities};

/// A dialog file.
#[derive(Default)]
struct Dialog {
    capabilities: Option<Capabilities>,
    /// What the client sends before it waits, and the transcript up to then.
    turns: Vec<(Vec<u8>, String)>,
    xclient: bool,
    /// What a question (by its place among all) is answered, where it isn't accepted.
    answers: BTreeMap<usize, Reply>,
}

impl Dialog {
    fn read(text: &str) -> Dialog {
        let mut dialog = Dialog::default();
        let mut capabilities = capabilities();
        let mut questions = 0;
        let mut client_spoke = true;
        assert!(text.starts_with("# "), "a dialog begins with its reason");
        dialog.turns.push((Vec::new(), String::new()));
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, rest) = line.split_once(':').unwrap_or_else(|| panic!("{line:?} is no line of a dialog"));
            let value = &expand(rest.strip_prefix(' ').unwrap_or(rest));
            if matches!(kind, "C" | "c") && !client_spoke {
                dialog.turns.push((Vec::new(), String::new()));
            }
            let (octets, transcript) = dialog.turns.last_mut().unwrap();
            match kind {
                "C" | "c" => {
                    octets.extend(unescape(value));
                    octets.extend_from_slice(if kind == "C" { b"\r\n" } else { b"" });
                }
                "S" | "Q" | "N" | "D" | "X" | "T" => {
                    questions += usize::from(kind == "Q");
                    writeln!(transcript, "{kind}: {value}").unwrap();
                }
                "A" => assert!(dialog.answers.insert(questions - 1, Reply::parse(value).unwrap()).is_none()),
                "limit" if *value == "xclient=1" => dialog.xclient = true,
                "limit" => set_limit(&mut capabilities, value),
                _ => panic!("{line:?} is no line of a dialog"),
            }
            client_spoke = matches!(kind, "C" | "c");
        }
        dialog.capabilities = Some(capabilities);
        dialog
    }

    fn player(&self) -> Player<'_> {
        let mut asked = 0;
        let mut player = Player::new(self.capabilities.clone().unwrap(), move |question| {
            asked += 1;
            self.answers.get(&(asked - 1)).cloned().unwrap_or_else(|| accept(question))
        });
        if self.xclient {
            player.session.allow_xclient();
        }
        player
    }
}

fn set_limit(capabilities: &mut Capabilities, value: &str) {
    let (name, number) = value.split_once('=').unwrap();
    let number: u32 = number.parse().unwrap();
    match name {
        "starttls" => capabilities.starttls = number != 0,
        "line" => capabilities.limits.line = number as usize,
        "message" => capabilities.limits.message = number.into(),
        "recipients" => capabilities.limits.recipients = number as usize,
        "errors" => capabilities.limits.errors = number,
        "commands" => capabilities.limits.commands = number,
        "transactions" => capabilities.limits.transactions = number,
        _ => panic!("{name} is no limit"),
    }
}

/// `{800 x}` is a text eight hundred times.
fn expand(text: &str) -> String {
    let repeated = text.split_once('{').and_then(|(head, rest)| {
        let (inside, tail) = rest.split_once('}')?;
        let (times, what) = inside.split_once(' ')?;
        Some(format!("{head}{}{}", what.repeat(times.parse().ok()?), expand(tail)))
    });
    repeated.unwrap_or_else(|| text.to_owned())
}

/// `\r`, `\n`, `\0`, `\\` and `\xHH`.
fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, rest) {
            (b'\\', [b'x', hex @ ..]) => {
                octets.push(u8::from_str_radix(std::str::from_utf8(&hex[..2]).unwrap(), 16).unwrap());
                rest = &hex[2..];
            }
            (b'\\', [escaped, after @ ..]) => {
                octets.push(match escaped {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b'0' => 0,
                    b'\\' => b'\\',
                    other => panic!("\\{} is no escape", char::from(*other)),
                });
                rest = after;
            }
            _ => octets.push(*first),
        }
    }
    octets
}

/// How a stretch of octets, which begins at an offset of the whole, is cut into pieces.
type Cut<'a> = &'a dyn Fn(&[u8], usize) -> Vec<Vec<u8>>;

/// Plays the dialog in turns, then, with all turns sent ahead, in every two pieces and octet by octet. What is sent
/// ahead of a TLS handshake would be an injection: the pieces never reach over one.
fn check(name: &str, text: &str) {
    let dialog = Dialog::read(text);
    let mut player = dialog.player();
    let mut expected = String::new();
    for (octets, transcript) in &dialog.turns {
        player.feed(octets);
        expected.push_str(transcript);
        assert_eq!(
            trimmed(player.transcript()),
            trimmed(&expected),
            "{name}: after {:?}",
            octets.escape_ascii().to_string()
        );
    }
    let mut stretches: Vec<Vec<u8>> = vec![Vec::new()];
    for (octets, transcript) in &dialog.turns {
        stretches.last_mut().unwrap().extend_from_slice(octets);
        if transcript.contains("\nT:") {
            stretches.push(Vec::new());
        }
    }
    let play = |how: &str, cut: Cut<'_>| {
        let mut player = dialog.player();
        let mut offset = 0;
        for stretch in &stretches {
            for piece in cut(stretch, offset) {
                player.feed(&piece);
            }
            offset += stretch.len();
        }
        assert_eq!(trimmed(player.transcript()), trimmed(&expected), "{name}: {how}");
    };
    play("octet by octet", &|stretch, _| stretch.iter().map(|&octet| vec![octet]).collect());
    for at in 0..=stretches.iter().map(Vec::len).sum() {
        play(&format!("in two pieces, cut at {at}"), &|stretch, offset| {
            let (head, tail) = stretch.split_at(usize::saturating_sub(at, offset).min(stretch.len()));
            vec![head.to_vec(), tail.to_vec()]
        });
    }
}

fn trimmed(transcript: &str) -> String {
    transcript.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_dialog_goes_as_its_file_says_however_it_is_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/dialogs");
    let mut played = 0;
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "dialog")) {
        check(file.file_name().unwrap().to_str().unwrap(), &std::fs::read_to_string(file).unwrap());
        played += 1;
    }
    assert!(played >= 20, "{played} dialogs");
}

/// Where our code is not chasquid's, and why.
const DIFFERENCES: [(&str, &str, u16, u16); 5] = [
    // the answer after CRLF.CRLF judges the message's form: 550 5.6.0
    ("bad_data_dot_2", "\\r\\n.\\r\\n", 521, 550),
    // whether a header is malformed is for policy, which an always accepting answerer has not
    ("bad_data", ".\\r\\n", 554, 250),
    // the command is known, its argument is wrong (RFC 5321 §4.2.4)
    ("bad_mail_from", "MAIL LALA: <>\\r\\n", 500, 501),
    ("bad_mail_from", "MAIL FROM:\\r\\n", 500, 501),
    // RFC 5321 §4.5.3.1.9
    ("line_too_long", "HELO", 554, 500),
];

#[test]
fn corpus_smtp_dialogs() {
    let Some(folder) = corpora::folder("smtp-dialogs") else { return };
    let mut compared = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // An MX has no AUTH.
        if path.extension().is_none_or(|extension| extension != "cmy") || name.starts_with("auth_") {
            continue;
        }
        compared += play_cmy(&name, &std::fs::read_to_string(&path).unwrap());
    }
    assert!(compared > 30, "{compared} replies compared");
    let verify = std::fs::read_to_string(folder.join("data_dot_stuffing.cmy.verify")).unwrap();
    let script = std::fs::read_to_string(folder.join("data_dot_stuffing.cmy")).unwrap();
    let mut player = Player::new(capabilities(), accept);
    script.lines().filter_map(|line| line.strip_prefix("c ->")).for_each(|line| {
        player.feed(format!("{}\r\n", line.strip_prefix(' ').unwrap_or(line)).as_bytes());
    });
    let content = String::from_utf8(player.messages[0].0.clone()).unwrap();
    assert_eq!(content.replace("\r\n", "\n").trim_end(), verify.trim_end());
}

/// Plays a script, comparing codes; says how many.
fn play_cmy(name: &str, script: &str) -> usize {
    let mut limits = capabilities().limits;
    (limits.message, limits.line) = (1 << 20, 1000);
    let fresh = || Player::new(Capabilities { limits: limits.clone(), ..capabilities() }, accept);
    let mut player = fresh();
    let (mut said, mut compared, mut last) = (0, 0, String::new());
    for line in script.lines().filter_map(|line| line.strip_prefix("c ")) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let sent = match verb {
            "close" | "tcp_connect" => {
                (player, said, last) = (fresh(), 0, String::new());
                continue;
            }
            "->" => format!("{rest}\r\n").into_bytes(),
            "~>" => expression(&mut rest.as_bytes()),
            "<-" | "<~" | "<..." => {
                let code: u16 = rest[..3].parse().unwrap();
                if code == 220 && said == 0 && last.is_empty() {
                    continue; // the greeting is the server's
                }
                let reply = player.replies.get(said).unwrap_or_else(|| panic!("{name}: no answer to {last}"));
                said += 1;
                let differs = DIFFERENCES
                    .iter()
                    .find(|(file, sent, theirs, _)| *file == name && last.starts_with(sent) && *theirs == code);
                assert_eq!(
                    reply.code(),
                    differs.map_or(code, |(.., ours)| *ours),
                    "{name}: after {last:.100}: {reply}"
                );
                compared += 1;
                continue;
            }
            _ => panic!("{name}: {line}"),
        };
        last = sent.escape_ascii().to_string();
        player.feed(&sent);
    }
    assert_eq!(player.replies.len(), said, "{name}: no reply more than expected");
    compared
}

/// `'text'`, `(a + b)`, `a * 3`, `a + b`, as the scripts write long input.
fn expression(rest: &mut &[u8]) -> Vec<u8> {
    let mut sum = term(rest);
    while let Some(after) = rest.trim_ascii_start().strip_prefix(b"+") {
        *rest = after;
        sum.extend(term(rest));
    }
    sum
}

fn term(rest: &mut &[u8]) -> Vec<u8> {
    let mut value = match rest.trim_ascii_start() {
        [b'(', after @ ..] => {
            *rest = after;
            let value = expression(rest);
            *rest = rest.trim_ascii_start().strip_prefix(b")").unwrap();
            value
        }
        [b'\'', after @ ..] => {
            let end = after.iter().position(|&octet| octet == b'\'').unwrap();
            *rest = &after[end + 1..];
            unescape(std::str::from_utf8(&after[..end]).unwrap())
        }
        other => panic!("{:?}", other.escape_ascii().to_string()),
    };
    while let Some(after) = rest.trim_ascii_start().strip_prefix(b"*") {
        let after = after.trim_ascii_start();
        let end = after.iter().position(|octet| !octet.is_ascii_digit()).unwrap_or(after.len());
        value = value.repeat(std::str::from_utf8(&after[..end]).unwrap().parse().unwrap());
        *rest = &after[end..];
    }
    value
}

/// What crashed another server, with its own line ends and with ours, cut anywhere, ends in order.
#[test]
fn corpus_fuzz_findings() {
    let Some(folder) = corpora::folder("smtp-dialogs") else { return };
    for entry in std::fs::read_dir(folder.join("fuzz")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("[]byte(\"")?.strip_suffix("\")")) {
            let input = line.replace("\\n", "\n").replace("\\\"", "\"");
            let mut player = Player::new(capabilities(), accept);
            player.feed(input.as_bytes());
            assert!(player.closed && player.replies[0].code() == 500, "a bare LF ends no command");
            let input = input.replace('\n', "\r\n");
            let mut whole = Player::new(capabilities(), accept);
            whole.feed(input.as_bytes());
            let mut pieces = Player::new(capabilities(), accept);
            input.as_bytes().chunks(1).for_each(|octet| pieces.feed(octet));
            assert_eq!(whole.transcript(), pieces.transcript());
            assert!(!whole.replies.is_empty());
        }
    }
}
