//! Walks the chain of the audit.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Take};
use std::path::Path;

use super::super::lock;
use super::super::regular::{self, Opened};
use super::super::search::read_line;
use super::head::{self, HEAD, Head};
use super::{ANCHOR, Event, Line, files, sha256};

/// What a walk along the chain has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is no audit.
    Missing,
    /// Every line fits the one before it, and none is missing at the end.
    Whole {
        /// Lines in the files.
        lines: u64,
        /// The number of the first line that is kept: 1, unless older files' time was over.
        first: u64,
        /// The time of the first and of the last line.
        times: (String, String),
        /// The digest of the last line: who notes it elsewhere can show later that nothing was taken away since.
        head: String,
        /// Half lines that a crash or a full disk has left, and that the chain knows of.
        torn: u64,
    },
    /// A line does not fit.
    Broken {
        /// Its file.
        file: String,
        /// Its number in the file, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Lines are missing at the end, or the last one is only half there.
    Truncated {
        /// Lines that are whole.
        lines: u64,
        /// What is missing.
        why: String,
    },
}

/// Walks the chain from the oldest line to the newest. `expected` is the digest of a line that must be in it. The server may be writing
/// meanwhile: what it adds is left for the next time.
///
/// # Errors
/// The directory or a file can't be read, or another program holds the journal's lock for too long.
pub fn verify(directory: &Path, expected: Option<&str>) -> io::Result<Verdict> {
    let (mut files, head) = match there(directory)? {
        Ok(there) => there,
        Err(broken) => return Ok(broken),
    };
    let mut walk = Walk {
        lines: 0,
        first: None,
        last: None,
        torn: 0,
        pending_torn: 0,
        retired: HashSet::new(),
        seen: false,
        lack: None,
    };
    let mut at_head = None;
    let expected = expected.map(str::to_ascii_lowercase);
    for (name, file) in &mut files {
        let mut reader = BufReader::new(file);
        let (mut raw, mut number) = (Vec::new(), 0);
        while read_line(&mut reader, &mut raw)? {
            number += 1;
            if raw.is_empty() {
                continue;
            }
            if let Err(why) = walk.line(&raw) {
                return Ok(Verdict::Broken { file: name.clone(), line: number, why });
            }
            if let Some((line, digest)) = &walk.last {
                if walk.lack.is_none() && (line.missing > 0 || line.unvouched) {
                    let at = At { file: name.clone(), line: number, sha256: digest.clone() };
                    walk.lack = Some((at, line.missing));
                }
                walk.seen |= expected.as_ref() == Some(digest);
                if head.as_ref().is_some_and(|head| head.n == line.n) {
                    at_head = Some(At { file: name.clone(), line: number, sha256: digest.clone() });
                }
            }
        }
    }
    let names: Vec<String> = files.into_iter().map(|(name, _)| name).collect();
    Ok(walk.end(&names, head, at_head, expected.as_deref()))
}

/// The files of the audit with their lengths, and what knows the last line: as they stand between two lines.
type There = (Vec<(String, Take<File>)>, Option<Head>);

fn there(directory: &Path) -> io::Result<Result<There, Verdict>> {
    let _held = lock::directory(directory)?;
    let mut open = Vec::new();
    for name in files(directory)? {
        match regular::open(&directory.join(&name))? {
            Opened::File(file) => {
                let length = file.metadata()?.len();
                open.push((name, file.take(length)));
            }
            Opened::Gone => {}
            Opened::Odd(problem) => return Ok(Err(Verdict::Broken { file: name, line: 1, why: problem.cause })),
        }
    }
    Ok(Ok((open, head::read(directory)?)))
}

/// Where the line stands whose number `audit.head` has.
struct At {
    file: String,
    line: u64,
    sha256: String,
}

struct Walk {
    lines: u64,
    first: Option<Line>,
    last: Option<(Line, String)>,
    torn: u64,
    /// Half lines that were met, which the next line has to know of.
    pending_torn: u64,
    /// Digests of lines that ended files whose time was over.
    retired: HashSet<String>,
    seen: bool,
    /// The first line that says that the chain did not end before it as it should have, and how many lines were gone then.
    lack: Option<(At, u64)>,
}

