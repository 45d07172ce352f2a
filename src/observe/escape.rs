//! Text of strangers, made fit to be shown on a terminal or written into a log line.
//!
//! A client chooses its HELO name, its reverse-path, its header fields and its DNS records. Raw control characters in them could
//! move the cursor, recolour a line, forge a second line or set the terminal's title; bidirectional overrides could make one domain
//! read like another.

use std::fmt::{self, Write};

/// The mark that stands where text was cut.
pub const CUT: char = '…';

/// The text with everything that a terminal would act on or hide written as `\u{...}`, cut to `limit` characters and a `…`.
pub fn shown(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    let mut writer = Escaping::new(&mut out, limit);
    // Writing into a String cannot fail.
    let _ = writer.write_str(text);
    out
}

/// Cuts a text in place to `limit` characters, the last of which is then a `…`; says whether it had to.
pub fn cut(text: &mut String, limit: usize) -> bool {
    // Octets are never fewer than characters, so that the common case costs one comparison.
    if text.len() <= limit || text.chars().count() <= limit {
        return false;
    }
    let keep = limit.saturating_sub(1);
    let end = text.char_indices().nth(keep).map_or(text.len(), |(at, _)| at);
    text.truncate(end);
    if limit > 0 {
        text.push(CUT);
    }
    true
}

/// A writer that escapes what passes through it and stops at a number of characters.
pub struct Escaping<'a> {
    out: &'a mut dyn Write,
    left: usize,
    cut: bool,
}

impl<'a> Escaping<'a> {
    /// Escapes into `out`, at most `limit` characters of the original.
    pub fn new(out: &'a mut dyn Write, limit: usize) -> Self {
        Escaping { out, left: limit, cut: false }
    }
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.left == 0 {
                if !self.cut {
                    self.cut = true;
                    self.out.write_char(CUT)?;
                }
                return Ok(());
            }
            self.left -= 1;
            match character {
                '\n' => self.out.write_str("\\n")?,
                '\r' => self.out.write_str("\\r")?,
                '\t' => self.out.write_str("\\t")?,
                _ if is_unfit(character) => write!(self.out, "\\u{{{:x}}}", u32::from(character))?,
                _ => self.out.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Characters that act on a terminal, are invisible, change the direction of what stands beside them, or pile up on it.
fn is_unfit(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    matches!(character,
        // C1 controls, soft hyphen
        '\u{80}'..='\u{9f}' | '\u{ad}'
        // combining marks, which pile up without end
        | '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
        // Arabic letter mark, fillers that show nothing, Mongolian separators
        | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
        // spaces of other widths, zero widths, direction marks, line and paragraph separators, overrides, isolates
        | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{a0}' | '\u{1680}' | '\u{3000}'
        // variation selectors, byte order mark, interlinear annotation, object replacement
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffc}'
        // private use, musical controls, tags and their neighbours
        | '\u{e000}'..='\u{f8ff}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}
