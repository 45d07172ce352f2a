//! File names as they are told, what stands behind their last dot, and what a file system or a program makes of them.

use unicode_normalization::UnicodeNormalization;

use super::defect::{Defect, Defects};
use super::encoded_word::escaped;

/// Characters of a name that are kept.
pub(super) const MAX_NAME: usize = 255;
/// Characters that Windows allows in no name, so that programs drop them.
const FORBIDDEN: &[char] = &['<', '>', ':', '"', '|', '?', '*'];

/// The name without control characters, cut.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(MAX_NAME).collect()
}

/// What stands behind the last dot, in lower case. Windows strips dots and spaces from the end of a name, programs quotes and
/// separators, and nobody sees characters without width: so do we, or `a.exe. ` would be no program.
pub(super) fn extension(name: &str) -> String {
    let name: String = name.chars().filter(|character| !is_unseen(*character)).collect();
    let name = name.trim_end_matches(is_tail);
    match name.rsplit_once('.') {
        Some((_, end)) if !end.contains(['/', '\\']) => {
            end.trim_matches(is_tail).to_lowercase().chars().take(MAX_NAME).collect()
        }
        _ => String::new(),
    }
}

/// What the end of a name loses on its way to a file.
fn is_tail(character: char) -> bool {
    let quotes = ['\'', '`', '\u{b4}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{ab}', '\u{bb}'];
    let others = ['.', ';', ',', '=', '/', '\\'];
    character.is_whitespace()
        || FORBIDDEN.contains(&character)
        || others.contains(&character)
        || quotes.contains(&character)
}

/// Control characters, characters without width, and those that turn the direction of what follows.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Other names that a program or a file system may make of this one.
pub(super) fn variants(name: &str) -> Vec<String> {
    let mut variants = Vec::new();
    let unescaped = unescaped(name);
    for name in [Some(name), unescaped.as_deref()].into_iter().flatten() {
        if let Some((before, _)) = name.split_once('\0') {
            variants.push(before.to_owned());
        }
        // NTFS: what follows a colon names a stream; a drive's is none
        let stream = name.char_indices().find(|(at, character)| *character == ':' && *at != 1);
        variants.extend(stream.and_then(|(at, _)| name.get(..at)).map(str::to_owned));
        if name.contains(FORBIDDEN) {
            variants.push(name.replace(FORBIDDEN, ""));
        }
        if !name.is_ascii() {
            variants.push(name.nfkc().collect());
        }
        if name.chars().nth(MAX_NAME).is_some() {
            variants.push(shown(name));
        }
    }
    variants.extend(unescaped);
    variants
}

/// The name with `%XX` undone, where it has any.
fn unescaped(name: &str) -> Option<String> {
    if !name.contains('%') {
        return None;
    }
    let (octets, _) = escaped(name.as_bytes(), b'%');
    let text = String::from_utf8_lossy(&octets).into_owned();
    (text != name).then_some(text)
}

/// What is wrong with a name.
pub(super) fn defects(name: &str) -> Defects {
    let mut defects = Defects::default();
    // a tab comes from folding
    let unseen = |name: &str| name.chars().any(|character| is_unseen(character) && character != '\t');
    let hides = unescaped(name).is_some_and(|name| unseen(&name));
    defects.add_if(unseen(name) || hides, Defect::UnseenCharacter);
    defects.add_if(name.contains(['/', '\\', ':']), Defect::PathInName);
    let trimmed: String = name.chars().filter(|character| !is_unseen(*character)).collect();
    defects.add_if(trimmed.ends_with(is_tail), Defect::TailInName);
    defects.add_if(name.chars().nth(MAX_NAME).is_some(), Defect::LongName);
    defects
}
