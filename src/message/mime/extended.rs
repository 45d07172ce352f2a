//! Parameters in the forms of RFC 2231: with a charset (`name*`), in pieces (`name*0`, `name*1`), and both (`name*0*`).

use super::budget::Budget;
use super::defect::{Defect, Defects};
use super::encoded_word::{escaped, in_charset};
use super::parameters::Reading;

/// What one parameter says.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its values: several where it stands several times.
    pub values: Vec<Text>,
    /// What else it may be taken for.
    pub others: Vec<Text>,
    pub defects: Defects,
}

/// A value: its octets, escapes undone, and those as text.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub octets: Vec<u8>,
    pub text: String,
}

impl Text {
    fn plain(octets: &[u8]) -> Text {
        Text { octets: octets.to_vec(), text: String::from_utf8_lossy(octets).into_owned() }
    }
}

/// A piece of a value.
struct Piece<'a> {
    number: u32,
    is_extended: bool,
    values: &'a [Vec<u8>],
}

/// How often values are looked at to be taken over, and pieces to be put together in each way.
const LOOKS: u64 = 2;
/// What a parameter costs beside its octets, in octets.
const PARAMETER: usize = 16;
const LOOKS_AT_PIECES: u64 = 12;

/// Looks for a parameter in one reading of a field; what the budget has no room for is not found.
pub(super) fn find(reading: &Reading, wanted: &str, budget: &Budget<'_>) -> Found {
    let mut found = Found::default();
    if !budget.take(reading.octets + PARAMETER * reading.parameters.len(), LOOKS) {
        return found;
    }
    let mut pieces = Vec::new();
    let mut plain: Option<&[u8]> = None;
    for parameter in &reading.parameters {
        let (name, form) = parameter.name.split_once('*').unwrap_or((&parameter.name, ""));
        if name.trim() != wanted {
            continue;
        }
        let has_star = name.len() < parameter.name.len();
        let digits = form.strip_suffix('*').unwrap_or(form).trim();
        match digits.parse::<u32>() {
            Ok(number) => {
                found.defects.add_if(digits.len() > 1 && digits.starts_with('0'), Defect::BrokenParameter);
                pieces.push(Piece { number, is_extended: form.ends_with('*'), values: &parameter.values });
                continue;
            }
            Err(_) => found.defects.add_if(!form.is_empty(), Defect::BrokenParameter),
        }
        let mut values = parameter.values.iter();
        if let Some(value) = values.next() {
            found.defects.add_if(found.values.len() == 1, Defect::DoubledParameter);
            if has_star {
                let piece = Piece { number: 0, is_extended: true, values: &parameter.values };
                let text = found.joined(&[&piece]);
                found.values.push(text);
            } else {
                plain = plain.or(Some(value));
                found.values.push(Text::plain(value));
            }
        }
        found.others.extend(values.map(|value| Text::plain(value)));
    }
    if !pieces.is_empty() && budget.take(reading.octets, LOOKS_AT_PIECES) {
        found.pieces(&pieces, plain);
    }
    found.defects.add_if(reading.is_broken && !found.values.is_empty(), Defect::BrokenParameter);
    found
}

impl Found {
    /// The pieces in their order, in the order in which they stand, as far as none is missing, and behind the plain form.
    fn pieces(&mut self, pieces: &[Piece<'_>], plain: Option<&[u8]>) {
        self.defects.add_if(!self.values.is_empty(), Defect::DoubledParameter);
        let mut sorted: Vec<&Piece<'_>> = pieces.iter().collect();
        sorted.sort_by_key(|piece| piece.number);
        let in_row = sorted.iter().zip(0_u32..).take_while(|(piece, number)| piece.number == *number).count();
        let whole = self.joined(&sorted);
        if in_row < sorted.len() {
            self.defects.add(Defect::BrokenParameter);
            let first = self.joined(sorted.get(..in_row).unwrap_or_default());
            let mut once = sorted.clone();
            once.dedup_by_key(|piece| piece.number);
            let once = self.joined(&once);
            let mut last = sorted.clone();
            last.reverse();
            last.dedup_by_key(|piece| piece.number);
            last.reverse();
            let last = self.joined(&last);
            self.others.extend([first, once, last]);
            self.others.extend(pieces.iter().map(|piece| joined(&[piece]).0));
        }
        let as_written: Vec<&Piece<'_>> = pieces.iter().collect();
        let as_written = self.joined(&as_written);
        // what a piece may be taken for beside its value makes its field a broken one
        if let Some(plain) = plain {
            let octets = [plain, &whole.octets].concat();
            self.others.push(Text { octets, text: format!("{}{}", String::from_utf8_lossy(plain), whole.text) });
        }
        self.others.push(as_written);
        self.values.push(whole);
    }

    fn joined(&mut self, pieces: &[&Piece<'_>]) -> Text {
        let (text, is_good) = joined(pieces);
        self.defects.add_if(!is_good, Defect::UndecodableName);
        text
    }
}

/// The text of pieces, and whether all of it can be decoded. The charset stands in front of the first one that has any (RFC 2231 §4.1).
fn joined(pieces: &[&Piece<'_>]) -> (Text, bool) {
    let (mut octets, mut is_good, mut charset) = (Vec::new(), true, None);
    for piece in pieces {
        let Some(value) = piece.values.first() else { continue };
        if !piece.is_extended {
            octets.extend_from_slice(value);
            continue;
        }
        let mut value = value.as_slice();
        if charset.is_none() {
            let mut parts = value.splitn(3, |octet| *octet == b'\'');
            if let (Some(named), Some(_), Some(rest)) = (parts.next(), parts.next(), parts.next()) {
                charset = Some(String::from_utf8_lossy(named).trim().to_owned());
                value = rest;
            } else {
                charset = Some(String::new());
                is_good = false;
            }
        }
        let (unescaped, is_whole) = escaped(value, b'%');
        octets.extend(unescaped);
        is_good &= is_whole;
    }
    let (text, is_known) = in_charset(charset.as_deref().unwrap_or_default(), &octets);
    (Text { octets, text }, is_good && is_known)
}
