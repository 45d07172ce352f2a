//! SMTP without I/O: commands and addresses as RFC 5321 spells them, the framing of data, the session, the replies.
//!
//! Octets come in as slices and steps go out as values; nothing here reads a socket, a clock or a file, so that every
//! dialog can be replayed octet by octet.

pub mod address;
pub mod chunk;
pub mod command;
pub mod data;
pub mod line;
pub mod reply;
pub mod session;
pub mod xclient;
