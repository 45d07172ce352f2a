//! The directory is for its owner alone: its names tell days and sizes, and who can open it can hold its lock and stop the journal.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{audit, day};
use crate::problem::{Problem, Problems};

/// The bits of group and others, and the one of directories that everybody may write into.
const OTHERS: u32 = 0o077;
const STICKY: u32 = 0o1000;

/// Takes the bits of group and others from a directory that is ours and has nothing but the journal in it. Gives what stays open to
/// others, with place, cause and mend.
///
/// # Errors
/// The directory can't be opened or read.
pub fn make(directory: &Path) -> io::Result<Option<Problem>> {
    let open = File::open(directory)?;
    let found = open.metadata()?;
    let mode = found.mode() & 0o7777;
    if mode & OTHERS == 0 {
        return Ok(None);
    }
    let why = if found.uid() != nix::unistd::geteuid().as_raw() {
        "it belongs to another user".to_owned()
    } else if mode & STICKY != 0 {
        "everybody's files may be in it".to_owned()
    } else if let Some(foreign) = foreign(directory)? {
        format!("{foreign} in it is not the journal's")
    } else {
        match open.set_permissions(Permissions::from_mode(mode & !OTHERS)) {
            Ok(()) => {
                tracing::warn!(
                    directory = %directory.display(), was = format!("{mode:04o}"), now = format!("{:04o}", mode & !OTHERS),
                    "the journal's directory was open to others: it is its owner's alone now"
                );
                return Ok(None);
            }
            Err(error) => error.to_string(),
        }
    };
    let cause = format!(
        "mode {mode:04o} lets others in, who can hold the journal's lock and so stop it, and it stays so: {why}"
    );
    let mend = format!("give the journal a directory of its own, and chmod 0700 {}", directory.display());
    Ok(Some(Problem::with_file(&directory.display().to_string(), "", cause, mend)))
}

/// As [`make`]; what stays open is told in the log.
pub fn make_or_warn(directory: &Path) {
    match make(directory) {
        Ok(None) => {}
        Ok(Some(problem)) => {
            for line in Problems::from(problem).headlines(1) {
                tracing::warn!("{line}");
            }
        }
        Err(error) => {
            tracing::warn!(%error, directory = %directory.display(), "whom the journal's directory lets in can't be looked at")
        }
    }
}

/// The name of something that is not the journal's.
fn foreign(directory: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let is_ours = day::of_name(&name).is_some()
            || audit::is_ours(&name)
            || (name.starts_with("pseudonyms-") && name.ends_with(".key"))
            || [".erase-", ".pseudonyms-", ".audit.", ".clock-leapt", ".writable"]
                .iter()
                .any(|own| name.starts_with(own));
        if !is_ours {
            return Ok(Some(name.chars().take(100).flat_map(char::escape_default).collect()));
        }
    }
    Ok(None)
}
