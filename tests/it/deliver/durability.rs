//! A model of a disk that keeps only what was fsynced, run over the steps that a delivery made.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use gatepost::deliver::{Folder, Step};

use super::{Event, Fault, Script, block_on, copy, delivery, one, paths, store, three, writers};

/// What would be left after a power cut at any moment.
#[derive(Default)]
struct Model {
    /// Directories and files by path: whether their entry is durable.
    entries: HashMap<PathBuf, bool>,
    /// Files whose content is durable, by their path now.
    content: HashSet<PathBuf>,
    /// What an fsync of a directory that goes on now covers: the entries that were there when it began.
    syncing: HashMap<PathBuf, Vec<PathBuf>>,
}

impl Model {
    fn play(&mut self, root: &Path, event: &Event) -> Result<(), String> {
        match event {
            // Another writer may find a directory before we are told that it was made.
            Event::Begun(Step::MakeDirectory, path) => {
                self.entries.entry(path.clone()).or_insert(false);
                Ok(())
            }
            Event::Begun(Step::SyncDirectory, directory) => {
                let inside = self.entries.keys().filter(|path| path.parent() == Some(directory)).cloned().collect();
                self.syncing.insert(directory.clone(), inside);
                Ok(())
            }
            Event::Begun(..) => Ok(()),
            Event::Done(Step::Rename, from, _) if !self.content.contains(from) => {
                Err(format!("{} is renamed before its content is durable", from.display()))
            }
            Event::Done(step, path, to) => {
                self.done(*step, path, to.as_deref());
                Ok(())
            }
            Event::Acknowledged(files) => files.iter().try_for_each(|file| self.durable(root, file)),
        }
    }

    fn done(&mut self, step: Step, path: &Path, to: Option<&Path>) {
        match step {
            Step::SyncFile => _ = self.content.insert(path.to_owned()),
            Step::Rename => {
                let to = to.unwrap();
                self.content.remove(path);
                self.content.insert(to.to_owned());
                self.entries.insert(to.to_owned(), false);
            }
            Step::SyncDirectory => {
                for entry in self.syncing.remove(path).unwrap_or_default() {
                    self.entries.insert(entry, true);
                }
            }
            Step::Remove => _ = self.entries.remove(path),
            Step::Look
            | Step::MakeDirectory
            | Step::CreateFile
            | Step::Write
            | Step::CreateSpool
            | Step::WriteSpool => {}
        }
    }

    /// A file is durable when its content is, and every entry from the root to it.
    fn durable(&self, root: &Path, file: &Path) -> Result<(), String> {
        let path = root.join(file);
        if !self.content.contains(&path) {
            return Err(format!("{} is acknowledged without durable content", file.display()));
        }
        for entry in path.ancestors().take_while(|ancestor| *ancestor != root) {
            if self.entries.get(entry) != Some(&true) {
                return Err(format!("{} is acknowledged and {} may be lost", file.display(), entry.display()));
            }
        }
        Ok(())
    }
}

/// What the model says of a run.
pub(super) fn judge(root: &Path, events: &[Event]) -> Result<(), String> {
    let mut model = Model::default();
    events.iter().try_for_each(|event| model.play(root, event))
}

/// A run of several deliveries to fresh mailboxes and to known ones.
fn run() -> (tempfile::TempDir, Vec<Event>) {
    let root = tempfile::tempdir().unwrap();
    let script = Script::new();
    let writers = writers(root.path(), 1, &script);
    let fresh = delivery("fresh\r\n", vec![copy("carol@example.com", Folder::Junk)]);
    for delivery in [one("first\r\n"), one("second\r\n"), three(), fresh] {
        let stored = store(&writers, delivery).unwrap();
        script.note(Event::Acknowledged(paths(&stored)));
    }
    let events = script.events();
    (root, events)
}

#[test]
fn what_is_acknowledged_survives_a_power_cut() {
    let (root, events) = run();
    judge(root.path(), &events).unwrap();
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Acknowledged(_))).count(), 4);
}

#[test]
fn a_folder_that_was_removed_and_made_again_is_made_durable_again() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::new();
    let writers = writers(root.path(), 1, &script);
    let to_junk = || delivery("junk\r\n", vec![copy("carol@example.com", Folder::Junk)]);
    let mailbox = root.path().join("example.com/carol");
    let synced = || {
        let events = script.events();
        events
            .iter()
            .filter(|event| matches!(event, Event::Done(Step::SyncDirectory, path, _) if *path == mailbox))
            .count()
    };
    store(&writers, to_junk()).map(drop).unwrap();
    assert_eq!(synced(), 1);
    store(&writers, to_junk()).map(drop).unwrap();
    assert_eq!(synced(), 1, "it is known");
    // as a reader does it, in one moment as far as we see
    std::fs::remove_dir_all(mailbox.join(".Junk")).unwrap();
    for part in ["", "tmp", "new", "cur"] {
        std::fs::create_dir(mailbox.join(".Junk").join(part)).unwrap();
    }
    store(&writers, to_junk()).map(drop).unwrap();
    assert_eq!(synced(), 2);
    // or we make it, and its fsync fails: whoever comes next may not think that it is durable
    std::fs::remove_dir_all(mailbox.join(".Junk")).unwrap();
    script.fail(Step::SyncDirectory, Fault::Errno(5));
    assert!(store(&writers, to_junk()).is_err());
    store(&writers, to_junk()).map(drop).unwrap();
    assert!(synced() >= 3);
}

