//! Reading the journal from one end to the other, in blocks of whole lines: memory stays the same however long it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::day;
use super::regular::{self, Opened};
use crate::problem::Problems;

/// How many octets are read at once; a longer line is none of ours.
pub const BLOCK: usize = 1 << 20;

/// The files of the days from a moment on, oldest first. What has a day's name and is no regular file is none of them, see [`odd_since`].
///
/// # Errors
/// The directory can't be read.
pub fn files_since(directory: &Path, since: Option<Timestamp>) -> io::Result<Vec<PathBuf>> {
    let is_file = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| found.is_file());
    Ok(days_since(directory, since)?.filter(is_file).collect())
}

/// What stands where files of the days from a moment on should be, and is no regular file: a problem each.
///
/// # Errors
/// The directory can't be read.
pub fn odd_since(directory: &Path, since: Option<Timestamp>) -> io::Result<Problems> {
    let mut problems = Problems::new();
    for path in days_since(directory, since)? {
        if let Ok(Opened::Odd(problem)) = regular::open(&path) {
            problems.push(problem);
        }
    }
    Ok(problems)
}

fn days_since(directory: &Path, since: Option<Timestamp>) -> io::Result<impl Iterator<Item = PathBuf>> {
    let first = since.map(day::of);
    let days = day::list(directory)?.into_iter().filter(move |day| first.is_none_or(|first| *day >= first));
    let directory = directory.to_owned();
    Ok(days.map(move |day| day::path(&directory, day)))
}

/// Some lines as they stand in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Whole lines with their ends; the last one of a file may lack its.
    pub text: Vec<u8>,
    /// Lines that were too long to be kept.
    pub skipped: u64,
}

impl Block {
    /// The lines without their ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let text = self.text.strip_suffix(b"\n").unwrap_or(&self.text);
        let mut ends = memchr::memchr_iter(b'\n', text);
        let mut start = Some(0);
        std::iter::from_fn(move || {
            let from = start?;
            let end = ends.next();
            start = end.map(|end| end + 1);
            text.get(from..end.unwrap_or(text.len()))
        })
    }
}

/// The blocks of one file.
#[derive(Debug)]
pub struct Blocks<R> {
    reader: R,
    /// The beginning of a line that the last block ended in.
    rest: Vec<u8>,
    /// Within a line that is too long.
    passing: bool,
    ended: bool,
}

impl Blocks<File> {
    /// Opens a file that somebody names, who may mean a pipe.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path) -> io::Result<Blocks<File>> {
        File::open(path).map(Blocks::of)
    }

    /// Opens a day's file, which is a regular one.
    ///
    /// # Errors
    /// It can't be opened, or is something else.
    pub fn open_day(path: &Path) -> io::Result<Blocks<File>> {
        regular::required(path).map(Blocks::of)
    }
}

impl<R: Read> Blocks<R> {
    /// The blocks of what is read.
    pub fn of(reader: R) -> Blocks<R> {
        Blocks { reader, rest: Vec::new(), passing: false, ended: false }
    }

    /// The next block, `None` at the end.
    ///
    /// # Errors
    /// It can't be read.
    pub fn next_block(&mut self) -> io::Result<Option<Block>> {
        if self.ended {
            return Ok(None);
        }
        let mut text = std::mem::take(&mut self.rest);
        let room = (BLOCK * 2).saturating_sub(text.len());
        text.reserve_exact(room);
        let read = (&mut self.reader).take(BLOCK as u64).read_to_end(&mut text)?;
        self.ended = read < BLOCK;
        let mut skipped = 0;
        if self.passing {
            let end = memchr::memchr(b'\n', &text);
            self.passing = end.is_none() && !self.ended;
            text.drain(..end.map_or(text.len(), |end| end + 1));
        }
        if !self.ended {
            let whole = memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1);
            self.rest = text.split_off(whole);
            if self.rest.len() >= BLOCK {
                // the line that has begun is as long as a block already
                self.rest = Vec::new();
                self.passing = true;
                skipped = 1;
            }
        }
        Ok(Some(Block { text, skipped }))
    }
}
