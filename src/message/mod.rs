//! The message: what a delivered one carries in front, and what names its transaction.

pub mod reference;
pub mod trace;
