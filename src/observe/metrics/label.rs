//! The closed sets that labels take their values from: nothing that a client sends can make a new series.

pub use crate::facts::word::{GreylistKey, GreylistResult};

/// Declares an enum whose variants are label values.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vmeta])* $variant),+
        }
        impl $name {
            /// All its variants.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// All its label values.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
            /// Its label value.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }
    };
}

labels! {
    /// What became of a connection at the door.
    ConnectionOutcome {
        /// It was greeted.
        Accepted = "accepted",
        /// All connections are in use.
        Busy = "busy",
        /// Its address has its share already.
        Share = "share",
        /// Its network has its share already.
        Network = "network",
        /// Its network has asked for too many unknown recipients.
        Harvest = "harvest",
        /// Hardly a file can be opened any more.
        Files = "files",
    }
}
labels! {
    /// What stands between who breaks into the process and the machine.
    SandboxLayer {
        /// We are not root.
        Account = "account",
        /// No capability is left.
        Capabilities = "capabilities",
        /// Nothing that is run gains rights.
        NoNewPrivs = "no_new_privs",
        /// Files and ports are those that we need.
        Landlock = "landlock",
        /// Calls that a mail server never makes are denied.
        Seccomp = "seccomp",
    }
}
labels! {
    /// What no honest client does.
    Abuse {
        /// It spoke before the greeting.
        EarlyTalk = "early-talk",
        /// It sent ahead where a reply must be waited for.
        Pipelining = "pipelining",
        /// It sent octets behind STARTTLS.
        StartTls = "starttls",
        /// It spoke HTTP.
        Http = "http",
        /// It began a TLS handshake on the plain port.
        Tls = "tls",
        /// It sent a PROXY header without being one of our proxies, or none where it is, or a bad one.
        ProxyHeader = "proxy-header",
        /// It ended a command with a bare LF.
        BareLf = "bare-lf",
        /// It sent a line without end.
        EndlessLine = "endless-line",
        /// It asked for too many unknown recipients.
        Harvest = "harvest",
        /// It made too many mistakes.
        Errors = "errors",
        /// Its message came too slowly while others waited.
        TooSlow = "too-slow",
        /// Its message has a CR without LF.
        MessageBareCr = "message-bare-cr",
        /// Its message has an LF without CR.
        MessageBareLf = "message-bare-lf",
        /// Its message has a NUL.
        MessageNul = "message-nul",
        /// Its message is larger than SIZE says.
        MessageTooBig = "message-too-big",
        /// The header of its message is too large, or has too many fields.
        HeaderTooBig = "header-too-big",
        /// Its message has too many Received fields.
        Loop = "loop",
    }
}
labels! {
    /// What is remembered between messages.
    Remembered {
        /// Whom greylisting asked to come again.
        Strangers = "strangers",
        /// Whose mail was accepted.
        Known = "known",
        /// What rates count.
        Counts = "counts",
    }
}
labels! {
    /// TLS of a session that has ended.
    SessionTls {
        /// In clear.
        Clear = "none",
        /// TLS 1.2
        Tls12 = "TLSv1.2",
        /// TLS 1.3
        Tls13 = "TLSv1.3",
    }
}
labels! {
    /// What a reply answers.
    Verb {
        /// The connection itself: the greeting, and what is sent without being asked.
        Connection = "connection",
        /// HELO
        Helo = "helo",
        /// EHLO
        Ehlo = "ehlo",
        /// MAIL
        Mail = "mail",
        /// RCPT
        Rcpt = "rcpt",
        /// DATA
        Data = "data",
        /// BDAT, but for the last of a message.
        Bdat = "bdat",
        /// The end of data.
        Message = "message",
        /// RSET
        Rset = "rset",
        /// NOOP
        Noop = "noop",
        /// VRFY
        Vrfy = "vrfy",
        /// HELP
        Help = "help",
        /// STARTTLS
        Starttls = "starttls",
        /// QUIT
        Quit = "quit",
        /// Anything else.
        Other = "other",
    }
}
labels! {
    /// How a TLS handshake ended.
    HandshakeOutcome {
        /// With TLS.
        Ok = "ok",
        /// With an error of either side.
        Failed = "failed",
        /// Not in time.
        Timeout = "timeout",
    }
}
labels! {
    /// How a reload ended.
    ReloadOutcome {
        /// The new configuration is in force.
        Applied = "applied",
        /// It was bad; the old one stays.
        Refused = "refused",
    }
}
labels! {
    /// How a look-up in DNS ended.
    DnsOutcome {
        /// Records were found.
        Found = "found",
        /// The name or the type is absent.
        Absent = "absent",
        /// Nobody answered in time.
        Timeout = "timeout",
        /// Any other trouble.
        Error = "error",
    }
}
labels! {
    /// What a DNS block or allow list answered.
    ListOutcome {
        /// It lists what was asked.
        Listed = "listed",
        /// It does not.
        Unlisted = "unlisted",
        /// An answer that the configuration has no name for.
        Unmapped = "unmapped",
        /// An answer that can be no listing.
        Refused = "refused",
        /// DNS trouble.
        Error = "error",
    }
}
labels! {
    /// Why a delivery failed.
    DeliverErrorKind {
        /// The disk or a quota is full.
        Full = "full",
        /// Any other trouble of the file system.
        Io = "io",
        /// The writers' queue is full.
        Busy = "busy",
    }
}
labels! {
    /// How a directory became durable.
    DirectorySync {
        /// By an fsync of its own.
        Made = "made",
        /// By the fsync of another delivery.
        Shared = "shared",
    }
}
labels! {
    /// An authentication method, with the identity that it looked at.
    Method {
        /// SPF of the HELO identity.
        SpfHelo = "spf-helo",
        /// SPF of the MAIL FROM identity.
        SpfMailFrom = "spf-mail-from",
        /// DKIM, once a signature; `none` for a message without one.
        Dkim = "dkim",
        /// DMARC
        Dmarc = "dmarc",
        /// ARC
        Arc = "arc",
        /// The reverse name.
        Iprev = "iprev",
        /// The name in HELO.
        Helo = "helo",
        /// Reverse MX of the reverse-path's domain.
        ReverseMxMailFrom = "reverse-mx-mail-from",
        /// Reverse MX of the author domain.
        ReverseMxFrom = "reverse-mx-from",
        /// Reverse MX of Reply-To's domain.
        ReverseMxReplyTo = "reverse-mx-reply-to",
        /// Reverse MX of the client's PTR name.
        ReverseMxPtr = "reverse-mx-ptr",
    }
}

