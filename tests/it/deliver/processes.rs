//! What only a process of its own shows: a kill in the midst of deliveries, and the system calls as the kernel sees them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gatepost::deliver::Folder;

use super::{Script, block_on, copy, delivery, files_in, program, store, three, writers};

/// Where the child delivers to; without it the child's test does nothing.
const ROOT: &str = "GATEPOST_TEST_MAILDIR";
/// `endless` or `once`.
const WORK: &str = "GATEPOST_TEST_WORK";

/// Lines of the messages that the child writes until it is killed.
const LINES: usize = 2000;

fn long_body() -> String {
    let mut body = "a line of the body\r\n".repeat(LINES);
    body.push_str("the end\r\n");
    body
}

/// The child of the tests below, which is started by them alone.
#[test]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let root = PathBuf::from(root);
    let writers = writers(&root, 4, &Script::new());
    if std::env::var_os(WORK).is_some_and(|work| work == "once") {
        let _stored = store(&writers, three()).unwrap();
        return;
    }
    block_on(async {
        let forever = async |number: usize| {
            loop {
                let copies = vec![
                    copy(&format!("user{number}@example.com"), Folder::Inbox),
                    copy("all@example.com", Folder::Inbox),
                ];
                let stored = writers.store(delivery(&long_body(), copies)).await.unwrap();
                let lines: String =
                    stored.files().iter().map(|file| format!("stored {}\n", file.path().display())).collect();
                std::io::stderr().write_all(lines.as_bytes()).unwrap();
            }
        };
        futures_util::future::join_all((0..4).map(forever)).await;
    });
}

fn child_command(root: &Path, work: &str) -> (PathBuf, [&'static str; 3], [(&'static str, std::ffi::OsString); 2]) {
    let program = std::env::current_exe().unwrap();
    (program, ["--exact", "deliver::processes::child", "--nocapture"], [(ROOT, root.into()), (WORK, work.into())])
}

#[test]
fn a_kill_in_the_midst_leaves_whole_messages_and_all_that_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let (program, arguments, environment) = child_command(root.path(), "endless");
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut acknowledged = BTreeSet::new();
    let mut take = |line: std::io::Result<String>| {
        if let Some(path) = line.unwrap().strip_prefix("stored ") {
            acknowledged.insert(PathBuf::from(path));
        }
        acknowledged.len()
    };
    while take(lines.next().expect("the child delivers until it is killed")) < 60 {}
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    // What it had told before the kill and we had not read. A line that the kill cut short was no acknowledgement.
    let complete = root.path().to_owned();
    lines
        .map_while(Result::ok)
        .filter(|line| line.strip_prefix("stored ").is_some_and(|path| complete.join(path).is_file()))
        .for_each(|line| _ = take(Ok(line)));
    let new = files_in(root.path(), "new");
    assert!(acknowledged.is_subset(&new), "{:?}", acknowledged.difference(&new).collect::<Vec<_>>());
    for file in &new {
        let text = std::fs::read_to_string(root.path().join(file)).unwrap();
        assert!(text.starts_with("Delivered-To: "), "{}", file.display());
        assert_eq!(text.lines().count(), LINES + 4, "{}", file.display());
        assert!(text.ends_with("\nthe end\n"), "{}", file.display());
        assert!(file.to_str().unwrap().ends_with(&format!(",S={}", text.len())));
    }
}

/// The order as the kernel sees it: the witness of the other tests stands before the crate that fsyncs and renames, strace behind it.
#[test]
fn the_kernel_sees_every_fsync_in_its_order() {
    if !program("strace") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let (program, arguments, environment) = child_command(&root, "once");
    let status = Command::new("strace")
        .args(["-f", "-y", "-qq", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", "-o"])
        .arg(log.path())
        .arg(program)
        .args(arguments)
        .envs(environment)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&status.stderr);
    if !status.status.success() && told.contains("ptrace") {
        println!("left out: strace may not trace here: {told}");
        return;
    }
    assert!(status.status.success(), "{told}");
    let log = std::fs::read_to_string(log.path()).unwrap();
    let calls: Vec<&str> = log.lines().filter(|line| line.contains(root.to_str().unwrap())).collect();
    let position = |what: &dyn Fn(&str) -> bool| calls.iter().position(|call| what(call));
    let files = files_in(&root, "new");
    assert_eq!(files.len(), 3);
    let first_rename = position(&|call| call.contains("rename")).unwrap();
    for file in &files {
        let path = root.join(file);
        let rename = position(&|call| call.contains("rename") && call.contains(path.to_str().unwrap())).unwrap();
        let tmp = calls[rename].split('"').nth(1).unwrap();
        let file_sync =
            position(&|call| call.contains("sync(") && call.contains(&format!("<{tmp}>"))).expect("fsync of the file");
        let new = path.parent().unwrap();
        let synced = |directory: &Path| {
            position(&|call: &str| call.contains("sync(") && call.contains(&format!("<{}>", directory.display())))
        };
        assert!(file_sync < first_rename && first_rename <= rename, "{calls:#?}");
        assert!(synced(new).expect("fsync of new/") > rename, "{calls:#?}");
        for parent in new.ancestors().skip(1).take_while(|parent| parent.starts_with(&root)) {
            synced(parent).unwrap_or_else(|| panic!("fsync of {}: {calls:#?}", parent.display()));
        }
    }
}
