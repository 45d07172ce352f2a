//! One setting of all that can be varied, and the curves along which it is.

/// What a run is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Connections at the same time.
    pub connections: usize,
    /// Messages of each.
    pub messages: usize,
    /// Octets of a message.
    pub size: usize,
    /// Recipients of a message, each with a mailbox of its own.
    pub recipients: usize,
    /// Mailboxes, which get messages in turn.
    pub mailboxes: usize,
    /// Rules that are judged before the default policy's.
    pub rules: usize,
    /// Messages that lie in each Maildir before.
    pub full: usize,
}

impl Default for Case {
    /// What the comparison is about: 20 connections, 100 messages each, 10 kB.
    fn default() -> Case {
        Case { connections: 20, messages: 100, size: 10_240, recipients: 1, mailboxes: 100, rules: 0, full: 0 }
    }
}

/// One number that grows while all else stays.
pub struct Curve {
    /// How it is called on the command line and in file names.
    pub name: &'static str,
    /// What the axis says.
    pub axis: &'static str,
    /// Its values.
    pub values: &'static [usize],
    /// The setting for a value.
    pub case: fn(usize) -> Case,
    /// What its figures count.
    pub counts: Counts,
}

/// What is counted a second.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Messages.
    Messages,
    /// Copies in Maildirs.
    Copies,
    /// Megabytes of mail.
    Megabytes,
}

/// All of them.
pub const CURVES: &[Curve] = &[
    Curve {
        name: "connections",
        axis: "connections at the same time",
        values: &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000],
        case: |connections| Case { connections, messages: (4_000 / connections).clamp(4, 400), ..Case::default() },
        counts: Counts::Messages,
    },
    Curve {
        name: "size",
        axis: "octets of a message",
        values: &[1_024, 10_240, 102_400, 1_048_576, 5_242_880, 26_214_400],
        case: |size| Case { size, messages: ((64 << 20) / size / 20).clamp(2, 100), ..Case::default() },
        counts: Counts::Megabytes,
    },
    Curve {
        name: "recipients",
        axis: "recipients of a message",
        values: &[1, 3, 10, 30, 100, 300, 1_000],
        case: |recipients| Case {
            recipients,
            mailboxes: 1_000,
            messages: (200 / recipients).max(2),
            ..Case::default()
        },
        counts: Counts::Copies,
    },
    Curve {
        name: "mailboxes",
        axis: "mailboxes",
        values: &[1, 10, 100, 1_000, 10_000, 100_000],
        case: |mailboxes| Case { mailboxes, ..Case::default() },
        counts: Counts::Messages,
    },
    Curve {
        name: "rules",
        axis: "rules before the default policy's",
        values: &[1, 10, 30, 100, 300, 1_000],
        case: |rules| Case { rules, ..Case::default() },
        counts: Counts::Messages,
    },
    Curve {
        name: "full",
        axis: "messages in the Maildir before",
        values: &[1, 100, 1_000, 10_000, 100_000],
        case: |full| Case { full, mailboxes: 1, ..Case::default() },
        counts: Counts::Messages,
    },
];
