//! What a system delivered: how many messages there are in its Maildirs, and what their Authentication-Results say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::systems::BEFORE;

/// How long a queue may take until its last message is in the Maildir.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until so many messages are in `new/`; the time that it took.
pub fn wait_for(root: &Path, messages: u64) -> io::Result<Duration> {
    let began = Instant::now();
    loop {
        let there = files(root)?.len() as u64;
        if there >= messages {
            return Ok(began.elapsed());
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{there} of {messages} accepted messages are in the Maildirs")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All messages in `new/` of all Maildirs under a directory.
pub fn files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else if directory.ends_with("new") {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

/// How many of these messages don't say in Authentication-Results what `checks` names, and what the first of them says.
pub fn unchecked(files: &[PathBuf], checks: &[&str]) -> io::Result<(usize, String)> {
    let mut missing = (0, String::new());
    let is_ours = |file: &&PathBuf| !checks.is_empty() && !file.to_string_lossy().ends_with(BEFORE);
    for file in files.iter().filter(is_ours) {
        let results = results(&fs::read(file)?);
        if !checks.iter().all(|check| results.contains(check)) {
            if missing.0 == 0 {
                missing.1 = results;
            }
            missing.0 += 1;
        }
    }
    Ok(missing)
}

/// All fields Authentication-Results of a header, unfolded.
fn results(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message).replace("\r\n", "\n");
    let header = text.split("\n\n").next().unwrap_or_default().replace("\n\t", " ").replace("\n ", " ");
    let fields = header.lines().filter(|line| line.to_ascii_lowercase().starts_with("authentication-results:"));
    fields.collect::<Vec<_>>().join("\n")
}
