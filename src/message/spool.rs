//! A body that lies on disk instead of in memory: how large it is, and how its octets are had back.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Octets that are read at once.
const CHUNK: usize = 64 * 1024;

/// A body in a file that has no name: when nobody holds it any more, it is gone. Lines end in LF there, as Maildirs have them.
#[derive(Clone)]
pub struct Spool {
    file: Arc<Unnamed>,
    received: u64,
    stored: u64,
}

/// A large file takes its time to go away, which the thread that drops it last may not have.
struct Unnamed {
    file: Option<File>,
    close: Option<Box<dyn FnOnce(File) + Send + Sync>>,
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let (Some(file), Some(close)) = (self.file.take(), self.close.take()) {
            close(file);
        }
    }
}

impl Spool {
    /// A file of `stored` octets, which were `received` with CRLF line ends; `close` drops it.
    pub fn new(file: File, received: u64, stored: u64, close: impl FnOnce(File) + Send + Sync + 'static) -> Spool {
        Spool { file: Arc::new(Unnamed { file: Some(file), close: Some(Box::new(close)) }), received, stored }
    }

    /// Octets of the body as received.
    pub fn bytes(&self) -> u64 {
        self.received
    }

    /// Octets of the file.
    pub fn stored_bytes(&self) -> u64 {
        self.stored
    }

    /// The file, to be read at offsets: others may read it too.
    ///
    /// # Errors
    /// None: it is there as long as this is.
    pub fn file(&self) -> io::Result<&File> {
        self.file.file.as_ref().ok_or_else(|| io::Error::other("a spooled body without its file"))
    }

    /// The body as received, its first `most` octets. Blocks: not for an async task.
    ///
    /// # Errors
    /// The file can't be read, or is shorter than it was.
    pub fn read(&self, most: usize) -> io::Result<Vec<u8>> {
        let file = self.file()?;
        let wanted = usize::try_from(self.received).unwrap_or(usize::MAX).min(most);
        let mut body = Vec::with_capacity(wanted.saturating_add(2 * CHUNK));
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while body.len() < wanted {
            let read = file.read_at(&mut chunk, at)?;
            let octets = chunk.get(..read).filter(|octets| !octets.is_empty());
            let octets = octets.ok_or(io::ErrorKind::UnexpectedEof)?;
            at = at.saturating_add(read as u64);
            for line in octets.split_inclusive(|octet| *octet == b'\n') {
                match line.strip_suffix(b"\n") {
                    Some(text) => {
                        body.extend_from_slice(text);
                        body.extend_from_slice(b"\r\n");
                    }
                    None => body.extend_from_slice(line),
                }
            }
        }
        body.truncate(wanted);
        Ok(body)
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("received", &self.received).field("stored", &self.stored).finish_non_exhaustive()
    }
}

/// The same file.
impl PartialEq for Spool {
    fn eq(&self, other: &Spool) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

impl Eq for Spool {}
