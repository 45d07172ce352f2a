//! The story of one transaction, in words.

use crate::facts::record::Record;

/// The story.
pub fn story(record: &Record) -> String {
    record.reference.clone()
}
