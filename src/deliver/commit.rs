//! One delivery: every copy durable in `new/`, or nothing of it anywhere.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::maildir::{Maildir, TemporaryMailFile};

use super::counters::{Counters, count};
use super::disk::Disk;
use super::group_sync::GroupSync;
use super::lines::LfWriter;
use super::place::{Durable, Ground};
use super::room::{Room, Rooms, Written};
use super::space::Space;
use super::{Copy, DeliverError, Delivery, Payload, Stored, StoredFile, spool};
use crate::message::content::Body;

/// Octets that are gathered before they are written.
const BUFFER_OCTETS: usize = 64 * 1024;

/// Makes deliveries below one root; shared by all writers.
pub(super) struct Committer {
    root: PathBuf,
    disk: Disk,
    syncs: GroupSync,
    durable: Durable,
    rooms: Rooms,
    counters: Arc<Counters>,
}

/// A copy in `tmp/`. Dropped, it is removed.
struct Pending<'a> {
    copy: &'a Copy,
    folder: PathBuf,
    maildir: Maildir,
    file: TemporaryMailFile,
    /// Below the file: it is given back after that is gone.
    written: Written,
}

impl Committer {
    pub(super) fn new(root: PathBuf, disk: Disk, space: Arc<Space>, counters: Arc<Counters>) -> Self {
        let (syncs, durable) = (GroupSync::default(), Durable::default());
        Committer { root, disk, syncs, durable, rooms: Rooms::new(space), counters }
    }

    /// Makes every copy durable. `wanted` says whether the sender still waits: asked before each step of each copy, for there may be a
    /// thousand of them.
    ///
    /// # Errors
    /// Nothing of the delivery is left in `tmp/` or `new/`, except what could not be taken back, which is counted.
    pub(super) fn commit(&self, delivery: &Delivery, wanted: impl Fn() -> bool) -> Result<Stored, DeliverError> {
        if delivery.copies.is_empty() {
            let error = io::Error::new(
                io::ErrorKind::InvalidInput,
                "a delivery without a mailbox would acknowledge a lost message",
            );
            return Err(error.into());
        }
        let faults = self.disk.suspect().faults();
        let mut room = self.rooms.take(delivery)?;
        let mut pending = Vec::with_capacity(delivery.copies.len());
        let wanted = || if wanted() { Ok(()) } else { Err(DeliverError::Busy) };
        for copy in &delivery.copies {
            wanted()?;
            pending.push(self.write_tmp(copy, &delivery.payload, &mut room)?);
        }
        // With one copy the fsync that goes with the rename does; with several none may be renamed before all are durable.
        if pending.len() > 1 {
            for copy in &pending {
                wanted()?;
                self.disk.sync_file(copy.file.path())?;
            }
        }
        let stored = self.publish(pending, &wanted)?;
        self.disk.suspect().succeeded(faults);
        Ok(stored)
    }

    /// Writes a part of a body that comes in.
    pub(super) fn spool(&self, work: spool::Work) {
        work.run(&self.disk, &self.root);
    }

    fn ground(&self) -> Ground<'_> {
        Ground {
            root: &self.root,
            disk: &self.disk,
            syncs: &self.syncs,
            durable: &self.durable,
            counters: &self.counters,
        }
    }

    fn write_tmp<'a>(&self, copy: &'a Copy, payload: &Payload, room: &mut Room) -> Result<Pending<'a>, DeliverError> {
        let folder = self.ground().prepare(copy)?;
        let maildir = Maildir::from(folder.clone());
        let mut file = self.disk.create_tmp(&folder, &maildir)?;
        self.disk.write(&mut file, |file| {
            let header = copy.header.as_deref().unwrap_or(&payload.header);
            let octets = copy.prefix.len().saturating_add(header.len()).saturating_add(payload.body.memory_bytes());
            let mut out = LfWriter::new(BufWriter::with_capacity(octets.min(BUFFER_OCTETS), &mut *file));
            out.write(&copy.prefix)?;
            out.write(header)?;
            for piece in payload.body.pieces() {
                out.write(piece)?;
            }
            out.finish()?;
            match &payload.body {
                Body::Memory(_) => Ok(()),
                Body::Spooled(spool) => spool::append(spool, file.path()),
            }
        })?;
        let written = room.wrote(copy, payload);
        Ok(Pending { copy, folder, maildir, file, written })
    }

    fn publish(
        &self,
        pending: Vec<Pending<'_>>,
        wanted: &impl Fn() -> Result<(), DeliverError>,
    ) -> Result<Stored, DeliverError> {
        let mut published = Published { committer: self, files: Vec::with_capacity(pending.len()) };
        let mut directories = Vec::with_capacity(pending.len());
        for Pending { copy, folder, maildir, file, written } in pending {
            wanted()?;
            let path = self.disk.publish(&folder, &maildir, file)?;
            published.files.push((path.clone(), written));
            directories.push((copy, folder.join("new"), path));
        }
        let mut synced: Vec<&Path> = Vec::new();
        for (_, new, _) in &directories {
            if !synced.contains(&new.as_path()) {
                wanted()?;
                self.ground().sync(new)?;
                synced.push(new);
            }
        }
        let files: io::Result<Vec<StoredFile>> =
            directories.iter().map(|(copy, _, path)| self.stored_file(copy, path)).collect();
        let stored = Stored { files: files? };
        published.files.drain(..).for_each(|(_, written)| written.keep());
        Ok(stored)
    }

    fn stored_file(&self, copy: &Copy, path: &Path) -> io::Result<StoredFile> {
        let below = path.strip_prefix(&self.root).map_err(io::Error::other)?;
        Ok(StoredFile {
            mailbox: copy.mailbox.clone(),
            folder: copy.folder.clone(),
            path: below.to_owned(),
            bytes: size_in_name(path)?,
        })
    }

    /// Removes what a delivery stored that nobody was told of.
    pub(super) fn take_back(&self, stored: &Stored) {
        let files =
            stored.files.iter().map(|file| (self.root.join(&file.path), self.rooms.stored(file.bytes))).collect();
        drop(Published { committer: self, files });
    }
}

/// The `,S=` of a name. A reader may have moved the file already, so that its name is asked and not the disk.
fn size_in_name(path: &Path) -> io::Result<u64> {
    let name = path.file_name().and_then(|name| name.to_str());
    let size = name.and_then(|name| name.rsplit_once(",S=")).and_then(|(_, size)| size.parse().ok());
    size.ok_or_else(|| io::Error::other("a file name without its size"))
}

/// Files in `new/` that are not acknowledged. Dropped before they are, on an error or a panic, they are taken back.
struct Published<'a> {
    committer: &'a Committer,
    files: Vec<(PathBuf, Written)>,
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        let counters = &self.committer.counters;
        for (file, written) in self.files.drain(..) {
            // A reader that has moved it to cur/ has seen it: there it stays, and the sender's retry adds a second one.
            match self.committer.disk.remove(&file) {
                Ok(()) => count(&counters.taken_back),
                Err(_) => {
                    written.keep();
                    count(&counters.left_behind);
                }
            }
        }
    }
}