impl Walk {
    fn line(&mut self, raw: &[u8]) -> Result<(), String> {
        let Ok(line) = serde_json::from_slice::<Line>(raw) else {
            self.pending_torn += 1;
            return Ok(());
        };
        match (std::mem::take(&mut self.pending_torn), line.torn()) {
            (there, known) if there == known => self.torn += there,
            (_, 0) => return Err("the line before it is no line of the audit".to_owned()),
            (0, _) => return Err("the half line before it is gone".to_owned()),
            (there, known) => {
                return Err(format!("{there} before it are no lines of the audit, and it knows of {known}"));
            }
        }
        match &self.last {
            Some((before, digest)) => {
                if line.prev != *digest {
                    return Err("it does not have the digest of the line before it: one of the two was changed, or lines between them are gone".to_owned());
                }
                if line.n != before.n.saturating_add(line.missing).saturating_add(1) {
                    return Err(format!("its number is {}, and {} comes before it", line.n, before.n));
                }
            }
            None if line.n == 1 && line.prev != ANCHOR => {
                return Err("the first line does not begin the chain".to_owned());
            }
            None => self.first = Some(line.clone()),
        }
        if line.event == Event::Retired {
            self.retired.insert(line.note.sha256.clone());
        }
        self.lines += 1;
        self.last = Some((line, sha256(raw)));
        Ok(())
    }

    fn end(self, files: &[String], head: Option<Head>, at_head: Option<At>, expected: Option<&str>) -> Verdict {
        let lines = self.lines;
        let truncated = |why: String| Verdict::Truncated { lines, why };
        let file = files.first().cloned().unwrap_or_default();
        let (Some(first), Some((last, digest))) = (self.first, self.last) else {
            return match head {
                Some(head) => truncated(format!("{} lines were written, and none is there", head.n)),
                None if files.is_empty() => Verdict::Missing,
                None => truncated("there is no whole line".to_owned()),
            };
        };
        if first.n > 1 && !self.retired.contains(&first.prev) {
            let why = "lines before it are gone, and the chain does not say that their time was over".to_owned();
            return Verdict::Broken { file, line: 1, why };
        }
        if self.pending_torn > 0 {
            return truncated("the last line is only half there: a crash, a full disk, or somebody's doing".to_owned());
        }
        match head {
            None => return truncated(format!("{HEAD}, which knows the last line, is gone")),
            Some(head) if at_head.as_ref().is_some_and(|at| at.sha256 != head.sha256) => {
                let At { file, line, .. } = at_head.unwrap_or(At { file, line: 1, sha256: String::new() });
                let why = format!("it is not the one that {HEAD} knows: it was changed, or the chain was written anew");
                return Verdict::Broken { file, line, why };
            }
            Some(head) if head.n > last.n => {
                return truncated(format!("the last line is number {}, and {} were written", last.n, head.n));
            }
            // a crash between the line and the note of it leaves the note one line behind
            Some(head) if head.n.saturating_add(1) < last.n => {
                return truncated(format!("{HEAD} knows line {}, and the last is {}: it was put back", head.n, last.n));
            }
            Some(_) => {}
        }
        if expected.is_some() && !self.seen {
            return truncated(
                "no line has the digest that was asked for: lines are missing, or the chain was written anew"
                    .to_owned(),
            );
        }
        if let Some((At { file, line, .. }, missing)) = self.lack {
            let why = match missing {
                0 => format!(
                    "when it was written {HEAD} did not know the line before it: that one or {HEAD} was changed"
                ),
                _ => format!("when it was written {missing} of the lines before it were gone"),
            };
            return Verdict::Broken { file, line, why };
        }
        let times = (first.time, last.time);
        Verdict::Whole { lines, first: first.n, times, head: digest, torn: self.torn }
    }
}
