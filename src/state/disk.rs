//! The file that outlives a restart: redb, which a crash leaves whole. Only the keeper's thread touches it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};

use crate::facts::rate::Rate;

use super::local::{Change, Changes};
use super::names::Secret;
use super::store::{Entry, Key, Shelf};
use super::window::{SLOTS, Window};

/// Octets of a count's slots.
const COUNTS: usize = 4 * SLOTS;
/// Octets of the file that are kept in memory.
const CACHE: usize = 8 * 1024 * 1024;
/// How values are laid out.
const VERSION: u64 = 2;
/// As it was before names were made under a secret.
const WITHOUT_SECRET: u64 = 1;

const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
const RATES: TableDefinition<'_, (&str, &Key), (u64, &[u8; COUNTS])> = TableDefinition::new("rates");

const KEYS: TableDefinition<'_, &str, &Secret> = TableDefinition::new("keys");

/// Since when, until when, and from where.
const fn entries(shelf: Shelf) -> TableDefinition<'static, &'static Key, (u64, u64, u32)> {
    TableDefinition::new(name(shelf))
}

/// Entries of [`WITHOUT_SECRET`].
const fn entries_before(shelf: Shelf) -> TableDefinition<'static, &'static Key, (u64, u64)> {
    TableDefinition::new(name(shelf))
}

const fn name(shelf: Shelf) -> &'static str {
    match shelf {
        Shelf::Strangers => "strangers",
        Shelf::Known => "known",
    }
}

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    /// What it holds makes no sense.
    #[error("{0}")]
    Broken(String),
    /// The disk, the permissions.
    #[error("{0}")]
    Unusable(String),
    /// Another process has it.
    #[error("another process has the file")]
    InUse,
}

impl From<redb::Error> for DiskError {
    fn from(error: redb::Error) -> Self {
        use redb::Error::{Corrupted, Io, RepairAborted, TableTypeMismatch, TypeDefinitionChanged, UpgradeRequired};
        let broken = match &error {
            Corrupted(_) | RepairAborted | UpgradeRequired(_) => true,
            TableTypeMismatch { .. } | TypeDefinitionChanged { .. } => true,
            Io(error) => matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
            _ => false,
        };
        if matches!(error, redb::Error::DatabaseAlreadyOpen) {
            return DiskError::InUse;
        }
        let text = error.to_string();
        if broken { DiskError::Broken(text) } else { DiskError::Unusable(text) }
    }
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        DiskError::Unusable(error.to_string())
    }
}

/// Any of redb's errors as ours.
fn told(error: impl Into<redb::Error>) -> DiskError {
    error.into().into()
}

/// The open file.
pub(super) struct Disk {
    database: Database,
}

/// Its path.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("state.redb")
}

/// Puts a broken file out of the way, for whoever wants to look at it; an earlier one is given up.
pub(super) fn set_aside(directory: &Path) -> io::Result<PathBuf> {
    let aside = directory.join("state.redb.broken");
    std::fs::rename(path(directory), &aside)?;
    Ok(aside)
}

/// Removes the file.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    std::fs::remove_file(path(directory))
}

