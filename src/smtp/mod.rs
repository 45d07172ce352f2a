//! SMTP without I/O: commands and addresses as RFC 5321 spells them, the framing of data, the session, the replies.

pub mod address;
pub mod command;
pub mod data;
pub mod reply;
pub mod session;
