//! Every reply that this server gives by itself, one function each, in the order in which a session may meet them. What rules
//! say is theirs: `policies/` has the codes of SPF, DMARC, reverse names and reverse MX.

use super::Reply;
use crate::smtp::address::AddressError;
use crate::smtp::data::DataDefect;
use crate::smtp::session::Capabilities;
use crate::smtp::xclient::ATTRIBUTES;

/// The greeting (RFC 5321 §4.2, §3.1).
pub fn greeting(hostname: &str) -> Reply {
    Reply::plain(220, format!("{hostname} ESMTP Gatepost"))
}

/// The greeting's place taken by a refusal: more connections than this host takes (RFC 5321 §3.8).
pub fn busy() -> Reply {
    Reply::new(421, (4, 3, 2), "too many connections, try again later")
}

/// One client address has more than its share of connections.
pub fn too_many_from_address() -> Reply {
    Reply::new(421, (4, 7, 0), "too many connections from your address, try again later")
}

/// Nearly all connections are in use, and this client's message comes in too slowly.
pub fn too_slow() -> Reply {
    Reply::new(421, (4, 4, 2), "your message comes too slowly while others wait, try again later")
}

/// One client network has more than its share of connections.
pub fn too_many_from_network() -> Reply {
    Reply::new(421, (4, 7, 0), "too many connections from your network, try again later")
}

/// The server stops (RFC 5321 §3.8).
pub fn shutting_down() -> Reply {
    Reply::new(421, (4, 3, 2), "shutting down, try again later")
}

/// The client was silent for too long (RFC 5321 §4.5.3.2.7).
pub fn idle() -> Reply {
    Reply::new(421, (4, 4, 2), "idle for too long")
}

/// The session has lasted as long as it may (RFC 5321 §3.8).
pub fn session_over() -> Reply {
    Reply::new(421, (4, 4, 2), "the session has lasted long enough, connect again")
}

/// The session has seen more mistakes than it may.
pub fn too_many_errors() -> Reply {
    Reply::new(421, (4, 7, 0), "too many errors")
}

/// The session has seen more commands than it may.
pub fn too_many_commands() -> Reply {
    Reply::new(421, (4, 7, 0), "too many commands in one session, connect again")
}

/// The session has seen more transactions than it may.
pub fn too_many_transactions() -> Reply {
    Reply::new(421, (4, 7, 0), "too many transactions in one session, connect again")
}

/// Something that is no SMTP client: HTTP, a TLS handshake on the plain port.
pub fn not_smtp() -> Reply {
    Reply::new(421, (4, 7, 0), "this port speaks SMTP")
}

/// The client has sent something behind a command whose reply it must wait for (RFC 2920 §3.1).
pub fn sent_ahead() -> Reply {
    Reply::new(554, (5, 5, 0), "you sent ahead where RFC 2920 has you wait for the reply")
}

/// The client, or its network, has asked for more recipients who are nobody here than it may, or made as many mistakes.
pub fn too_many_unknown() -> Reply {
    Reply::new(421, (4, 7, 0), "too many unknown recipients or errors, try again later")
}

/// The answer to HELO (RFC 5321 §4.1.1.1).
pub fn helo(hostname: &str, client: &str) -> Reply {
    Reply::plain(250, format!("{hostname} greets {}", cut(client)))
}

/// The answer to EHLO: what this server can do (RFC 5321 §4.1.1.1; RFC 2920, 1870, 6152, 6531, 2034, 3030, 3207, 8689, 9422).
/// `tls` says whether it is under TLS: then REQUIRETLS is offered, else STARTTLS; `xclient` whether it may use
/// XCLIENT.
pub fn ehlo(capabilities: &Capabilities, client: &str, tls: bool, xclient: bool) -> Reply {
    let limits = &capabilities.limits;
    let reply = helo(&capabilities.hostname, client)
        .and_line("PIPELINING")
        .and_line(format!("SIZE {}", limits.message))
        .and_line("8BITMIME")
        .and_line("SMTPUTF8")
        .and_line("ENHANCEDSTATUSCODES")
        .and_line("CHUNKING");
    let reply = match (tls, capabilities.starttls) {
        (true, _) => reply.and_line("REQUIRETLS"),
        (false, true) => reply.and_line("STARTTLS"),
        (false, false) => reply,
    };
    let reply = if xclient { reply.and_line(format!("XCLIENT {ATTRIBUTES}")) } else { reply };
    reply.and_line(format!("LIMITS RCPTMAX={}", limits.recipients))
}

