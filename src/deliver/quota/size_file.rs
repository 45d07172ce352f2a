//! `maildirsize`, the file in which Maildir++ keeps what a mailbox holds: the quota, then a line for each change (maildirquota(7)).
//!
//! ```text
//! 2000000000S
//! 1234567 89
//! 4711 1
//! -815 -1
//! ```
//!
//! It is never reached through a symbolic link, nor through one of several names that a file may have.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// Its name in the directory of the mailbox.
const NAME: &str = "maildirsize";
/// A larger file is counted anew (maildirquota(7)).
const MOST_OCTETS: u64 = 5120;
/// Where it says that the mailbox is full, it is believed for so long (maildirquota(7)).
const BELIEVED: Duration = Duration::from_secs(15 * 60);

/// What a mailbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Octets of its messages.
    pub bytes: u64,
    /// Its messages.
    pub messages: u64,
}

impl Usage {
    /// With so much more.
    pub(super) fn plus(self, more: Usage) -> Usage {
        Usage { bytes: self.bytes.saturating_add(more.bytes), messages: self.messages.saturating_add(more.messages) }
    }
}

/// What the text of the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The quota that it was counted for: octets, 0 is none.
    pub quota_bytes: u64,
    /// The same in messages.
    pub quota_messages: u64,
    /// What all lines make together.
    pub used: Usage,
    /// Lines below the first.
    pub lines: usize,
}

impl Sizes {
    /// Reads the text; `None` where it can't be believed: nothing below the first line, a line that is none or has no end, a NUL, a sum
    /// under nothing, more than 5,120 octets.
    pub fn parse(text: &[u8]) -> Option<Sizes> {
        if text.len() as u64 > MOST_OCTETS || text.contains(&0) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
        let mut lines = text.split('\n');
        let (quota_bytes, quota_messages) = quota(lines.next()?)?;
        let (mut bytes, mut messages, mut count) = (0_i64, 0_i64, 0);
        for line in lines {
            let mut numbers = line.split_ascii_whitespace();
            bytes = bytes.checked_add(numbers.next()?.parse().ok()?)?;
            messages = messages.checked_add(numbers.next()?.parse().ok()?)?;
            count += 1;
        }
        let used = Usage { bytes: u64::try_from(bytes).ok()?, messages: u64::try_from(messages).ok()? };
        (count > 0).then_some(Sizes { quota_bytes, quota_messages, used, lines: count })
    }
}

/// `2000000000S`, `1000C`, or both with a comma between them.
fn quota(line: &str) -> Option<(u64, u64)> {
    let (mut bytes, mut messages) = (0, 0);
    for part in line.trim_ascii_end().split(',') {
        let number = |unit| part.strip_suffix(unit).map(str::parse::<u64>);
        match (number('S'), number('C')) {
            (Some(Ok(number)), _) => bytes = number,
            (_, Some(Ok(number))) => messages = number,
            _ => return None,
        }
    }
    Some((bytes, messages))
}

/// What was found.
pub(super) enum Found {
    /// The mailbox has no directory yet.
    NoMailbox,
    /// No file, or none that can be believed.
    Nothing,
    /// A file that can be read.
    Sizes {
        /// What it says.
        sizes: Sizes,
        /// It is older than one that says that the mailbox is full is believed, or of a time to come.
        is_old: bool,
    },
}

/// Reads the file of a mailbox: 5,120 octets at the most. `root` is above the domain's directory.
///
/// # Errors
/// A part of the path is a link or no directory; trouble of the file system.
pub(super) fn read(root: &Path, mailbox: &Path) -> io::Result<Found> {
    if !is_there(root, mailbox)? {
        return Ok(Found::NoMailbox);
    }
    let file = match open(OpenOptions::new().read(true), mailbox)? {
        Some(file) => file,
        None => return Ok(Found::Nothing),
    };
    let modified = file.metadata()?.modified()?;
    let mut text = Vec::new();
    file.take(MOST_OCTETS + 1).read_to_end(&mut text)?;
    let is_old = SystemTime::now().duration_since(modified).map_or(true, |age| age > BELIEVED);
    Ok(Sizes::parse(&text).map_or(Found::Nothing, |sizes| Found::Sizes { sizes, is_old }))
}

/// Whether the directory of a mailbox is there.
fn is_there(root: &Path, mailbox: &Path) -> io::Result<bool> {
    let below = mailbox.strip_prefix(root).map_err(io::Error::other)?;
    let mut path = root.to_owned();
    for component in below.components() {
        path.push(component);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(io::Error::new(ErrorKind::NotADirectory, "a part of the mailbox's path is no directory"));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Opens the file, where it is a regular file of one name that we may open.
fn open(options: &mut OpenOptions, mailbox: &Path) -> io::Result<Option<File>> {
    // not to wait for whoever holds the other end of a pipe
    let options = options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let file = match options.open(mailbox.join(NAME)) {
        Ok(file) => file,
        Err(error) if is_nothing(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    Ok((found.is_file() && found.nlink() == 1).then_some(file))
}

/// Whether an error says that there is no file of ours, rather than that the file system is in trouble.
fn is_nothing(error: &io::Error) -> bool {
    let kinds = [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::IsADirectory];
    let codes = [Errno::ELOOP, Errno::ENXIO].map(|code| Some(code as i32));
    kinds.contains(&error.kind()) || codes.contains(&error.raw_os_error())
}

/// Adds a line; whether there was a file to add it to. Negative numbers take away.
///
/// # Errors
/// Trouble of the file system: the line may be missing or a part of it.
pub(super) fn append(mailbox: &Path, bytes: i64, messages: i64) -> io::Result<bool> {
    let Some(mut file) = open(OpenOptions::new().append(true), mailbox)? else { return Ok(false) };
    // in one piece, so that others who append at the same time stay apart
    file.write_all(format!("{bytes} {messages}\n").as_bytes())?;
    Ok(true)
}

/// Puts a new file in the place of whatever is there: a link is replaced and not followed.
///
/// # Errors
/// The mailbox has no `tmp/`; trouble of the file system. What was there stays.
pub(super) fn replace(mailbox: &Path, quota: u64, used: Usage) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let tmp = mailbox.join("tmp");
    match DirBuilder::new().mode(0o700).create(&tmp) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ if !tmp.symlink_metadata()?.is_dir() => return Err(ErrorKind::NotADirectory.into()),
        _ => {}
    }
    let new = tmp.join(format!("{NAME}.{}.{}", std::process::id(), NEXT.fetch_add(1, Relaxed)));
    let text = format!("{quota}S\n{} {}\n", used.bytes, used.messages);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    let placed = written.and_then(|()| std::fs::rename(&new, mailbox.join(NAME)));
    if placed.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    placed
}