impl Verb {
    /// The verb of a command line's first word; what is no verb of ours is [`Verb::Other`].
    pub fn from_word(word: &str) -> Verb {
        match word.to_ascii_lowercase().as_str() {
            "helo" => Verb::Helo,
            "ehlo" => Verb::Ehlo,
            "mail" => Verb::Mail,
            "rcpt" => Verb::Rcpt,
            "data" => Verb::Data,
            "bdat" => Verb::Bdat,
            "rset" => Verb::Rset,
            "noop" => Verb::Noop,
            "vrfy" => Verb::Vrfy,
            "help" => Verb::Help,
            "starttls" => Verb::Starttls,
            "quit" => Verb::Quit,
            _ => Verb::Other,
        }
    }
}

impl SessionTls {
    /// The value of a version's name, as in the decision record.
    pub fn from_version(version: Option<&str>) -> SessionTls {
        match version {
            None => SessionTls::Clear,
            Some("TLSv1.2") => SessionTls::Tls12,
            Some(_) => SessionTls::Tls13,
        }
    }
}

/// Reply codes that we send; any other is counted as the last.
pub const CODES: &[&str] = &[
    "214", "220", "221", "250", "252", "354", "421", "450", "451", "452", "454", "500", "501", "502", "503", "504",
    "530", "550", "552", "553", "554", "555", "other",
];

/// The index in [`CODES`] of a code.
pub fn code_index(code: u16) -> usize {
    let last = CODES.len().saturating_sub(1);
    CODES.iter().position(|known| known.parse() == Ok(code)).unwrap_or(last)
}

/// The label of a rule: its name where that is a rule's name, `none` where no rule decided, else `other`.
pub fn rule(name: &str) -> &str {
    let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    match name {
        "" => "none",
        _ if name.len() <= 64 && name.bytes().all(fits) => name,
        _ => "other",
    }
}
