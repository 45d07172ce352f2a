//! File names as they are told, and what stands behind their last dot.

/// Characters of a name that are kept.
const MAX_NAME: usize = 255;

/// The name without control characters, cut.
pub(super) fn shown(name: &str) -> String {
    printable(name).take(MAX_NAME).collect()
}

/// What stands behind the last dot, in lower case. Windows strips dots and spaces from the end of a name, and so do we, or
/// `a.exe. ` would be no program.
pub(super) fn extension(name: &str) -> String {
    let name: String = printable(name).collect();
    let name = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    match name.rsplit_once('.') {
        Some((_, end)) if !end.contains(['/', '\\']) => end.trim().to_lowercase().chars().take(MAX_NAME).collect(),
        _ => String::new(),
    }
}

fn printable(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|character| !character.is_control())
}
