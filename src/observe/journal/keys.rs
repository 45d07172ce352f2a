//! The keys of pseudonyms: one a week, in a file of its own beside the lines that it makes, thrown away with the last of them.
//!
//! `pseudonyms-2026-11-23.key` (mode 0600) holds 32 octets of chance in hexadecimal, for the week that begins on that Monday (UTC).
//! Who has the file can try whether an address is behind a pseudonym; when it is gone nobody can.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::{day, lock, regular};
use crate::observe::pseudonym::{Key, network};
use crate::problem::Problem;

/// Octets of a secret.
const SECRET: usize = 32;
/// Keys in memory: last week's for a late line, this week's, the next one's.
const MOST_KEPT: usize = 4;

/// The keys of a journal that is being written.
pub struct Keys {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<Date, Kept>,
    /// Why a key could not be read or written.
    failure: Option<String>,
    said: bool,
}

struct Kept {
    key: Arc<Key>,
    /// The secret, where it could not be written yet.
    unsaved: Option<[u8; SECRET]>,
}

impl Keys {
    /// The keys of a journal in `directory`; this week's and the next one's are made.
    pub fn open(directory: &Path) -> Keys {
        let keys = Keys { directory: directory.to_owned(), state: Mutex::default() };
        keys.prepare(day::of(Timestamp::now()));
        keys
    }

