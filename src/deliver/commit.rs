//! One delivery: every copy durable in `new/`, or nothing of it anywhere.

use std::collections::HashSet;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::maildir::{Maildir, TemporaryMailFile};

use super::counters::{Counters, count};
use super::crew::{Helpers, Task};
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
struct Pending {
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

    /// Makes every copy durable, with the help of others where there are several. `wanted` says whether the sender still waits: asked before
    /// each step of each copy, for there may be a thousand of them.
    ///
    /// # Errors
    /// Nothing of the delivery is left in `tmp/` or `new/`, except what could not be taken back, which is counted.
    pub(super) fn commit(
        &self,
        delivery: &Arc<Delivery>,
        helpers: &dyn Helpers,
        wanted: impl Fn() -> bool,
    ) -> Result<Stored, DeliverError> {
        if delivery.copies.is_empty() {
            let error = io::Error::new(
                io::ErrorKind::InvalidInput,
                "a delivery without a mailbox would acknowledge a lost message",
            );
            return Err(error.into());
        }
        let faults = self.disk.suspect().faults();
        let room = self.rooms.take(delivery)?;
        let wanted = || if wanted() { Ok(()) } else { Err(DeliverError::Busy) };
        let crew = Lead { committer: self, helpers, wanted: &wanted, is_alone: false };
        let stored = self.publish(delivery, self.make_all(delivery, room, &crew)?, &crew)?;
        self.disk.suspect().succeeded(faults);
        Ok(stored)
    }

    /// Writes every copy into its `tmp/`. With one copy the fsync that goes with the rename makes it durable; several are before the first is
    /// renamed.
    fn make_all(&self, delivery: &Arc<Delivery>, room: Room, crew: &Lead<'_>) -> Result<Vec<Pending>, DeliverError> {
        if let [copy] = delivery.copies.as_slice() {
            (crew.wanted)()?;
            return Ok(vec![self.write_tmp(copy, &delivery.payload, &Mutex::new(room))?]);
        }
        let made = Arc::new(Mutex::new(Vec::new()));
        lock(&made).resize_with(delivery.copies.len(), || None);
        // a copy of a spooled body may take its time: who helps is soon free again
        let crew = Lead { is_alone: matches!(delivery.payload.body, Body::Spooled(_)), ..*crew };
        let (room, delivery, making) = (Mutex::new(room), delivery.clone(), made.clone());
        let result = crew.each(delivery.copies.len(), move |committer, number| {
            let copy = delivery.copies.get(number).ok_or_else(no_such_step)?;
            let pending = committer.write_tmp(copy, &delivery.payload, &room)?;
            committer.disk.sync_file(pending.file.path())?;
            *lock(&making).get_mut(number).ok_or_else(no_such_step)? = Some(pending);
            Ok(())
        });
        // who helped may hold the rest a moment longer
        let made = std::mem::take(&mut *lock(&made));
        result?;
        made.into_iter().map(|pending| pending.ok_or_else(|| no_such_step().into())).collect()
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

    fn write_tmp(&self, copy: &Copy, payload: &Payload, room: &Mutex<Room>) -> Result<Pending, DeliverError> {
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
        let written = lock(room).wrote(copy, payload);
        Ok(Pending { folder, maildir, file, written })
    }

    /// Renames every copy into its `new/` and makes that durable.
    fn publish(&self, delivery: &Delivery, pending: Vec<Pending>, crew: &Lead<'_>) -> Result<Stored, DeliverError> {
        let mut published = Published { committer: self, files: Vec::with_capacity(pending.len()) };
        let mut directories = HashSet::with_capacity(pending.len());
        let is_alone = pending.len() == 1;
        for Pending { folder, maildir, file, written } in pending {
            (crew.wanted)()?;
            let path =
                if is_alone { self.disk.publish(&folder, &maildir, file)? } else { self.disk.rename(&folder, file)? };
            published.files.push((path, written));
            directories.insert(folder.join("new"));
        }
        let directories: Vec<PathBuf> = directories.into_iter().collect();
        if let [directory] = directories.as_slice() {
            (crew.wanted)()?;
            self.ground().sync(directory)?;
        } else {
            crew.each(directories.len(), move |committer, number| {
                let directory = directories.get(number).ok_or_else(no_such_step)?;
                Ok(committer.ground().sync(directory)?)
            })?;
        }
        let files = delivery.copies.iter().zip(&published.files);
        let files: io::Result<Vec<StoredFile>> = files.map(|(copy, (path, _))| self.stored_file(copy, path)).collect();
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

    /// A step of a delivery panicked.
    pub(super) fn note_panic(&self) {
        count(&self.counters.panics);
    }

    /// Removes what a delivery stored that nobody was told of.
    pub(super) fn take_back(&self, stored: &Stored) {
        let files =
            stored.files.iter().map(|file| (self.root.join(&file.path), self.rooms.stored(file.bytes))).collect();
        drop(Published { committer: self, files });
    }
}

/// The writer of a delivery, and who helps it.
struct Lead<'a> {
    committer: &'a Committer,
    helpers: &'a dyn Helpers,
    wanted: &'a dyn Fn() -> Result<(), DeliverError>,
    /// Nobody is to help.
    is_alone: bool,
}

impl Lead<'_> {
    /// Makes so many steps, in any order.
    fn each(
        &self,
        count: usize,
        make: impl Fn(&Committer, usize) -> Result<(), DeliverError> + Send + Sync + 'static,
    ) -> Result<(), DeliverError> {
        let task = Task::new(count, make);
        if !self.is_alone {
            self.helpers.offer(&task);
        }
        let result = task.finish(self.committer, self.wanted);
        self.helpers.withdraw(&task);
        result
    }
}

fn no_such_step() -> io::Error {
    io::Error::other("a step that the delivery doesn't have")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