impl Disk {
    /// Opens the file, which is made (0600, its directory 0700) where it is missing.
    ///
    /// # Errors
    /// It can't be used, or is broken.
    pub(super) fn open(directory: &Path) -> Result<Disk, DiskError> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let path = path(directory);
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let disk = Disk { database: builder.create(&path).map_err(told)? };
        disk.hold_to_version()?;
        Ok(disk)
    }

    fn hold_to_version(&self) -> Result<(), DiskError> {
        let transaction = self.database.begin_write().map_err(told)?;
        {
            let mut format = transaction.open_table(FORMAT).map_err(told)?;
            let version = format.get("version").map_err(told)?.map(|version| version.value());
            match version {
                Some(VERSION) => {}
                Some(WITHOUT_SECRET) => {
                    // who those were about could be tried out, and is found under no name any more
                    for shelf in Shelf::ALL {
                        transaction.delete_table(entries_before(shelf)).map_err(told)?;
                    }
                    transaction.delete_table(RATES).map_err(told)?;
                    format.insert("version", VERSION).map_err(told)?;
                }
                None => drop(format.insert("version", VERSION).map_err(told)?),
                Some(other) => {
                    return Err(DiskError::Broken(format!("it is of version {other}, not {VERSION}")));
                }
            }
        }
        transaction.commit().map_err(told)
    }

    /// The secret that entries are named under; where there is none it is `ours` from now on.
    ///
    /// # Errors
    /// It can't be read or written, or the file is broken.
    pub(super) fn secret(&self, ours: Secret) -> Result<Secret, DiskError> {
        let transaction = self.database.begin_write().map_err(told)?;
        let secret = {
            let mut secrets = transaction.open_table(KEYS).map_err(told)?;
            let kept = secrets.get("names").map_err(told)?.map(|secret| *secret.value());
            if kept.is_none() {
                secrets.insert("names", &ours).map_err(told)?;
            }
            kept.unwrap_or(ours)
        };
        transaction.commit().map_err(told)?;
        Ok(secret)
    }

    /// Octets of the file.
    pub(super) fn octets(directory: &Path) -> u64 {
        std::fs::metadata(path(directory)).map_or(0, |found| found.len())
    }

    /// Makes the file as small as what it holds.
    ///
    /// # Errors
    /// The disk's own.
    pub(super) fn compact(&mut self) -> Result<(), DiskError> {
        self.database.compact().map(drop).map_err(told)
    }

    /// Everything that is kept.
    ///
    /// # Errors
    /// It can't be read, or is broken.
    pub(super) fn read(&self) -> Result<Vec<Change>, DiskError> {
        let transaction = self.database.begin_read().map_err(told)?;
        let mut kept = Vec::new();
        for shelf in Shelf::ALL {
            let Some(table) = there(transaction.open_table(entries(shelf)))? else { continue };
            for row in table.iter().map_err(told)? {
                let (key, value) = row.map_err(told)?;
                let (since, until, origin) = value.value();
                kept.push(Change::Entry(shelf, *key.value(), Some(Entry { since, until, origin })));
            }
        }
        if let Some(table) = there(transaction.open_table(RATES))? {
            for row in table.iter().map_err(told)? {
                let (key, value) = row.map_err(told)?;
                let ((name, key), (newest, octets)) = (key.value(), value.value());
                // a rate that this version does not count
                let Ok(rate) = Rate::from_name(name) else { continue };
                kept.push(Change::Window(rate, *key, Some(Window { newest, counts: counts(octets) })));
            }
        }
        Ok(kept)
    }

    /// Makes changes durable, all or none.
    ///
    /// # Errors
    /// The disk's own; nothing was changed then.
    pub(super) fn write(&self, changes: &Changes) -> Result<(), DiskError> {
        let transaction = self.database.begin_write().map_err(told)?;
        let changes = match changes {
            Changes::Some(changes) => changes,
            Changes::All(everything) => {
                for shelf in Shelf::ALL {
                    transaction.delete_table(entries(shelf)).map_err(told)?;
                }
                transaction.delete_table(RATES).map_err(told)?;
                everything
            }
        };
        write_changes(&transaction, changes)?;
        transaction.commit().map_err(told)
    }
}

fn write_changes(transaction: &WriteTransaction, changes: &[Change]) -> Result<(), DiskError> {
    let mut strangers = transaction.open_table(entries(Shelf::Strangers)).map_err(told)?;
    let mut known = transaction.open_table(entries(Shelf::Known)).map_err(told)?;
    let mut rates = transaction.open_table(RATES).map_err(told)?;
    for change in changes {
        match change {
            Change::Entry(shelf, key, entry) => {
                let table = match shelf {
                    Shelf::Strangers => &mut strangers,
                    Shelf::Known => &mut known,
                };
                match entry {
                    Some(entry) => drop(table.insert(key, (entry.since, entry.until, entry.origin)).map_err(told)?),
                    None => drop(table.remove(key).map_err(told)?),
                }
            }
            Change::Window(rate, key, window) => {
                let name = rate.to_string();
                match window {
                    Some(window) => {
                        let value = (window.newest, &octets(&window.counts));
                        drop(rates.insert((name.as_str(), key), value).map_err(told)?);
                    }
                    None => drop(rates.remove((name.as_str(), key)).map_err(told)?),
                }
            }
        }
    }
    Ok(())
}

/// A table that was never written to is empty.
fn there<T>(table: Result<T, TableError>) -> Result<Option<T>, DiskError> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(told(error)),
    }
}

/// When the file was last written, in milliseconds since 1970; `None` where there is none.
pub(super) fn written(directory: &Path) -> Option<u64> {
    let modified = std::fs::metadata(path(directory)).ok()?.modified().ok()?;
    modified.duration_since(std::time::UNIX_EPOCH).ok().map(super::millis)
}

fn octets(counts: &[u32; SLOTS]) -> [u8; COUNTS] {
    let mut octets = [0; COUNTS];
    octets.chunks_exact_mut(4).zip(counts).for_each(|(four, count)| four.copy_from_slice(&count.to_le_bytes()));
    octets
}

fn counts(octets: &[u8; COUNTS]) -> [u32; SLOTS] {
    let mut counts = [0; SLOTS];
    let fours = octets.chunks_exact(4).map(|four| four.try_into().map(u32::from_le_bytes).unwrap_or_default());
    counts.iter_mut().zip(fours).for_each(|(count, four)| *count = four);
    counts
}
