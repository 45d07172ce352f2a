//! Messages that say themselves who they are and how long, so that each can be found, counted and compared octet by octet.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::support::site::files;

/// Octets of a body's line, with its CRLF.
pub const LINE: usize = 64;
/// Lines that are written at once.
const BLOCK_LINES: usize = 1024;
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and does so again";

static WIRE: LazyLock<Vec<u8>> = LazyLock::new(|| format!("{TEXT}\r\n").into_bytes().repeat(BLOCK_LINES));
static DISK: LazyLock<Vec<u8>> = LazyLock::new(|| format!("{TEXT}\n").into_bytes().repeat(BLOCK_LINES));
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A message of `lines` lines.
pub struct Message {
    /// What its Message-ID begins with.
    pub id: String,
    pub lines: usize,
}

impl Message {
    /// One that there was none of yet.
    pub fn new(lines: usize) -> Message {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Message { id: format!("{number}.{lines}"), lines }
    }

    /// Its header, and the first line of its body.
    pub fn beginning(&self, author: &str) -> String {
        let id = &self.id;
        format!(
            "From: <{author}>\r\nTo: <alice@receiver.example>\r\nDate: Thu, 26 Nov 2026 05:00:00 +0000\r\n\
             Subject: load {id}\r\nMessage-ID: <{id}@load.example>\r\n\r\nbegin {id}\r\n"
        )
    }

    /// Its last line; the dot is not part of it.
    pub fn end(&self) -> String {
        format!("end {}\r\n", self.id)
    }

    /// Writes all of it.
    pub async fn write(&self, author: &str, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        to.write_all(self.beginning(author).as_bytes()).await?;
        let mut left = self.lines;
        while left > 0 {
            let lines = left.min(BLOCK_LINES);
            to.write_all(&WIRE[..lines * LINE]).await?;
            left -= lines;
        }
        to.write_all(self.end().as_bytes()).await
    }
}

/// Each acknowledged message is there exactly once and whole, and nothing else is but what nobody acknowledged: how many those are.
#[track_caller]
pub fn all_there(root: &Path, acknowledged: &[String]) -> usize {
    looked_through(root, acknowledged).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn looked_through(root: &Path, acknowledged: &[String]) -> Result<usize, String> {
    let found = delivered(root)?;
    let wrong: Vec<String> = acknowledged
        .iter()
        .map(|id| (id, found.get(id).copied().unwrap_or(0)))
        .filter(|(_, times)| *times != 1)
        .map(|(id, times)| format!("{id} is there {times} times"))
        .collect();
    if wrong.is_empty() {
        Ok(found.values().sum::<usize>() - acknowledged.len())
    } else {
        Err(format!("{} of {}: {}", wrong.len(), acknowledged.len(), wrong.join(", ")))
    }
}

/// How often each message is in the mailboxes of a Maildir root, Junk included.
fn delivered(root: &Path) -> Result<HashMap<String, usize>, String> {
    let mut found = HashMap::new();
    for file in mailboxes(root).iter().flat_map(|mailbox| files(&mailbox.join("new"))) {
        let text = std::fs::read(&file).unwrap();
        let id = id_of(&text).ok_or_else(|| format!("{} has no Message-ID of ours", file.display()))?;
        if !is_whole(&text, &id) {
            return Err(format!("{} is not whole: {} octets", file.display(), text.len()));
        }
        *found.entry(id).or_insert(0) += 1;
    }
    let left: Vec<PathBuf> = mailboxes(root).iter().flat_map(|mailbox| files(&mailbox.join("tmp"))).collect();
    if left.is_empty() { Ok(found) } else { Err(format!("left behind: {left:?}")) }
}

fn mailboxes(root: &Path) -> Vec<PathBuf> {
    let own = files(root).iter().flat_map(|domain| files(domain)).collect::<Vec<_>>();
    own.iter().flat_map(|mailbox| [mailbox.clone(), mailbox.join(".Junk")]).collect()
}

fn id_of(text: &[u8]) -> Option<String> {
    let header = String::from_utf8_lossy(&text[..text.len().min(16 * 1024)]).into_owned();
    let (_, rest) = header.split_once("\nMessage-ID: <")?;
    Some(rest.split_once("@load.example>")?.0.to_owned())
}

fn is_whole(text: &[u8], id: &str) -> bool {
    let begin = format!("\n\nbegin {id}\n");
    let lines: usize = id.split_once('.').and_then(|(_, lines)| lines.parse().ok()).unwrap();
    let Some(at) = text.windows(begin.len()).position(|window| window == begin.as_bytes()) else { return false };
    let Some(body) = text[at + begin.len()..].strip_suffix(format!("end {id}\n").as_bytes()) else { return false };
    let blocks = body.chunks(DISK.len());
    body.len() == lines * (LINE - 1) && blocks.into_iter().all(|block| block == &DISK[..block.len()])
}

#[test]
fn a_message_that_is_cut_changed_or_doubled_is_seen() {
    let root = tempfile::tempdir().unwrap();
    let new = root.path().join("receiver.example/alice/new");
    std::fs::create_dir_all(&new).unwrap();
    let message = Message::new(2000);
    let mut wire = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(message.write("a@sender.example", &mut wire)).unwrap();
    let text = String::from_utf8(wire).unwrap().replace("\r\n", "\n");
    std::fs::write(new.join("1"), &text).unwrap();
    let looked = || looked_through(root.path(), std::slice::from_ref(&message.id));
    assert_eq!(looked(), Ok(0));
    let seen = |name: &str, text: &str, why: &str| {
        std::fs::write(new.join(name), text).unwrap();
        let wrong = looked().unwrap_err();
        std::fs::remove_file(new.join(name)).unwrap();
        assert!(wrong.contains(why), "{name}: {wrong}");
    };
    seen("doubled", &text, "is there 2 times");
    seen("cut", &text.replace(&format!("\n{TEXT}\nend "), "\nend "), "is not whole");
    seen("changed", &text.replacen("fox", "cat", 1), "is not whole");
    seen("no end", text.strip_suffix(&format!("end {}\n", message.id)).unwrap(), "is not whole");
    std::fs::create_dir(new.with_file_name("tmp")).unwrap();
    std::fs::write(new.with_file_name("tmp").join("1"), "half").unwrap();
    assert!(looked().unwrap_err().contains("left behind"));
    std::fs::remove_file(new.with_file_name("tmp").join("1")).unwrap();
    std::fs::remove_file(new.join("1")).unwrap();
    assert!(looked().unwrap_err().contains("is there 0 times"));
}
