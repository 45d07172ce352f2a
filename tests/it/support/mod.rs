//! What tests share: the DNS server, an SMTP client, the corpora, temporary configs.
#![allow(dead_code)]

pub mod corpora;
pub mod dns;
pub mod player;
pub mod programs;
pub mod server;
pub mod source;
pub mod dovecot;
pub mod programs;
pub mod server;
pub mod source;
