//! A directory of the demo's own, for all that it writes.

use std::fs::{DirBuilder, remove_dir_all};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// How many names are tried.
const ATTEMPTS: usize = 10;

/// A fresh directory that nobody else may enter; it is removed when dropped, unless it is to be kept.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    /// Makes one below `parent`.
    ///
    /// # Errors
    /// It can't be made.
    pub fn new(parent: &Path) -> io::Result<Directory> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..ATTEMPTS {
            let random = getrandom::u32().map_err(|error| io::Error::other(error.to_string()))?;
            let path = parent.join(format!("gatepost-demo-{random:08x}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Directory { path, keep: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It stays from now on.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep {
            // what can't be removed is left to whoever cleans the directory of temporary files
            let _ = remove_dir_all(&self.path);
        }
    }
}
