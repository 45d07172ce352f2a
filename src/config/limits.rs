//! `[limits]`: the bounds of a message, of a session, and of the server.

use std::time::Duration;

use super::reader::{Reader, Section};
use super::value::{Fault, written_size};
use crate::smtp::session;

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the longest command line, with its CRLF.
    pub command_line: usize,
    /// Octets of the largest message.
    pub message: u64,
    /// Octets of a message's header.
    pub header: usize,
    /// Fields of a message's header.
    pub header_fields: usize,
    /// Octets of a body in memory; a larger one is spooled to disk.
    pub memory_body: usize,
    /// Octets of messages in memory, over all sessions.
    pub memory: u64,
    /// Octets of bodies that are spooled, over all sessions.
    pub spool: u64,
    /// Octets of those of one IPv4 /24 or IPv6 /64.
    pub spool_per_network: u64,
    /// Accepted recipients a transaction.
    pub recipients: usize,
    /// Wrong commands a session.
    pub errors: u32,
    /// Commands a session.
    pub commands: u32,
    /// Transactions a session.
    pub transactions: u32,
    /// Received fields of a message.
    pub received: usize,
    /// Unknown recipients of a session.
    pub unknown_recipients: u32,
    /// Unknown recipients of one IPv4 address or IPv6 /64 within an hour.
    pub unknown_recipients_per_address: u32,
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one address.
    pub connections_per_address: usize,
    /// Connections at a time from one IPv4 /24 or IPv6 /64.
    pub connections_per_network: usize,
    /// The longest session.
    pub session: Duration,
    /// How long a client may say nothing.
    pub idle: Duration,
    /// Percent of `connections` from which on the server is under stress.
    pub stress: u32,
    /// `idle` under stress; never more than that.
    pub stress_idle: Duration,
    /// Octets a second that a message must come with under stress.
    pub stress_rate: u64,
    /// Octets that must be free on the Maildir's file system.
    pub free_disk: u64,
    /// Inodes that must be free there.
    pub free_inodes: u64,
}

impl Limits {
    /// What of them bounds an SMTP session.
    pub fn of_session(&self) -> session::Limits {
        session::Limits {
            line: self.command_line,
            message: self.message,
            recipients: self.recipients,
            errors: self.errors,
            commands: self.commands,
            transactions: self.transactions,
        }
    }
}

pub(super) fn read(reader: &mut Reader, top: &Section<'_>) -> Limits {
    let section = top.section(reader, "limits");
    let mut number = |name| section.number(reader, name);
    // the bounds of each key are far below what these types hold
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let length = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let limits = Limits {
        command_line: length(number("command_line")),
        message: number("message"),
        header: length(number("header")),
        header_fields: length(number("header_fields")),
        memory_body: length(number("memory_body")),
        memory: number("memory"),
        spool: number("spool"),
        spool_per_network: number("spool_per_network"),
        recipients: length(number("recipients")),
        errors: small(number("errors")),
        commands: small(number("commands")),
        transactions: small(number("transactions")),
        received: length(number("received")),
        unknown_recipients: small(number("unknown_recipients")),
        unknown_recipients_per_address: small(number("unknown_recipients_per_address")),
        connections: length(number("connections")),
        connections_per_address: length(number("connections_per_address")),
        connections_per_network: length(number("connections_per_network")),
        session: Duration::from_secs(number("session")),
        idle: Duration::from_secs(number("idle")),
        stress: small(number("stress")),
        stress_idle: Duration::from_secs(number("stress_idle")),
        stress_rate: number("stress_rate"),
        free_disk: number("free_disk"),
        free_inodes: number("free_inodes"),
    };
    if limits.idle > limits.session && !limits.session.is_zero() {
        let span = section.raw("idle").or(section.raw("session")).map(|value| value.span());
        let fault = Fault::new("is longer than limits.session", "make it shorter than the session");
        reader.problem(span, "limits.idle", fault);
    }
    // 0: its value is wrong, which is told already
    if limits.spool < limits.message && limits.spool > 0 {
        let span = section.raw("spool").or(section.raw("message")).map(|value| value.span());
        let fault = Fault::new(
            "is smaller than limits.message: larger messages would be put off for ever",
            "make it at least as large as limits.message, or lower that",
        );
        reader.problem(span, "limits.spool", fault);
    }
    if limits.connections_per_address > limits.connections && limits.connections > 0 {
        let span = section.raw("connections_per_address").or(section.raw("connections")).map(|value| value.span());
        let fault = Fault::new(
            "is greater than limits.connections: one address can take every place",
            "lower it, or raise limits.connections",
        );
        reader.warning(span, "limits.connections_per_address", fault);
    }
    limits
}

/// Warns of quotas that a message of the greatest size does not fit into.
pub(super) fn hold_quotas(reader: &mut Reader, message: u64) {
    for (key, quota) in std::mem::take(&mut reader.quotas) {
        if quota.value > 0 && quota.value < message {
            let cause = format!("is smaller than limits.message ({})", written_size(message));
            let mend = "make it larger, or lower limits.message: larger messages never fit, and senders that declare no SIZE are asked \
                        to send this mailbox's copies by themselves";
            reader.warning(quota.span, &key, Fault::new(cause, mend));
        }
    }
}