    /// Whether the keys that a journal in `directory` would begin with, where they are there, can be read.
    ///
    /// # Errors
    /// The first that can't: place, cause and mend.
    pub fn check(directory: &Path) -> Result<(), Problem> {
        let today = day::of(Timestamp::now());
        for day in [Some(today), day::neighbour(today, 7)].into_iter().flatten() {
            let path = path(directory, week(day));
            match read(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unreadable(&path, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the keys of a day's week and of the week after it, so that no session waits for one; tries to write those that could
    /// not be written. What is in the way is said once.
    pub fn prepare(&self, day: Date) {
        let mut state = self.lock();
        for day in [Some(day), day::neighbour(day, 7)].into_iter().flatten() {
            self.key(&mut state, week(day));
        }
        let unsaved: Vec<_> =
            state.kept.iter().filter_map(|(week, kept)| kept.unsaved.map(|secret| (*week, secret))).collect();
        state.failure = state.failure.take().filter(|_| !unsaved.is_empty());
        for (week, secret) in unsaved {
            match self.save(week, &secret) {
                Ok(()) => drop(state.kept.get_mut(&week).and_then(|kept| kept.unsaved.take())),
                Err(error) => state.failure = Some(error.to_string()),
            }
        }
        let failure = state.failure.clone();
        let news = failure.is_some() && !std::mem::replace(&mut state.said, failure.is_some());
        // the log asks for a key: it must not wait for itself
        drop(state);
        if let (Some(error), true) = (failure, news) {
            tracing::error!(%error, "a key of the journal's pseudonyms can't be kept: nobody will be able to look for a name in this week's lines");
        }
    }

    /// The key of a day. Says nothing in the log, which asks for it.
    pub fn of(&self, day: Date) -> Arc<Key> {
        self.key(&mut self.lock(), week(day))
    }

    /// The key of this moment.
    pub fn today(&self) -> Arc<Key> {
        self.of(day::of(Timestamp::now()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, state: &mut State, week: Date) -> Arc<Key> {
        if let Some(known) = state.kept.get(&week) {
            return Arc::clone(&known.key);
        }
        let (secret, unsaved) = match self.have(week) {
            Ok(secret) => (secret, None),
            Err(error) => {
                // mail goes on, and its lines are without names
                state.failure = Some(error.to_string());
                let secret = chance();
                (secret, Some(secret))
            }
        };
        let key = Arc::new(Key::new(&secret));
        state.kept.insert(week, Kept { key: Arc::clone(&key), unsaved });
        while state.kept.len() > MOST_KEPT {
            state.kept.pop_first();
        }
        key
    }

    /// The secret of a week, made where there is none.
    fn have(&self, week: Date) -> io::Result<[u8; SECRET]> {
        match read(&path(&self.directory, week)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = chance();
                match self.save(week, &secret) {
                    // another process was faster
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    other => other?,
                }
                read(&path(&self.directory, week))
            }
            other => other,
        }
    }

    /// Writes a secret, whole or not at all. Where the week has another it stays, and that is an error.
    fn save(&self, week: Date, secret: &[u8; SECRET]) -> io::Result<()> {
        let path = path(&self.directory, week);
        let temporary = self.directory.join(format!(".pseudonyms-{}.tmp", std::process::id()));
        let written = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600).custom_flags(regular::FLAGS);
            let mut file = options.open(&temporary)?;
            // who cleans up leaves what its maker still holds
            let _held = lock::at_once(file.try_clone()?)?;
            let mut text: String = secret.iter().map(|octet| format!("{octet:02x}")).collect();
            text.push('\n');
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            match fs::hard_link(&temporary, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if read(&path)? != *secret {
                        let why = format!("{} holds another key", path.display());
                        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
                    }
                }
                other => other?,
            }
            File::open(&self.directory)?.sync_all()
        };
        let result = written();
        let _ = fs::remove_file(&temporary);
        result
    }
}

/// 32 octets of chance; without any (no system of ours is without) the key is that of nobody, made of the moment.
fn chance() -> [u8; SECRET] {
    let mut secret = [0; SECRET];
    if getrandom::fill(&mut secret).is_err() {
        let moment = Timestamp::now().as_nanosecond().to_be_bytes();
        secret.iter_mut().zip(moment).for_each(|(octet, part)| *octet = part);
    }
    secret
}

/// The Monday of a day's week.
fn week(day: Date) -> Date {
    let since_monday = i64::from(day.weekday().to_monday_zero_offset());
    day.checked_sub(since_monday.days()).unwrap_or(day)
}

fn path(directory: &Path, week: Date) -> PathBuf {
    directory.join(format!("pseudonyms-{week}.key"))
}

/// The week of a file's name.
fn of_name(name: &str) -> Option<Date> {
    let week: Date = name.strip_prefix("pseudonyms-")?.strip_suffix(".key")?.parse().ok()?;
    (format!("pseudonyms-{week}.key") == name).then_some(week)
}

fn read(path: &Path) -> io::Result<[u8; SECRET]> {
    let mut text = String::new();
    regular::required(path)?.take(1_000).read_to_string(&mut text)?;
    let text = text.trim_ascii();
    let mut secret = [0; SECRET];
    let wrong =
        || io::Error::new(io::ErrorKind::InvalidData, format!("{} is no key: 64 hexadecimal digits", path.display()));
    if text.len() != 2 * SECRET {
        return Err(wrong());
    }
    for (at, octet) in secret.iter_mut().enumerate() {
        let digits = text.get(2 * at..2 * at + 2).ok_or_else(wrong)?;
        *octet = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(secret)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let cause = format!("this key of the journal's pseudonyms can't be read: {error}");
    let mend = match error.kind() {
        io::ErrorKind::PermissionDenied => "give it to the user that the server runs as, in mode 0600",
        _ => {
            "put it back from where you keep copies, or take it away: a new one is made then, and nobody finds names in this week's earlier lines"
        }
    };
    Problem::with_file(&path.display().to_string(), "journal.pseudonymise", cause, mend)
}

/// Removes the keys of weeks that ended before a day: no line that they made is left.
///
/// # Errors
/// The directory can't be read, or a file can't be removed.
pub fn remove_older(directory: &Path, first_day: Date) -> io::Result<()> {
    for week in list(directory)? {
        if day::neighbour(week, 7).is_some_and(|end| end <= first_day) {
            match fs::remove_file(path(directory, week)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn list(directory: &Path) -> io::Result<Vec<Date>> {
    let mut weeks = Vec::new();
    for entry in fs::read_dir(directory)? {
        weeks.extend(entry?.file_name().to_str().and_then(of_name));
    }
    weeks.sort_unstable();
    Ok(weeks)
}

/// What a name may stand as in a journal: in clear, and under every key that is kept. What searches lines looks for all of these.
#[derive(Debug, Default)]
pub struct Spellings {
    keys: Vec<Key>,
    /// Keys that are there and can't be read.
    pub unread: usize,
}

impl Spellings {
    /// Reads the keys of a journal; one that was never written without names has none.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn read(directory: &Path) -> io::Result<Spellings> {
        let mut spellings = Spellings::default();
        for week in list(directory)? {
            match read(&path(directory, week)) {
                Ok(secret) => spellings.keys.push(Key::new(&secret)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => spellings.unread += 1,
            }
        }
        Ok(spellings)
    }

    /// An address as it may stand in a record, itself first.
    pub fn address(&self, address: &str) -> Vec<String> {
        self.all(address, |key| key.address(address, UNKNOWN))
    }

    /// A Message-ID as it may stand in a record, itself first.
    pub fn message_id(&self, id: &str) -> Vec<String> {
        self.all(id, |key| key.message_id(id, UNKNOWN))
    }

    /// A client's address as it may stand in a record, itself first.
    pub fn ip(&self, ip: IpAddr) -> Vec<IpAddr> {
        if self.keys.is_empty() { vec![ip.to_canonical()] } else { vec![ip.to_canonical(), network(ip)] }
    }

    fn all(&self, text: &str, hidden: impl Fn(&Key) -> String) -> Vec<String> {
        let mut all = vec![text.to_owned()];
        for spelling in self.keys.iter().map(hidden) {
            if !all.contains(&spelling) {
                all.push(spelling);
            }
        }
        all
    }
}

/// Whose client's address is not known: none is spelled by a domain.
const UNKNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
