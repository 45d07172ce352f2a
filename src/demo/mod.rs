//! `gatepost demo`: what it serves and sends.

pub mod dns;