/// A reply to HELO must not grow with what the client said.
fn cut(client: &str) -> String {
    client.chars().take(100).collect()
}

/// STARTTLS may begin (RFC 3207 §4).
pub fn start_tls() -> Reply {
    Reply::new(220, (2, 0, 0), "go ahead")
}

/// STARTTLS is offered but cannot begin now (RFC 3207 §4).
pub fn tls_unavailable() -> Reply {
    Reply::new(454, (4, 7, 0), "TLS is not available at the moment")
}

/// The reverse-path is taken.
pub fn mail_ok() -> Reply {
    Reply::new(250, (2, 1, 0), "reverse-path ok")
}

/// The recipient is taken.
pub fn rcpt_ok() -> Reply {
    Reply::new(250, (2, 1, 5), "recipient ok")
}

/// The message may come (RFC 5321 §4.1.1.4).
pub fn start_data() -> Reply {
    Reply::plain(354, "send the message, end it with a dot on a line of its own")
}

/// A chunk has come, and the message is not at its end (RFC 3030 §2); so many octets have come so far.
pub fn chunk_ok(octets: u64) -> Reply {
    Reply::new(250, (2, 0, 0), format!("{octets} octets received so far"))
}

/// The message is ours now (RFC 5321 §4.2.5).
pub fn accepted(reference: &str) -> Reply {
    Reply::new(250, (2, 0, 0), format!("accepted, ref={reference}"))
}

/// RSET was done (RFC 5321 §4.1.1.5).
pub fn reset() -> Reply {
    Reply::new(250, (2, 0, 0), "forgotten")
}

/// NOOP was done (RFC 5321 §4.1.1.9).
pub fn noop() -> Reply {
    Reply::new(250, (2, 0, 0), "ok")
}

/// VRFY says nothing about who has a mailbox here (RFC 5321 §3.5.3, §7.3).
pub fn not_verified() -> Reply {
    Reply::new(252, (2, 5, 0), "cannot verify, send mail and see")
}

/// HELP (RFC 5321 §4.1.1.8).
pub fn help() -> Reply {
    Reply::new(214, (2, 0, 0), "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS, as in RFC 5321")
}

/// QUIT (RFC 5321 §4.1.1.10).
pub fn quit() -> Reply {
    Reply::new(221, (2, 0, 0), "goodbye")
}

/// A command line has no CRLF within the limit (RFC 5321 §4.5.3.1.9).
pub fn line_too_long() -> Reply {
    Reply::new(500, (5, 5, 2), "line too long")
}

/// A command line holds a CR or LF that does not end it (RFC 5321 §2.3.8).
pub fn bare_line_end() -> Reply {
    Reply::new(500, (5, 5, 2), "lines end in CRLF and hold no other CR or LF")
}

/// No command begins so (RFC 5321 §4.2.4).
pub fn unknown_command() -> Reply {
    Reply::new(500, (5, 5, 1), "unknown command")
}

/// A command's argument is wrong.
pub fn bad_argument(why: &'static str) -> Reply {
    Reply::new(501, (5, 5, 4), why)
}

/// A command of which this server knows that it exists (RFC 5321 §4.2.4).
pub fn not_implemented() -> Reply {
    Reply::new(502, (5, 5, 1), "not implemented here")
}

/// A command out of order (RFC 5321 §4.1.4).
pub fn bad_order(why: &'static str) -> Reply {
    Reply::new(503, (5, 5, 1), why)
}

/// DATA without a recipient that was accepted (RFC 5321 §3.3).
pub fn no_recipients() -> Reply {
    Reply::new(554, (5, 5, 1), "no valid recipients")
}

/// A parameter of MAIL or RCPT that was not offered (RFC 5321 §4.1.1.11).
pub fn unknown_parameter() -> Reply {
    Reply::new(555, (5, 5, 4), "parameter not known")
}

