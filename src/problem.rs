//! What people are told about their files: which file, where in it, what is wrong and how to mend it.
//!
//! Everything that reads a file of the administrator's returns [`Problems`], all of them at once; they are rendered in one place.

use std::ops::Range;
use std::sync::Arc;

/// A text that was read from a file (or compiled in), kept so that a problem can show its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as the administrator gave it, or a name such as `default.toml (built in)`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// One thing that is wrong with a file of the administrator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, where there is one.
    pub source: Option<Arc<Source>>,
    /// Bytes of the source's text that the problem is about.
    pub span: Option<Range<usize>>,
    /// The key (`smtp.listen`, `rule "dmarc-reject".when`); may be empty.
    pub key: String,
    /// What is wrong, in a sentence without a full stop.
    pub cause: String,
    /// How to mend it (`did you mean "listen"?`); may be empty.
    pub mend: String,
}
