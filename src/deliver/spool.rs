//! Bodies that go to disk while they come in: into a file without a name on the Maildir's file system, so that a copy is made within it
//! and a crash leaves nothing. The writers write; whoever hands octets over waits for those before them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Seek, Write};
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, copy_file_range};
use tokio::sync::oneshot;

use super::disk::{Disk, Step};
use super::lines::LfWriter;
use super::spooled::Reserved;
use super::writers::Writers;
use super::{DeliverError, counters::count};
use crate::message::pieces::Pieces;
use crate::message::spool::Spool;

/// Where files get their name for a moment on a file system that has none without (NFS, FUSE). No domain can have this name.
pub(super) const FALLBACK: &str = ".gatepost-spool";
/// Octets that are written at once: a copy of the whole part would stand beside it.
const BLOCK_OCTETS: usize = 32 * 1024;
/// Octets that are copied at once.
const COPY_OCTETS: usize = 16 * 1024 * 1024;
/// The same where they go through memory.
const CHUNK_OCTETS: usize = 64 * 1024;

/// A body that is being written, in the hands of one writer at a time.
pub(super) struct Body {
    /// `None` before the first octets. Above what it holds of the disk: that is given back after the file is gone.
    file: Option<File>,
    reserved: Reserved,
    held_cr: bool,
    received: u64,
    /// Octets of the file, once it is whole.
    stored: u64,
}

impl Body {
    fn new(reserved: Reserved) -> Self {
        Body { file: None, reserved, held_cr: false, received: 0, stored: 0 }
    }

    /// Takes the next octets, and turns each CRLF into LF.
    fn write(&mut self, disk: &Disk, root: &Path, octets: &Pieces) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => unnamed(disk, root)?,
        };
        let held_cr = disk.step(Step::WriteSpool, root, || {
            let room = BufWriter::with_capacity(octets.len().min(BLOCK_OCTETS), &mut file);
            let mut lines = LfWriter::resuming(room, self.held_cr);
            octets.iter().try_for_each(|piece| lines.write(piece))?;
            let (mut room, held_cr) = lines.into_parts();
            room.flush().map(|()| held_cr)
        })?;
        self.file = Some(file);
        self.held_cr = held_cr;
        self.received = self.received.saturating_add(octets.len() as u64);
        Ok(())
    }

    fn finish(&mut self, disk: &Disk, root: &Path) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if std::mem::take(&mut self.held_cr) {
            disk.step(Step::WriteSpool, root, || file.write_all(b"\r"))?;
        }
        self.stored = file.stream_position()?;
        Ok(())
    }
}

/// What a writer is to do for a spooled body.
pub(super) struct Work {
    body: Body,
    octets: Pieces,
    is_last: bool,
    answer: oneshot::Sender<Result<Body, DeliverError>>,
}

impl Work {
    /// Does it. Where nobody waits for the answer any more, the file goes away here.
    pub(super) fn run(self, disk: &Disk, root: &Path) {
        let Work { body, octets, is_last, answer } = self;
        let result = written(body, &octets, is_last, disk, root);
        drop(octets);
        drop(answer.send(result.map_err(DeliverError::from)));
    }
}

fn written(mut body: Body, octets: &Pieces, is_last: bool, disk: &Disk, root: &Path) -> io::Result<Body> {
    body.write(disk, root, octets)?;
    if is_last {
        body.finish(disk, root)?;
    }
    Ok(body)
}

/// A file without a name.
fn unnamed(disk: &Disk, root: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    // O_EXCL: nobody can give it a name later
    let flags = (OFlag::O_TMPFILE | OFlag::O_EXCL).bits();
    match disk.step(Step::CreateSpool, root, || options.clone().custom_flags(flags).open(root)) {
        Err(error) if !is_of_space(&error) => named_for_a_moment(disk, root, options.create_new(true)),
        result => result,
    }
}

fn is_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// The same on a file system that has no such files: a crash between the two steps leaves an empty file, which
/// [`super::clean::clean_spool`] removes at the next start.
fn named_for_a_moment(disk: &Disk, root: &Path, options: &OpenOptions) -> io::Result<File> {
    let directory = root.join(FALLBACK);
    disk.make_directory(&directory)?;
    let mark = getrandom::u64().map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let path = directory.join(format!("{mark:016x}"));
    let file = disk.step(Step::CreateFile, &path, || options.open(&path))?;
    // says that it is in use; where there are no locks its age has to
    drop(file.try_lock());
    match disk.remove(&path) {
        // another process that started just now may have been faster than our lock
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(file),
        removed => removed.map(|()| file),
    }
}

/// Appends a spooled body to a copy that has its header already.
pub(super) fn append(spool: &Spool, copy: &Path) -> io::Result<()> {
    let from = spool.file()?;
    let to = OpenOptions::new().write(true).open(copy)?;
    let mut copying = Copying { from, to: &to, read: 0, written: to.metadata()?.len(), left: spool.stored_bytes() };
    copying.within_the_kernel()?;
    copying.through_memory()
}

