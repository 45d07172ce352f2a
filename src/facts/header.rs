//! Header fields as rules see them: those that a policy names, and of some of them never a word in the record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

/// Fields that say what a message is about. Rules may read them, but their text is written nowhere: not into the journal, not into a
/// log or a reply. Sorted.
pub const UNWRITTEN: &[&str] = &["comments", "keywords", "subject", "thread-topic"];

/// Header fields by their names in lower case.
pub type Headers = BTreeMap<String, HeaderField>;

/// The fields of one name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeaderField {
    /// Whether there is one.
    pub present: bool,
    /// How many there are.
    pub count: u64,
    /// The first one's text: unfolded, encoded-words decoded (RFC 2047), at most 1,000 characters, none of them a control character.
    /// `None` in a record that does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The last one's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// Whether the text of the fields of this name is never written.
pub fn is_unwritten(name: &str) -> bool {
    UNWRITTEN.binary_search(&name).is_ok()
}

/// Takes out what must never be written.
pub fn withhold(headers: &mut Headers) {
    for (_, field) in headers.iter_mut().filter(|(name, _)| is_unwritten(name)) {
        (field.value, field.last) = (None, None);
    }
}

/// Serializes without what must never be written, whatever the caller has forgotten.
pub(super) fn withheld<S: Serializer>(headers: &Headers, serializer: S) -> Result<S::Ok, S::Error> {
    let mut kept = headers.clone();
    withhold(&mut kept);
    kept.serialize(serializer)
}