#[test]
fn leaving_out_any_kind_of_fsync_would_be_noticed() {
    let (root, events) = run();
    let directories: HashSet<PathBuf> = events
        .iter()
        .filter_map(|event| match event {
            Event::Done(Step::SyncDirectory, path, _) => Some(path.clone()),
            _ => None,
        })
        .collect();
    for directory in &directories {
        let without: Vec<Event> = events
            .iter()
            .filter(|event| !matches!(event, Event::Done(Step::SyncDirectory, path, _) if path == directory))
            .cloned()
            .collect();
        let entries = std::fs::read_dir(directory).unwrap().count();
        assert!(entries > 0, "{} is synced for nothing", directory.display());
        judge(root.path(), &without).expect_err(&format!("no fsync of {}", directory.display()));
    }
    let files: Vec<Event> =
        events.iter().filter(|event| !matches!(event, Event::Done(Step::SyncFile, ..))).cloned().collect();
    judge(root.path(), &files).expect_err("no fsync of a file");
}

#[test]
fn several_copies_are_all_durable_before_the_first_is_renamed() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::new();
    let writers = writers(root.path(), 1, &script);
    let _stored = store(&writers, three()).unwrap();
    let events = script.events();
    let first_rename = events.iter().position(|event| matches!(event, Event::Begun(Step::Rename, _))).unwrap();
    let last_rename = events.iter().rposition(|event| matches!(event, Event::Done(Step::Rename, ..))).unwrap();
    let synced = |events: &[Event]| {
        let files = events.iter().filter_map(|event| match event {
            Event::Done(Step::SyncFile, path, _) => Some(path.clone()),
            _ => None,
        });
        files.collect::<HashSet<_>>().len()
    };
    assert_eq!(synced(&events[..first_rename]), 3);
    assert_eq!(
        events[last_rename..].iter().filter(|event| matches!(event, Event::Done(Step::SyncDirectory, ..))).count(),
        3,
        "each new/ is synced once, after all renames"
    );
}

#[test]
fn directories_that_another_process_made_are_synced_before_they_are_trusted() {
    let root = tempfile::tempdir().unwrap();
    for name in ["tmp", "new", "cur"] {
        std::fs::create_dir_all(root.path().join("example.com/alice").join(name)).unwrap();
    }
    let script = Script::new();
    let writers = writers(root.path(), 1, &script);
    let synced = |script: &Script| {
        let mut paths: Vec<PathBuf> = Vec::new();
        for event in script.events() {
            if let Event::Done(Step::SyncDirectory, path, _) = event {
                paths.push(path.strip_prefix(root.path()).unwrap().to_owned());
            }
        }
        script.forget();
        paths
    };
    let _stored = store(&writers, one("1\r\n")).unwrap();
    let expected: Vec<PathBuf> =
        ["example.com/alice", "example.com", "", "example.com/alice/new"].map(PathBuf::from).to_vec();
    assert_eq!(synced(&script), expected);
    let _stored = store(&writers, one("2\r\n")).unwrap();
    assert_eq!(synced(&script), [PathBuf::from("example.com/alice/new")], "once is enough");
    std::fs::remove_dir_all(root.path().join("example.com/alice")).unwrap();
    let _stored = store(&writers, one("3\r\n")).unwrap();
    assert_eq!(synced(&script), expected, "made again, synced again");
}

/// Many deliveries at once, so that writers share directory fsyncs and make the same directories: each acknowledged file must be covered
/// by an fsync that began after its rename.
#[test]
fn shared_directory_fsyncs_cover_every_rename_they_serve() {
    let mut shared = 0;
    // Whether two writers meet is chance; whether what they share is sound is not.
    for round in 0..500 {
        let root = tempfile::tempdir().unwrap();
        let script = Script::new();
        let writers = writers(root.path(), 8, &script);
        block_on(async {
            let deliver = async |_number: usize| {
                let stored = writers.store(one("x\r\n")).await.unwrap();
                script.note(Event::Acknowledged(paths(&stored)));
            };
            futures_util::future::join_all((0..16).map(deliver)).await;
        });
        judge(root.path(), &script.events()).unwrap();
        shared += writers.counters().directory_syncs_shared.load(std::sync::atomic::Ordering::Relaxed);
        if shared > 0 && round >= 20 {
            return;
        }
    }
    panic!("no fsync was ever shared");
}
