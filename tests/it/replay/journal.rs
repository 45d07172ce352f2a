//! Reading the journal in blocks: whatever a reader gives at a time, the lines are the same.

use std::io::{self, Read};

use gatepost::observe::journal::{BLOCK, Blocks, files_since};

/// Gives so many octets at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(self.0.len()).min(buffer.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

/// The lengths of the lines, and how many were too long.
fn lines(text: &[u8], at_a_time: usize) -> (Vec<usize>, u64) {
    let mut blocks = Blocks::of(Slow(text, at_a_time));
    let (mut found, mut skipped) = (Vec::new(), 0);
    while let Some(block) = blocks.next_block().unwrap() {
        assert!(block.text.len() <= 2 * BLOCK && block.text.capacity() <= 2 * BLOCK + 64);
        if !block.text.is_empty() {
            found.extend(block.lines().map(<[u8]>::len));
        }
        skipped += block.skipped;
    }
    (found, skipped)
}

#[test]
fn lines_are_whole_however_they_are_read() {
    let long = BLOCK / 2 + 7;
    let text = |lengths: &[usize]| lengths.iter().map(|n| "x".repeat(*n)).collect::<Vec<_>>().join("\n").into_bytes();
    for lengths in [vec![3], vec![3, 0, 5], vec![0, 3], vec![long, long, long, 1, long], vec![BLOCK - 1, BLOCK - 2, 9]]
    {
        for at_a_time in [4_093, BLOCK, usize::MAX] {
            let mut text = text(&lengths);
            assert_eq!(lines(&text, at_a_time), (lengths.clone(), 0));
            text.push(b'\n');
            assert_eq!(lines(&text, at_a_time), (lengths.clone(), 0), "with a last end");
        }
    }
    assert_eq!(lines(b"", 10), (vec![], 0));
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_counted() {
    for long in [2 * BLOCK, 3 * BLOCK + 5, 7 * BLOCK] {
        let text = ["a".repeat(5), "x".repeat(long), "b".repeat(6), "c".repeat(BLOCK / 2)].join("\n");
        assert_eq!(lines(text.as_bytes(), 65_536), (vec![5, 6, BLOCK / 2], 1), "{long}");
        assert_eq!(lines(&text.as_bytes()[..5 + 1 + long], 65_536), (vec![5], 1), "at the end of the file");
    }
}

#[test]
fn only_the_days_that_are_wanted_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["2026-11-20.jsonl", "2026-11-22.jsonl", "2026-11-21.jsonl", "notes.txt"] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    std::fs::create_dir(directory.path().join("2026-11-23.jsonl")).unwrap();
    let since = "2026-11-21T12:00:00Z".parse().unwrap();
    let names = |since| -> Vec<String> {
        let files = files_since(directory.path(), since).unwrap();
        files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(Some(since)), ["2026-11-21.jsonl", "2026-11-22.jsonl"]);
    assert_eq!(names(None).len(), 3);
    assert!(files_since(&directory.path().join("gone"), None).is_err());
}