/// MAIL's path cannot be read.
pub fn bad_reverse_path(error: AddressError) -> Reply {
    bad_path(error, (5, 1, 7))
}

/// RCPT's path cannot be read.
pub fn bad_forward_path(error: AddressError) -> Reply {
    bad_path(error, (5, 1, 3))
}

fn bad_path(error: AddressError, enhanced: (u8, u16, u16)) -> Reply {
    match error {
        AddressError::NonAscii => Reply::new(553, (5, 6, 7), error.to_string()),
        _ => Reply::new(501, enhanced, error.to_string()),
    }
}

/// Mail for a domain that is not ours: nothing is relayed.
pub fn relaying() -> Reply {
    Reply::new(550, (5, 7, 1), "not a domain of this host, relaying is denied")
}

/// A domain of ours that has no such mailbox.
pub fn no_such_mailbox() -> Reply {
    Reply::new(550, (5, 1, 1), "no such mailbox")
}

/// Whether the mailbox exists cannot be said now.
pub fn lookup_trouble() -> Reply {
    Reply::new(451, (4, 3, 0), "recipients cannot be looked up at the moment")
}

/// Our own DNS does not work, and what it can't say was needed (RFC 3463 §3.5: directory server failure).
pub fn dns_outage() -> Reply {
    Reply::new(451, (4, 4, 3), "our DNS does not work at the moment, please try again later")
}

/// More recipients than a transaction may have; the rest is for the next (RFC 5321 §4.5.3.1.10).
pub fn too_many_recipients() -> Reply {
    Reply::new(452, (4, 5, 3), "too many recipients, send the rest in another transaction")
}

/// The recipient's policy differs from that of those before (RFC 5321 §4.1.1.4 knows no partial answer after DATA).
pub fn differs_send_again() -> Reply {
    Reply::new(452, (4, 5, 3), "this recipient needs a transaction of its own, send again")
}

/// The message is larger than SIZE says (RFC 1870 §6).
pub fn too_big() -> Reply {
    Reply::new(552, (5, 3, 4), "message too big")
}

/// The header alone is larger than we read; the message may be within SIZE.
pub fn header_too_big() -> Reply {
    Reply::new(552, (5, 3, 4), "the header is too big: at most 256 kB and 1000 fields")
}

/// The message's form is refused.
pub fn malformed(why: &'static str) -> Reply {
    Reply::new(550, (5, 6, 0), why)
}

/// What the framing of data found.
pub fn data_defect(defect: DataDefect) -> Reply {
    match defect {
        DataDefect::TooBig => too_big(),
        DataDefect::BareCr => malformed("the message has a CR without LF"),
        DataDefect::BareLf => malformed("the message has an LF without CR"),
        DataDefect::Nul => malformed("the message has a NUL octet"),
    }
}

/// The message has gone through too many hosts (RFC 5321 §6.3).
pub fn loop_detected() -> Reply {
    Reply::new(554, (5, 4, 6), "too many Received fields, mail is looping")
}

/// There is no room to store it.
pub fn disk_full() -> Reply {
    Reply::new(452, (4, 3, 1), "no room to store the message, try again later")
}

/// The mailbox holds as much as it may.
pub fn mailbox_full() -> Reply {
    Reply::new(452, (4, 2, 2), "the mailbox is full, try again later")
}

/// A recipient whose mailbox may have no room for the message, or that of one before it: there is one answer after DATA, and it must
/// not be the others' too.
pub fn scarce_send_again() -> Reply {
    Reply::new(452, (4, 5, 3), "a mailbox may lack room for a large message, send this recipient's copy by itself")
}

/// Storing failed.
pub fn io_error() -> Reply {
    Reply::new(451, (4, 3, 0), "the message could not be stored, try again later")
}

/// A fault of ours.
pub fn internal_error() -> Reply {
    Reply::new(451, (4, 3, 0), "internal error, try again later")
}

/// A rule that refuses without words of its own.
pub fn refused_by_policy() -> Reply {
    Reply::new(550, (5, 7, 1), "refused by local policy")
}

/// A rule that defers without words of its own.
pub fn deferred_by_policy() -> Reply {
    Reply::new(451, (4, 7, 1), "deferred by local policy")
}
