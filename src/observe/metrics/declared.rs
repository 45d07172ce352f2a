//! Every metric, declared once: its name, kind, labels and meaning. `docs/metrics.md` is held to this table.

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl Kind {
    /// Prometheus' word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    /// `gatepost_<noun>_<unit>[_total]`.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// One sentence; also its HELP line.
    pub meaning: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Declaration {
    Declaration { name, kind: Kind::Counter, labels, meaning }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Declaration {
    Declaration { name, kind: Kind::Gauge, labels, meaning }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Declaration {
    Declaration { name, kind: Kind::Histogram, labels, meaning }
}

/// All metrics, by name.
pub const DECLARED: &[Declaration] = &[
    counter("gatepost_audit_errors_total", &[], "Failed attempts to write the audit of loads."),
    counter("gatepost_audit_lines_total", &[], "Lines that the audit of loads wrote."),
    counter(
        "gatepost_authentication_results_total",
        &["method", "result"],
        "Results of each authentication method, by message.",
    ),
    counter(
        "gatepost_block_list_queries_total",
        &["zone", "outcome"],
        "Questions to a DNS block or allow list, by what it answered.",
    ),
    gauge("gatepost_block_list_up", &["zone"], "1 while a DNS block or allow list passes its probe and is asked."),
    gauge("gatepost_build_info", &["version"], "Always 1; its label says which version runs."),
    gauge("gatepost_connections", &[], "Connections that are open now."),
    counter(
        "gatepost_connections_total",
        &["outcome"],
        "Connections that came in, by what became of them at the door.",
    ),
    counter("gatepost_decisions_total", &["action", "rule"], "Decisions, by action and the rule that decided."),
    counter("gatepost_deliver_bytes_total", &[], "Octets of message files that were made durable."),
    counter(
        "gatepost_deliver_directory_syncs_total",
        &["outcome"],
        "Times that a directory had to be made durable, by whether that took an fsync of its own or another's served.",
    ),
    counter("gatepost_deliver_errors_total", &["kind"], "Deliveries that failed and were answered 4yz."),
    counter("gatepost_deliver_files_total", &[], "Message files that were made durable, one a mailbox."),
    counter(
        "gatepost_deliver_left_behind_total",
        &[],
        "Copies of deliveries that failed which could not be taken back: a retry of the sender's makes a second one.",
    ),
    counter("gatepost_deliver_messages_total", &[], "Messages that were made durable for all their mailboxes."),
    counter(
        "gatepost_deliver_panics_total",
        &[],
        "Panics of a writer that were caught; each cost one message a 4yz, and nothing acknowledged.",
    ),
    histogram("gatepost_deliver_seconds", &[], "Time from the handing over of a message to its being durable."),
    counter(
        "gatepost_deliver_taken_back_total",
        &[],
        "Copies that were taken back because their delivery failed elsewhere.",
    ),
    gauge("gatepost_disk_free_bytes", &[], "Octets that are free on the Maildir's file system."),
    gauge(
        "gatepost_disk_free_inodes",
        &[],
        "Files that can still be made there; 0 where the file system does not count them.",
    ),
    gauge(
        "gatepost_disk_low",
        &[],
        "1 while less is free there than limits.free_disk or limits.free_inodes: MAIL is answered 452.",
    ),
    gauge(
        "gatepost_disk_suspect",
        &[],
        "1 from an fsync there that failed, or another I/O error, until a write succeeds.",
    ),
    counter("gatepost_dns_queries_total", &["outcome"], "Look-ups in DNS, answered from the cache or not."),
    gauge("gatepost_dns_up", &[], "0 while our own DNS servers do not work: what needs them is answered 451."),
    counter(
        "gatepost_greylist_no_room_total",
        &[],
        "Strangers that greylisting let in because there was no room to remember them.",
    ),
    counter(
        "gatepost_greylist_results_total",
        &["result", "key"],
        "What greylisting said of a recipient or a message, and by what it knew the sender.",
    ),
    counter("gatepost_journal_dropped_total", &[], "Lines that the journal lost."),
    counter("gatepost_journal_errors_total", &[], "Failed attempts to write the journal."),
    counter("gatepost_journal_lines_total", &[], "Lines that the journal wrote."),
    counter(
        "gatepost_log_dropped_total",
        &[],
        "Lines of the log that were dropped because nobody read them fast enough.",
    ),
    counter("gatepost_message_bytes_total", &[], "Octets of messages that came in whole."),
    gauge("gatepost_message_memory_bytes", &[], "Octets of messages that are in memory now."),
    counter("gatepost_messages_total", &[], "Messages that came in whole, whatever was decided."),
    counter(
        "gatepost_over_quota_total",
        &["stage"],
        "Recipients (rcpt) and messages (data) that were answered 452 4.2.2 because a mailbox is over its quota.",
    ),
    counter("gatepost_panics_total", &[], "Panics that were caught; each cost one message or session a 4yz."),
    counter(
        "gatepost_protocol_abuses_total",
        &["kind"],
        "What clients did that no honest one does, and messages of a form that is refused, by what it was.",
    ),
    counter("gatepost_quota_errors_total", &[], "Failed attempts to write what a mailbox holds into its maildirsize."),
    counter(
        "gatepost_quota_recounts_total",
        &[],
        "Mailboxes whose messages were counted because maildirsize was stale.",
    ),
    counter("gatepost_reloads_total", &["outcome"], "Reloads of configuration and policy."),
    counter(
        "gatepost_list_reloads_total",
        &["outcome"],
        "Times that lists of policies were read again because a file had changed.",
    ),
    counter("gatepost_replies_total", &["verb", "code"], "Replies sent, by the verb that they answer."),
    counter("gatepost_rules_total", &["rule", "outcome"], "What each rule did when it was looked at."),
    gauge("gatepost_sandbox", &["layer"], "1 while this layer holds the process: account, capabilities and so on."),
    counter("gatepost_sessions_total", &["tls"], "SMTP sessions that have ended, by their TLS version."),
    gauge("gatepost_soft_reject", &[], "1 while smtp.soft_reject turns every 5yz into a 4yz."),
    counter("gatepost_spool_bytes_total", &[], "Octets of large bodies that were written to disk while they came in."),
    gauge("gatepost_spool_held_bytes", &[], "Octets of large bodies that are on disk, outside the Maildirs, now."),
    counter(
        "gatepost_spool_leftovers_total",
        &[],
        "Files that a crash left in .gatepost-spool of the Maildir root, removed at the start.",
    ),
    counter("gatepost_spool_messages_total", &[], "Messages whose bodies were written to disk while they came in."),
    histogram(
        "gatepost_stage_seconds",
        &["stage"],
        "Time that a stage took, from its question to its answer: rcpt (with the rules of connect and mail) and data.",
    ),
    gauge("gatepost_state_entries", &["kind"], "What greylisting and rates remember now, by what it is."),
    counter(
        "gatepost_state_errors_total",
        &[],
        "Failed attempts to keep, or to look up, what greylisting and rates remember.",
    ),
    counter(
        "gatepost_state_pushed_out_total",
        &[],
        "What greylisting and rates had to forget before its time because there was no room.",
    ),
    gauge("gatepost_state_up", &[], "0 while what greylisting and rates remember does not reach the disk."),
    gauge(
        "gatepost_stress",
        &[],
        "1 while nearly all of something that clients share is in use (connections, memory, disk, open files): waits are short, and clients that have behaved are preferred.",
    ),
    gauge(
        "gatepost_tls_certificate_expiry_timestamp_seconds",
        &[],
        "When the first of the certificates in force ends, in seconds since 1970; 0 without a certificate.",
    ),
    counter(
        "gatepost_tls_certificate_reloads_total",
        &["outcome"],
        "Times that certificates were read again because a file had changed.",
    ),
    counter("gatepost_tls_handshakes_total", &["outcome"], "TLS handshakes after STARTTLS."),
    counter(
        "gatepost_untrusted_private_clients_total",
        &[],
        "Sessions from a private address that is not in smtp.trusted: a NAT or proxy makes every check lie.",
    ),
    gauge("process_start_time_seconds", &[], "When the process started, in seconds since 1970."),
];

/// The declaration of a name.
pub fn find(name: &str) -> Option<&'static Declaration> {
    DECLARED.iter().find(|declaration| declaration.name == name)
}
