//! Reading the journal, or files of it, with all cores: one thread reads, the others take the lines. However long the journal is, a few
//! blocks of it are in memory at a time.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::progress::Progress;
use super::search::unreadable;
use super::{Exit, complain, configuration, tell};
use crate::config::Config;
use crate::config::value::parse_duration;
use crate::observe::journal::{Block, Blocks, files_since, odd_since};
use crate::problem::Problems;

/// Blocks that wait for a thread to take them.
const WAITING: usize = 4;
/// Threads that take lines at most.
const MOST_THREADS: usize = 8;

/// Which lines are read.
#[derive(Debug)]
pub struct Lines {
    /// The files, oldest first.
    pub files: Vec<PathBuf>,
    /// Older records are not wanted; `None`: all are.
    pub since: Option<Timestamp>,
    /// Whether they are the journal's own, and so regular files.
    pub ours: bool,
}

impl Lines {
    /// The lines of these files; without any, those of the configuration's journal.
    ///
    /// # Errors
    /// What is wrong was told.
    pub fn find(files: &[PathBuf], since: Option<Timestamp>, config: Option<&Config>) -> Result<Lines, Exit> {
        let Some(config) = config.filter(|_| files.is_empty()) else {
            return Ok(Lines { files: files.to_vec(), since, ours: false });
        };
        Lines::of_journal(&config.journal.directory, since, |_| true)
    }

    /// The lines of those days of a journal that are `wanted`. What is no regular file there is told.
    ///
    /// # Errors
    /// The directory can't be read, which was told.
    pub fn of_journal(
        directory: &Path,
        since: Option<Timestamp>,
        wanted: impl Fn(&Path) -> bool,
    ) -> Result<Lines, Exit> {
        let mut files = files_since(directory, since).map_err(|error| unreadable(directory, &error))?;
        files.retain(|file| wanted(file));
        let mut problems = Problems::new();
        for problem in odd_since(directory, since).map_err(|error| unreadable(directory, &error))?.iter() {
            if problem.source.as_ref().is_some_and(|source| wanted(Path::new(&source.name))) {
                problems.push(problem.clone());
            }
        }
        if !problems.is_empty() {
            tell(&problems);
        }
        Ok(Lines { files, since, ours: true })
    }

    /// Since when, as records write it; empty for all.
    pub fn since_text(&self) -> String {
        self.since.map(|since| format!("{since:.3}")).unwrap_or_default()
    }

    /// Has every line taken into one of several parts, each of which `begin` began: one a thread. The second value is how many lines were
    /// too long.
    ///
    /// # Errors
    /// A file could not be read, which was told.
    pub fn each<P: Send>(
        &self,
        begin: impl Fn() -> P + Sync,
        take: impl Fn(&[u8], &mut P) + Sync,
    ) -> Result<(Vec<P>, u64), Exit> {
        self.each_of(&self.files, &mut self.progress(), &begin, &take)
    }

    /// As [`Lines::each`], file after file from the newest to the oldest, until `enough` says of the parts of one that it is.
    ///
    /// # Errors
    /// As [`Lines::each`].
    pub fn newest_first<P: Send>(
        &self,
        begin: impl Fn() -> P + Sync,
        take: impl Fn(&[u8], &mut P) + Sync,
        enough: impl FnMut(Vec<P>, u64) -> bool,
    ) -> Result<(), Exit> {
        self.in_turn(self.files.iter().rev(), &begin, &take, enough)
    }

    /// As [`Lines::newest_first`], from the oldest on.
    ///
    /// # Errors
    /// As [`Lines::each`].
    pub fn oldest_first<P: Send>(
        &self,
        begin: impl Fn() -> P + Sync,
        take: impl Fn(&[u8], &mut P) + Sync,
        enough: impl FnMut(Vec<P>, u64) -> bool,
    ) -> Result<(), Exit> {
        self.in_turn(self.files.iter(), &begin, &take, enough)
    }

