//! Reads the files that gatepost.toml names: bounded, and with a cause that an administrator understands.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// What is said of a file that we may not read.
pub const NOT_READABLE: &str = "may not be read by this user";
/// What is said of one that is not there.
const MISSING: &str = "does not exist";
/// The largest file that is taken: bytes.
const MOST: u64 = 64 << 20;

/// The text of a file.
///
/// # Errors
/// A sentence without its subject, the file: it can't be opened or read, is a directory, is too large, or isn't UTF-8 (with the line).
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("is not UTF-8 text (line {line})")
    })
}

/// The bytes of a file.
///
/// # Errors
/// As [`read_text`].
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    check_file(path)?;
    let file = File::open(path).map_err(|error| cause(&error))?;
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| cause(&error))?;
    match bytes.len() as u64 > MOST {
        true => Err(format!("is larger than {} MiB", MOST >> 20)),
        false => Ok(bytes),
    }
}

/// Whether a path leads to a regular file (opening a FIFO would wait for its writer).
///
/// # Errors
/// As [`read_text`].
pub(super) fn check_file(path: &Path) -> Result<(), String> {
    match path.metadata() {
        Ok(found) if found.is_file() => Ok(()),
        Ok(found) if found.is_dir() => Err("is a directory".to_owned()),
        Ok(_) => Err("is not a regular file".to_owned()),
        Err(error) => Err(cause(&error)),
    }
}

/// What mends the cause that a file can't be taken; `missing`: where it does not exist.
pub(super) fn mend(cause: &str, missing: &str) -> String {
    let mend = match cause {
        MISSING => missing,
        NOT_READABLE => "let this user read it, or ask as one who may",
        "is a directory" | "is not a regular file" => "name a file",
        _ if cause.starts_with("is not UTF-8") => "save it as UTF-8",
        _ => "name another file, or mend that one",
    };
    mend.to_owned()
}

fn cause(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => MISSING.to_owned(),
        ErrorKind::PermissionDenied => NOT_READABLE.to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
