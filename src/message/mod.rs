//! The message: its header as fields, its body as octets, who claims to have written it, what a delivered one carries in
//! front, and what names its transaction.

pub mod author;
pub mod content;
pub mod decoded;
pub mod edit;
pub mod header;
pub mod ledger;
pub mod mime;
pub mod pieces;
pub mod reference;
pub mod spool;
pub mod trace;
pub mod unstructured;
