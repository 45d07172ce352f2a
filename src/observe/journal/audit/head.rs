//! `audit.head`: it knows the last line, so that lines that are missing at the end are seen.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::regular::{self, Opened};
use super::{Line, belongs_to_owner};

/// The file that knows the last line.
pub(super) const HEAD: &str = "audit.head";

/// The last line, as `audit.head` knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub n: u64,
    pub sha256: String,
}

/// What the end of the chain lacks of what `audit.head` knows. The next line says it: `audit.head` then knows that one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lack {
    /// Lines that were written and are gone.
    pub missing: u64,
    /// The last line is not the one that is known.
    pub unvouched: bool,
}

impl Lack {
    /// Of the last line there is, with its digest. A crash between a line and the note of it leaves the note one line behind.
    fn of(known: Option<&Head>, last: Option<&(Line, String)>) -> Lack {
        let whole = Lack::default();
        match (known, last) {
            (None, None) => whole,
            (None, Some((last, _))) => Lack { unvouched: last.n > 1, ..whole },
            (Some(head), None) => Lack { missing: head.n, ..whole },
            (Some(head), Some((last, _))) if head.n > last.n => Lack { missing: head.n - last.n, ..whole },
            (Some(head), Some((last, digest))) => {
                let knows_last = head.n == last.n && head.sha256 == *digest;
                let is_one_behind = head.n.checked_add(1) == Some(last.n) && head.sha256 == last.prev;
                Lack { unvouched: !knows_last && !is_one_behind, ..whole }
            }
        }
    }

    /// Says in the log what it is, once: the line that says it is there.
    pub(super) fn tell(&self, directory: &Path) {
        if *self != Lack::default() {
            tracing::error!(
                directory = %directory.display(), missing = self.missing, unvouched = self.unvouched,
                "the audit does not end as {HEAD} knows it: lines were taken away or changed, or {HEAD} was; the next line says so, and `gatepost journal verify` from now on"
            );
        }
    }
}

/// Compares the last line with what `audit.head` knows, and brings that up to it where a failure has left it behind: it must never lack
/// more than one.
pub(super) fn compared(directory: &Path, last: Option<&(Line, String)>) -> io::Result<Lack> {
    let known = read(directory)?;
    let lack = Lack::of(known.as_ref(), last);
    if let Some((last, digest)) = last
        && lack == Lack::default()
        && known.is_none_or(|head| head.n < last.n)
    {
        note(directory, &Head { n: last.n, sha256: digest.clone() })?;
    }
    Ok(lack)
}

/// What `audit.head` says; `None` where it is gone or makes no sense.
pub(super) fn read(directory: &Path) -> io::Result<Option<Head>> {
    let mut octets = Vec::new();
    match regular::open(&directory.join(HEAD))? {
        Opened::File(file) => file.take(1_000).read_to_end(&mut octets)?,
        Opened::Gone | Opened::Odd(_) => return Ok(None),
    };
    Ok(serde_json::from_slice(&octets).ok())
}

/// Notes the last line, durably.
pub(super) fn note(directory: &Path, head: &Head) -> io::Result<()> {
    let temporary = directory.join(".audit.head.tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(regular::FLAGS);
    let mut file = options.open(&temporary)?;
    file.write_all(&serde_json::to_vec(head)?)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    belongs_to_owner(directory, &temporary)?;
    fs::rename(&temporary, directory.join(HEAD))?;
    File::open(directory)?.sync_all()
}
