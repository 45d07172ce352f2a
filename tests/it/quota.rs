//! Quotas: what a mailbox may hold, the file `maildirsize`, and what is answered when it is full.

mod dovecot;
mod hostile;
mod races;
mod sessions;
mod stale;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gatepost::deliver::quota::{Room, Sizes, Usage};
use gatepost::deliver::{Copy, DeliverError, Delivery, Folder, Limits, Payload, Stored, Unwatched, Witness, Writers};
use gatepost::recipients::{MailboxName, Quotas};
use gatepost::smtp::address::Domain;
use tokio::runtime::Runtime;

/// The mailbox of these tests.
const ALICE: &str = "local.example/alice";

/// Writers of their own, without a server.
struct Mail {
    directory: tempfile::TempDir,
    runtime: Runtime,
    writers: Arc<Writers>,
}

impl Mail {
    /// Everybody may hold so many octets; messages have 100,000 at the most.
    fn of(quota: u64) -> Mail {
        Mail::watched(quota, Arc::new(Unwatched))
    }

    /// The same, where somebody watches each step.
    fn watched(quota: u64, witness: Arc<dyn Witness>) -> Mail {
        let directory = tempfile::Builder::new().prefix("gatepost-").tempdir().unwrap();
        let limits = Limits { threads: 4, ..Limits::default() };
        let writers = Arc::new(Writers::with(directory.path().to_owned(), limits, witness));
        writers.quota().bound(Quotas::uniform(quota), 100_000);
        writers.start().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Mail { directory, runtime, writers }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn store(&self, folder: Folder, octets: usize) -> Result<Stored, DeliverError> {
        self.runtime.block_on(self.writers.store(delivery(&["alice"], folder, octets)))
    }

    fn room(&self, size: Option<u64>) -> Room {
        self.runtime.block_on(self.writers.quota().room(&[mailbox("alice")], size))
    }

    fn recounts(&self) -> u64 {
        self.writers.counters().quota_recounts.load(Ordering::Relaxed)
    }

    fn counted(&self, counter: fn(&gatepost::deliver::Counters) -> &AtomicU64) -> u64 {
        counter(self.writers.counters()).load(Ordering::Relaxed)
    }

    /// The text of alice's file.
    fn file(&self) -> String {
        fs::read_to_string(self.path(ALICE).join("maildirsize")).unwrap()
    }

    /// What alice's file says, which must be sound.
    #[track_caller]
    fn sizes(&self) -> Sizes {
        sizes(&self.path(ALICE))
    }

    /// Lays a mailbox by hand.
    fn lay(&self, files: &[(&str, usize)]) {
        for folder in ["", ".Junk"] {
            for part in ["new", "cur", "tmp"] {
                fs::create_dir_all(self.path(ALICE).join(folder).join(part)).unwrap();
            }
        }
        for (name, octets) in files {
            let path = self.path(ALICE).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![b'x'; *octets]).unwrap();
        }
    }

    fn write_file(&self, text: &[u8]) {
        fs::write(self.path(ALICE).join("maildirsize"), text).unwrap();
    }
}

fn mailbox(name: &str) -> MailboxName {
    MailboxName { domain: Domain::parse("local.example").unwrap(), name: name.to_owned() }
}

/// A message that has so many octets on disk.
fn delivery(names: &[&str], folder: Folder, octets: usize) -> Delivery {
    let header = b"Subject: x\r\n\r\n".to_vec();
    // line ends are one octet on disk
    let body = "y".repeat(octets - 14) + "\r\n";
    let copies = names.iter().map(|name| Copy {
        mailbox: mailbox(name),
        folder: folder.clone(),
        prefix: b"\r\n".to_vec(),
        header: None,
    });
    let copies = copies.collect();
    let payload = Arc::new(Payload { header, body: body.into_bytes().into() });
    Delivery { payload, copies, network: std::net::Ipv4Addr::new(192, 0, 2, 0).into() }
}

#[track_caller]
fn sizes(maildir: &Path) -> Sizes {
    let text = fs::read(maildir.join("maildirsize")).unwrap();
    Sizes::parse(&text).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&text)))
}

/// What is really there, by the files' own sizes.
fn really_used(maildir: &Path) -> Usage {
    let mut used = Usage::default();
    let mut folders = vec![maildir.to_owned()];
    for entry in fs::read_dir(maildir).unwrap().map(Result::unwrap) {
        if entry.file_name().as_encoded_bytes().starts_with(b".") && entry.file_type().unwrap().is_dir() {
            folders.push(entry.path());
        }
    }
    for folder in folders.iter().flat_map(|folder| ["new", "cur"].map(|part| folder.join(part))) {
        for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            used.bytes += entry.metadata().unwrap().len();
            used.messages += 1;
        }
    }
    used
}