    fn in_turn<'a, P: Send>(
        &self,
        files: impl Iterator<Item = &'a PathBuf>,
        begin: &(impl Fn() -> P + Sync),
        take: &(impl Fn(&[u8], &mut P) + Sync),
        mut enough: impl FnMut(Vec<P>, u64) -> bool,
    ) -> Result<(), Exit> {
        let mut progress = self.progress();
        // rotation may take a file away meanwhile
        for file in files.filter(|file| file.exists()) {
            let (parts, skipped) = self.each_of(std::slice::from_ref(file), &mut progress, begin, take)?;
            if enough(parts, skipped) {
                break;
            }
        }
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress::of(self.files.iter().map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum())
    }

    fn each_of<P: Send>(
        &self,
        files: &[PathBuf],
        progress: &mut Progress,
        begin: &(impl Fn() -> P + Sync),
        take: &(impl Fn(&[u8], &mut P) + Sync),
    ) -> Result<(Vec<P>, u64), Exit> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).clamp(1, MOST_THREADS);
        let (sender, receiver) = sync_channel::<Block>(WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        let (parts, read) = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let receiver = Arc::clone(&receiver);
                    scope.spawn(move || work(&receiver, begin(), take))
                })
                .collect();
            // where all of them have ended nobody would take a block
            drop(receiver);
            let mut skipped = 0;
            let open = if self.ours { Blocks::open_day } else { Blocks::open };
            let read = read(files, open, progress, |block| {
                skipped += block.skipped;
                sender.send(block).is_ok()
            });
            drop(sender);
            let parts: Vec<_> = workers.into_iter().filter_map(|worker| worker.join().ok()).collect();
            (parts, read.map(|()| skipped))
        });
        let skipped = read.map_err(|(path, error)| {
            complain(&format!("{} cannot be read: {error}", path.display()));
            Exit::Usage
        })?;
        if parts.len() < threads {
            complain("a line of the journal could not be judged because of a bug; please report it");
            return Err(Exit::Failed);
        }
        Ok((parts, skipped))
    }
}

/// Reads block after block until `take` wants no more.
fn read(
    files: &[PathBuf],
    open: fn(&Path) -> io::Result<Blocks<File>>,
    progress: &mut Progress,
    mut take: impl FnMut(Block) -> bool,
) -> Result<(), (PathBuf, io::Error)> {
    for path in files {
        let at = |error| (path.clone(), error);
        let mut blocks = open(path).map_err(at)?;
        while let Some(block) = blocks.next_block().map_err(at)? {
            progress.advance(block.text.len() as u64);
            if !take(block) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn work<P>(receiver: &Mutex<Receiver<Block>>, mut part: P, take: impl Fn(&[u8], &mut P)) -> P {
    loop {
        let block = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(block) = block else { return part };
        block.lines().for_each(|line| take(line, &mut part));
    }
}

/// A moment as people type it: how long ago (`30d`, `12h`), a day (UTC) or a time (RFC 3339).
///
/// # Errors
/// It is none of these.
pub fn parse_since(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = parse_duration(text) {
        let ago = i64::try_from(seconds).ok().map(SignedDuration::from_secs);
        let since = ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok());
        return since.ok_or_else(|| format!("{text} ago is before all calendars"));
    }
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp());
    let since = text.parse::<Timestamp>().ok().or_else(day);
    since.ok_or_else(|| "write how long ago, as 30d or 12h, or a day, as 2026-11-25".to_owned())
}

/// The configuration, where it is needed: `--config`, or none where files are given, or the one that is here.
///
/// # Errors
/// What is wrong with it was told.
pub fn configuration_for(given: Option<&Path>, files: &[PathBuf]) -> Result<Option<Config>, Exit> {
    if given.is_none() && !files.is_empty() {
        return Ok(None);
    }
    configuration(given).map(Some).map_err(|problems| tell(&problems))
}

/// Until when, as [`parse_since`] reads it; a day is meant whole.
///
/// # Errors
/// It is no moment.
pub fn parse_until(text: &str) -> Result<Timestamp, String> {
    let end = text.parse::<Date>().ok().and_then(|day| day.tomorrow().ok());
    match end.and_then(|end| end.to_zoned(TimeZone::UTC).ok()) {
        Some(end) => Ok(end.timestamp()),
        None => parse_since(text),
    }
}
