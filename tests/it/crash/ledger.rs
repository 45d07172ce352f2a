//! What clients know of their messages, held against what is in the Maildirs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The domain of all messages' ids.
const DOMAIN: &str = "crash.example";

/// What a client heard after the dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 250: it is the server's from now on.
    Stored,
    /// 4yz.
    Deferred(u16),
    /// 5yz, or no reply of SMTP.
    Refused(u16),
    /// The connection broke.
    Nothing,
}

/// A message, which is made of its number and its lines.
#[derive(Debug, Clone)]
pub struct Message {
    number: u64,
    lines: usize,
    pub mailboxes: Vec<String>,
}

impl Message {
    /// As it is sent, without the dot; line ends are CRLF.
    pub fn sent(&self) -> String {
        self.text().replace('\n', "\r\n")
    }

    /// As it is on disk, behind what the server adds. Each line tells which one it is, so that no part can pass for the whole.
    pub fn text(&self) -> String {
        let Message { number, lines, .. } = self;
        let mut text = format!(
            "From: <author@sender.example>\nTo: <somebody@receiver.example>\nSubject: message {number}\nMessage-ID: <{number}@{DOMAIN}>\n\n"
        );
        for line in 0..*lines {
            let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(line as u32 % 64) ^ line as u64;
            text.push_str(&format!("line {line} of {lines} of message {number}: {word:016x}{word:016x}\n"));
        }
        text
    }
}

/// All messages that were begun, and how each was answered.
#[derive(Default)]
pub struct Ledger {
    next: AtomicU64,
    entries: Mutex<HashMap<u64, (Message, Answer)>>,
}

/// What may be in the Maildirs that nobody was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Nothing has crashed: nothing.
    Faults,
    /// Whole copies, and files in `tmp/`.
    Crash,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Found {
    /// Messages that were answered 250.
    pub acknowledged: usize,
    /// Messages that were answered 4yz.
    pub deferred: usize,
    /// Messages whose connection broke.
    pub unanswered: usize,
    /// Whole copies of messages that were not answered 250.
    pub surplus: usize,
    /// Files in `tmp/`.
    pub leftovers: usize,
    /// What must not be.
    pub wrong: Vec<String>,
}

impl Found {
    /// # Panics
    /// Something is wrong.
    #[track_caller]
    pub fn must_be_right(&self) -> &Found {
        assert!(
            self.wrong.is_empty(),
            "{} wrong of {} acknowledged: {:#?}",
            self.wrong.len(),
            self.acknowledged,
            self.wrong
        );
        self
    }

    /// Counts another one's, too.
    pub fn add(&mut self, other: Found) {
        self.acknowledged += other.acknowledged;
        self.deferred += other.deferred;
        self.unanswered += other.unanswered;
        self.surplus += other.surplus;
        self.leftovers += other.leftovers;
        self.wrong.extend(other.wrong);
    }
}

impl Ledger {
    /// A new message, of which nothing is heard yet.
    pub fn begin(&self, mailboxes: &[&str], lines: usize) -> Message {
        let mailboxes = mailboxes.iter().map(|&name| name.to_owned()).collect();
        let message = Message { number: self.next.fetch_add(1, Ordering::Relaxed), lines, mailboxes };
        self.entries.lock().unwrap().insert(message.number, (message.clone(), Answer::Nothing));
        message
    }

    /// How it was answered.
    pub fn note(&self, message: &Message, answer: Answer) {
        self.entries.lock().unwrap().get_mut(&message.number).expect("it was begun").1 = answer;
    }

    /// Forgets all messages, when their Maildirs are gone.
    pub fn forget(&self) {
        self.entries.lock().unwrap().clear();
    }

    /// Holds all messages against the Maildirs of receiver.example below `root`.
    pub fn compare(&self, root: &Path, after: After) -> Found {
        let entries = self.entries.lock().unwrap();
        let mut found = Found::default();
        let mut copies: HashMap<(u64, String), usize> = HashMap::new();
        for mailbox in below(&root.join("receiver.example")) {
            let name = mailbox.file_name().unwrap().to_str().unwrap().to_owned();
            found.leftovers += below(&mailbox.join("tmp")).len();
            for folder in ["new", "cur", ".Junk/new"] {
                for file in below(&mailbox.join(folder)) {
                    match whole(&file, &name, &entries) {
                        Ok(number) => *copies.entry((number, name.clone())).or_default() += 1,
                        Err(why) => found.wrong.push(format!("{}: {why}", file.display())),
                    }
                }
            }
        }
        for (number, (message, answer)) in entries.iter() {
            let count = |name: &String| copies.get(&(*number, name.clone())).copied().unwrap_or(0);
            match answer {
                Answer::Stored => found.acknowledged += 1,
                Answer::Deferred(_) => found.deferred += 1,
                Answer::Nothing => found.unanswered += 1,
                Answer::Refused(code) => found.wrong.push(format!("message {number} was answered {code}")),
            }
            for name in &message.mailboxes {
                match (answer, count(name)) {
                    (Answer::Stored, 1) => {}
                    (Answer::Stored, 0) => found.wrong.push(format!("message {number} is lost: it is not in {name}")),
                    (_, 0) => {}
                    (Answer::Deferred(_) | Answer::Nothing, 1) => found.surplus += 1,
                    (_, times) => found.wrong.push(format!("message {number} is {times} times in {name}")),
                }
            }
        }
        if after == After::Faults {
            let strangers = (found.surplus, found.leftovers, found.unanswered);
            if strangers != (0, 0, 0) {
                found
                    .wrong
                    .push(format!("copies nobody was told of, files in tmp/, messages without answer: {strangers:?}"));
            }
        }
        found
    }
}

/// The entries of a directory; none where it is missing.
pub fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The number of the message that a file holds, from the first octet to the last, for this mailbox.
fn whole(file: &Path, mailbox: &str, entries: &HashMap<u64, (Message, Answer)>) -> Result<u64, String> {
    let octets = std::fs::read(file).map_err(|error| error.to_string())?;
    let text = String::from_utf8(octets).map_err(|_| "it is no text: half a message".to_owned())?;
    let number = text.split_once("\nMessage-ID: <").and_then(|(_, rest)| rest.split_once('@')?.0.parse().ok());
    let number: u64 = number.ok_or_else(|| format!("half a message: {} octets without an id", text.len()))?;
    let (message, _) = entries.get(&number).ok_or_else(|| format!("nobody sent message {number}"))?;
    let added = text.strip_suffix(&message.text()).ok_or_else(|| format!("half a message, {} octets", text.len()))?;
    let is_field = |line: &str| line.starts_with(['\t', ' ']) || line.split_once(": ").is_some();
    if !added.starts_with("Return-Path: <") || !added.ends_with('\n') || !added.lines().all(is_field) {
        return Err(format!("before the message stands {added:?}"));
    }
    if !added.contains(&format!("\nDelivered-To: {mailbox}@receiver.example\n")) {
        return Err(format!("message {number} is another mailbox's: {added:?}"));
    }
    if !message.mailboxes.iter().any(|name| name == mailbox) {
        return Err(format!("message {number} was not for {mailbox}"));
    }
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let size = name.rsplit_once(",S=").and_then(|(_, size)| size.parse().ok());
    (size == Some(text.len())).then_some(number).ok_or_else(|| format!("the file has {} octets", text.len()))
}
