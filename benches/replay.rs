//! How long `gatepost policy replay` takes over a million records, and how much memory: the program itself, over a journal on disk.
//! `RECORDS` and `DIRECTORY` in the environment choose another number and another place.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

#[allow(dead_code)]
#[path = "../tests/it/support/journal_lines.rs"]
mod journal_lines;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The most memory that a process has had, in kB; 0 once it is gone.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

fn replay(journal: &std::path::Path, records: u64) {
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/default.toml");
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["policy", "replay", policy, "--json"])
        .arg(journal)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut most = 0;
    let status = loop {
        most = most.max(peak(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert!(status.success());
    println!("{records} records: {:.1} s, {} MB of memory at most", began.elapsed().as_secs_f64(), most / 1_024);
}

fn main() {
    let variable = |name: &str| std::env::var(name).ok();
    let records: u64 = variable("RECORDS").and_then(|number| number.parse().ok()).unwrap_or(1_000_000);
    let directory = match variable("DIRECTORY") {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")),
    };
    let directory = directory.unwrap();
    for part in [records / 10, records] {
        let path = directory.path().join(format!("{part}.jsonl"));
        let mut file = BufWriter::new(File::create(&path).unwrap());
        (0..part).for_each(|number| writeln!(file, "{}", journal_lines::line(number)).unwrap());
        file.flush().unwrap();
        replay(&path, part);
    }
}
