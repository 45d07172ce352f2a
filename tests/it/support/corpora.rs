//! Conformance data that is kept beside the project and never in it.

use std::path::{Path, PathBuf};

/// The folder of one corpus, or `None` (said once on the terminal) where it isn't there.
///
/// `GATEPOST_CORPORA` names the folder that holds all of them; without it `../shared/corpora` beside the project.
pub fn folder(name: &str) -> Option<PathBuf> {
    let all = std::env::var_os("GATEPOST_CORPORA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"), PathBuf::from);
    let folder = all.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("left out: the corpus {name} is not at {}", folder.display());
    None
}

/// A JSON file of a corpus; `None` where the corpus isn't there.
///
/// # Panics
/// When the file can't be read or is no JSON: then the corpus is broken, not absent.
pub fn json(name: &str, file: &str) -> Option<serde_json::Value> {
    let path = folder(name)?.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}
