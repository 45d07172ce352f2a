//! What tests share: the DNS server, an SMTP client, the corpora, temporary configs, the real program and its real clients.
#![allow(dead_code)]

pub mod authres;
pub mod corpora;
pub mod deviations;
pub mod dns;
pub mod dovecot;
pub mod evaluation;
pub mod journal_lines;
pub mod player;
pub mod postfix;
pub mod programs;
pub mod server;
pub mod site;
pub mod source;
