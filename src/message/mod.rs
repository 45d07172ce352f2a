//! The message: its header as fields, its body as octets, and who claims to have written it.

pub mod author;
pub mod content;
pub mod header;