struct Copying<'a> {
    from: &'a File,
    to: &'a File,
    read: u64,
    written: u64,
    left: u64,
}

impl Copying<'_> {
    /// By copy_file_range(2), as long as the file systems do it: some share the blocks.
    fn within_the_kernel(&mut self) -> io::Result<()> {
        while self.left > 0 {
            let wanted = usize::try_from(self.left).unwrap_or(COPY_OCTETS).min(COPY_OCTETS);
            let (Ok(mut read), Ok(mut written)) = (i64::try_from(self.read), i64::try_from(self.written)) else {
                return Ok(());
            };
            match copy_file_range(self.from, Some(&mut read), self.to, Some(&mut written), wanted) {
                Ok(0) => return Ok(()),
                Ok(octets) => self.went(octets),
                Err(Errno::EINTR) => {}
                Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EIO | Errno::EFBIG)) => return Err(error.into()),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// What is left, by reading and writing.
    fn through_memory(&mut self) -> io::Result<()> {
        let mut chunk = Vec::new();
        while self.left > 0 {
            chunk.resize(usize::try_from(self.left).unwrap_or(CHUNK_OCTETS).min(CHUNK_OCTETS), 0);
            self.from.read_exact_at(&mut chunk, self.read)?;
            self.to.write_all_at(&chunk, self.written)?;
            self.went(chunk.len());
        }
        Ok(())
    }

    fn went(&mut self, octets: usize) {
        let octets = octets as u64;
        self.read = self.read.saturating_add(octets);
        self.written = self.written.saturating_add(octets);
        self.left = self.left.saturating_sub(octets);
    }
}

/// A body on its way to disk. Dropped, nothing of it stays.
pub struct Spooling {
    writers: Arc<Writers>,
    state: State,
}

enum State {
    /// All that was handed over; at first that is nothing.
    Written(Body),
    UnderWay(oneshot::Receiver<Result<Body, DeliverError>>),
    Failed,
}

impl Spooling {
    pub(super) fn new(writers: Arc<Writers>, network: IpAddr) -> Self {
        let state = State::Written(Body::new(writers.spooled().of(network)));
        Spooling { writers, state }
    }

    /// Hands the next octets to a writer, after those before them are written: at most one part is under way.
    ///
    /// # Errors
    /// There is no room for them, what was handed over before could not be written, or no writer has room in time. The body is given
    /// up then.
    pub async fn write(&mut self, octets: Pieces) -> Result<(), DeliverError> {
        self.hand_over(octets, false).await
    }

    /// Waits until all that was handed over is written.
    ///
    /// # Errors
    /// It could not be. The body is given up then.
    pub async fn settle(&mut self) -> Result<(), DeliverError> {
        self.state = State::Written(self.settled().await?);
        Ok(())
    }

    /// Writes the last octets; the body is whole then.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn finish(mut self, octets: Pieces) -> Result<Spool, DeliverError> {
        self.hand_over(octets, true).await?;
        let Body { file, reserved, received, stored, .. } = self.settled().await?;
        let file = file.ok_or(DeliverError::Busy)?;
        let counters = self.writers.counters();
        count(&counters.spooled);
        counters.spooled_bytes.fetch_add(received, std::sync::atomic::Ordering::Relaxed);
        let writers = Arc::downgrade(&self.writers);
        let close = move |file| {
            if let Some(writers) = writers.upgrade() {
                writers.close_file(file, reserved);
            }
        };
        Ok(Spool::new(file, received, stored, close))
    }

    async fn hand_over(&mut self, octets: Pieces, is_last: bool) -> Result<(), DeliverError> {
        let mut body = self.settled().await?;
        if let Err(error) = self.noted(body.reserved.take(octets.len() as u64)) {
            self.close(body);
            return Err(error);
        }
        let (answer, answered) = oneshot::channel();
        let weight = octets.len();
        let handed = self.writers.spool(Work { body, octets, is_last, answer }, weight).await;
        self.noted(handed)?;
        self.state = State::UnderWay(answered);
        Ok(())
    }

    /// What is written so far. Afterwards it counts as failed until a state is set.
    async fn settled(&mut self) -> Result<Body, DeliverError> {
        let result = match std::mem::replace(&mut self.state, State::Failed) {
            State::Written(body) => Ok(body),
            State::UnderWay(answered) => {
                let answer = tokio::time::timeout(self.writers.patience(), answered).await;
                answer.map_or(Err(DeliverError::Busy), |answer| answer.unwrap_or(Err(DeliverError::Busy)))
            }
            State::Failed => Err(DeliverError::Busy),
        };
        self.noted(result)
    }

    fn close(&self, body: Body) {
        if let Some(file) = body.file {
            self.writers.close_file(file, body.reserved);
        }
    }

    fn noted<T>(&self, result: Result<T, DeliverError>) -> Result<T, DeliverError> {
        result.inspect_err(|error| self.writers.counters().note_error(error))
    }
}

impl Drop for Spooling {
    fn drop(&mut self) {
        if let State::Written(body) = std::mem::replace(&mut self.state, State::Failed) {
            self.close(body);
        }
    }
}
