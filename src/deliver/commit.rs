//! One delivery: every copy durable in `new/`, or nothing of it anywhere.

use std::collections::BTreeSet;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ::maildir::{Maildir, TemporaryMailFile};

use super::counters::{Counters, count};
use super::disk::Disk;
use super::group_sync::GroupSync;
use super::lines::LfWriter;
use super::place::{Durable, Ground};
use super::room::{Room, Rooms, Written};
use super::space::Space;
use super::steps::{Crew, Steps, Wanted};
use super::{Copy, DeliverError, Delivery, Payload, Stored, StoredFile, lock, spool};
use crate::message::content::Body;

/// Octets that are gathered before they are written.
const BUFFER_OCTETS: usize = 64 * 1024;

/// So few copies one writer makes alone: to hand one over costs more than it saves.
const FEW: usize = 4;

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

    /// Makes every copy durable, with the help of others where there are many. `wanted` is asked before each copy is written, renamed and made
    /// durable, for there may be a thousand of them.
    ///
    /// # Errors
    /// Nothing of the delivery is left in `tmp/` or `new/`, except what could not be taken back, which is counted.
    pub(super) fn commit(
        &self,
        delivery: &Arc<Delivery>,
        crew: &dyn Crew,
        wanted: &Wanted,
    ) -> Result<Stored, DeliverError> {
        if delivery.copies.is_empty() {
            let error = io::Error::new(
                io::ErrorKind::InvalidInput,
                "a delivery without a mailbox would acknowledge a lost message",
            );
            return Err(error.into());
        }
        let (faults, of_directories) = (self.disk.suspect().faults(), self.disk.suspect().faults_of_directories());
        // kept until the end: what was taken and not written is given back after the files are gone, or stay
        let room = Arc::new(Mutex::new(self.rooms.take(delivery)?));
        let maker = Maker { committer: self, crew, wanted };
        let pending = maker.write_all(delivery, &room)?;
        let stored = maker.publish(delivery, pending, of_directories)?;
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

/// The writer of one delivery.
struct Maker<'a> {
    committer: &'a Committer,
    crew: &'a dyn Crew,
    wanted: &'a Wanted,
}

impl Maker<'_> {
    /// Writes every copy into its `tmp/`. With one copy the fsync that goes with the rename makes it durable; several are before the first is
    /// renamed.
    fn write_all(&self, delivery: &Arc<Delivery>, room: &Arc<Mutex<Room>>) -> Result<Vec<Pending>, DeliverError> {
        if let [copy] = delivery.copies.as_slice() {
            self.still_wanted()?;
            return Ok(vec![self.committer.write_tmp(copy, &delivery.payload, room)?]);
        }
        // a copy of a spooled body may take its time, and who helps is to be free again soon
        let has_help = delivery.copies.len() > FEW && matches!(delivery.payload.body, Body::Memory(_));
        let written = Arc::new(Mutex::new(Vec::new()));
        lock(&written).resize_with(delivery.copies.len(), || None);
        let (room, delivery, writing) = (room.clone(), delivery.clone(), written.clone());
        self.each(delivery.copies.len(), has_help, move |committer, number| {
            let copy = delivery.copies.get(number).ok_or_else(no_such_step)?;
            let pending = committer.write_tmp(copy, &delivery.payload, &room)?;
            committer.disk.sync_file(pending.file.path())?;
            *lock(&writing).get_mut(number).ok_or_else(no_such_step)? = Some(pending);
            Ok(())
        })?;
        let written = std::mem::take(&mut *lock(&written));
        written.into_iter().map(|pending| pending.ok_or_else(|| no_such_step().into())).collect()
    }

    /// Renames every copy into its `new/` and makes that durable. `faults` are those of directories before the delivery began.
    fn publish(&self, delivery: &Delivery, pending: Vec<Pending>, faults: u64) -> Result<Stored, DeliverError> {
        let committer = self.committer;
        let mut published = Published { committer, files: Vec::with_capacity(pending.len()) };
        let mut directories = BTreeSet::new();
        let has_one_copy = pending.len() == 1;
        for pending in pending {
            self.still_wanted()?;
            let Pending { folder, maildir, file, written } = pending;
            let path = if has_one_copy {
                committer.disk.publish(&folder, &maildir, file)?
            } else {
                committer.disk.rename(&folder, file)?
            };
            published.files.push((path, written));
            directories.insert(folder.join("new"));
        }
        let directories: Vec<PathBuf> = directories.into_iter().collect();
        self.each(directories.len(), directories.len() > FEW, move |committer, number| {
            let directory = directories.get(number).ok_or_else(no_such_step)?;
            Ok(committer.ground().sync(directory)?)
        })?;
        committer.disk.must_have_no_more_faults(&committer.root, faults)?;
        let files = delivery.copies.iter().zip(&published.files);
        let files: io::Result<Vec<StoredFile>> =
            files.map(|(copy, (path, _))| committer.stored_file(copy, path)).collect();
        let stored = Stored { files: files? };
        published.files.drain(..).for_each(|(_, written)| written.keep());
        Ok(stored)
    }

    /// Makes so many steps, in any order where there is help.
    fn each(
        &self,
        count: usize,
        has_help: bool,
        make: impl Fn(&Committer, usize) -> Result<(), DeliverError> + Send + Sync + 'static,
    ) -> Result<(), DeliverError> {
        let steps = Steps::new(count, self.wanted.clone(), make);
        if has_help {
            self.crew.offer(&steps);
        }
        let result = steps.finish(self.committer);
        if has_help {
            self.crew.withdraw(&steps);
        }
        result
    }

    fn still_wanted(&self) -> Result<(), DeliverError> {
        if (self.wanted)() { Ok(()) } else { Err(DeliverError::Busy) }
    }
}

fn no_such_step() -> io::Error {
    io::Error::other("a step that the delivery doesn't have")
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
