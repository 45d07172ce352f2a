//! The closed sets of words that facts take: results of methods, policies, roles, stages.

use serde::{Deserialize, Serialize};

pub use crate::message::mime::DEFECTS as MIME_DEFECTS;

/// Declares an enum whose variants are words: serialized, shown and parsed as those words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $word)] $variant),+
        }
        impl $name {
            /// All its words, in the order of declaration.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
            /// All its variants, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
            /// The variant of a word, `None` for a word that is not of this set.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// The result of SPF or of one DKIM signature (RFC 8601 §2.7.1, §2.7.2).
    MethodResult {
        /// Nothing to check.
        #[default] None = "none",
        /// It holds.
        Pass = "pass",
        /// It does not hold.
        Fail = "fail",
        /// It may hold but our rules do not take it (weak key, sha1, l=).
        Policy = "policy",
        /// Nothing is said, or it can't be read.
        Neutral = "neutral",
        /// SPF: probably not allowed.
        SoftFail = "softfail",
        /// Trouble that may pass.
        TempError = "temperror",
        /// Trouble that stays.
        PermError = "permerror",
    }
}
words! {
    /// The result of DMARC (RFC 9989).
    DmarcResult {
        /// No policy record.
        #[default] None = "none",
        /// An aligned identifier passed.
        Pass = "pass",
        /// None did.
        Fail = "fail",
        /// DNS trouble that may change the answer.
        TempError = "temperror",
        /// A record that can't be used.
        PermError = "permerror",
    }
}
words! {
    /// A DMARC policy.
    DmarcPolicy {
        /// No record, or p=none.
        #[default] None = "none",
        /// p=quarantine
        Quarantine = "quarantine",
        /// p=reject
        Reject = "reject",
    }
}
words! {
    /// The state of an ARC chain (RFC 8617 §4.4).
    ArcResult {
        /// No chain.
        #[default] None = "none",
        /// A valid chain.
        Pass = "pass",
        /// A broken chain.
        Fail = "fail",
        /// DNS trouble.
        TempError = "temperror",
    }
}
words! {
    /// The result of iprev (RFC 8601 §2.7.3).
    IprevResult {
        /// Not looked at (a trusted client).
        #[default] None = "none",
        /// A PTR name has the client's address.
        Pass = "pass",
        /// PTR names, none with the client's address.
        Fail = "fail",
        /// DNS trouble.
        TempError = "temperror",
        /// No PTR name.
        PermError = "permerror",
    }
}
words! {
    /// The result of reverse MX.
    ReverseMxResult {
        /// No exchanger (or nothing to ask).
        #[default] None = "none",
        /// The client's address belongs to one of the domain's mail exchangers.
        Pass = "pass",
        /// Every exchanger was looked at, none is the client.
        Fail = "fail",
        /// DNS trouble.
        TempError = "temperror",
        /// More exchangers than the bound, or an exchanger that is an address.
        PermError = "permerror",
    }
}
words! {
    /// How a domain says where its mail goes.
    Mx {
        /// Not known.
        #[default] Unknown = "",
        /// It has MX records.
        Explicit = "explicit",
        /// It has no MX but an address (RFC 5321 §5.1).
        Implicit = "implicit",
        /// It says that it takes no mail (RFC 7505).
        Null = "null",
        /// Neither MX nor address, or no such domain.
        Missing = "missing",
    }
}
words! {
    /// What the argument of EHLO or HELO is (RFC 5321 §4.1.1.1).
    HeloKind {
        /// Nothing was said yet, or the client is trusted and was not checked.
        #[default] Unknown = "",
        /// A fully-qualified domain name.
        Domain = "domain",
        /// An address literal.
        Literal = "literal",
        /// Neither: one label, an address without brackets, characters that no name has.
        Invalid = "invalid",
    }
}
words! {
    /// Whether the name in EHLO or HELO leads to the client.
    HeloResult {
        /// Nothing to look up.
        #[default] None = "none",
        /// One of the name's addresses, or the literal, is the client's.
        Pass = "pass",
        /// The name has addresses, or there is a literal, and the client's is not among them.
        Fail = "fail",
        /// DNS trouble.
        TempError = "temperror",
        /// The name does not exist or has no address.
        PermError = "permerror",
    }
}
words! {
    /// What a DNS block or allow list is asked about (RFC 5782).
    ListKind {
        /// The client's address.
        #[default] Address = "address",
        /// Domains.
        Domain = "domain",
    }
}
words! {
    /// The role of a recipient (RFC 2142).
    Role {
        /// An ordinary mailbox.
        #[default] Ordinary = "",
        /// postmaster@ (RFC 5321 §4.5.1).
        Postmaster = "postmaster",
        /// abuse@ (RFC 2142 §2).
        Abuse = "abuse",
    }
}
words! {
    /// The stages at which rules are judged, in their order.
    Stage {
        /// The client has connected.
        #[default] Connect = "connect",
        /// HELO and the reverse-path are known.
        Mail = "mail",
        /// A forward-path is known.
        Rcpt = "rcpt",
        /// The message is known.
        Data = "data",
    }
}
words! {
    /// The day of the week.
    Weekday {
        /// Not known.
        #[default] Unknown = "",
        /// The first one (ISO 8601).
        Monday = "monday",
        /// The second one.
        Tuesday = "tuesday",
        /// The third one.
        Wednesday = "wednesday",
        /// The fourth one.
        Thursday = "thursday",
        /// The fifth one.
        Friday = "friday",
        /// The sixth one.
        Saturday = "saturday",
        /// The seventh one.
        Sunday = "sunday",
    }
}
words! {
    /// What a rule or a decision does.
    Action {
        /// Take it; ends the stage's rules and the later ones.
        #[default] Accept = "accept",
        /// Take it into the Junk folder.
        Quarantine = "quarantine",
        /// Answer 4yz: try again later.
        Defer = "defer",
        /// Answer 5yz.
        Reject = "reject",
        /// Answer 250 and keep nothing.
        Discard = "discard",
    }
}
words! {
    /// What came of a rule.
    Outcome {
        /// It was looked at and its condition is false.
        #[default] NotMatched = "not matched",
        /// It decided.
        Acted = "acted",
        /// Its score was added.
        Scored = "scored",
        /// It changed what is stored (header, subject, mailbox) and left the decision to others.
        Changed = "changed",
        /// It would have acted (`observe = true`, or outside its `share`).
        Observed = "observed",
        /// Its condition holds, and so does its exception: it did nothing.
        Excepted = "excepted",
        /// Its condition or its exception could not be run.
        Error = "error",
    }
}
words! {
    /// What a rule's `action` can be.
    RuleAction {
        /// [`Action::Accept`].
        #[default] Accept = "accept",
        /// [`Action::Quarantine`].
        Quarantine = "quarantine",
        /// [`Action::Defer`].
        Defer = "defer",
        /// [`Action::Reject`].
        Reject = "reject",
        /// [`Action::Discard`].
        Discard = "discard",
        /// [`Action::Defer`], while `greylist.result` is `new` or `early`.
        Greylist = "greylist",
    }
}
impl RuleAction {
    /// What a decision by such a rule says.
    pub const fn action(self) -> Action {
        match self {
            RuleAction::Accept => Action::Accept,
            RuleAction::Quarantine => Action::Quarantine,
            RuleAction::Defer | RuleAction::Greylist => Action::Defer,
            RuleAction::Reject => Action::Reject,
            RuleAction::Discard => Action::Discard,
        }
    }
}
words! {
    /// What becomes of a transaction whose recipients' policies may answer differently after DATA.
    Mixed {
        /// Later ones get 452 4.5.3 and come again in a transaction of their own.
        #[default] Split = "split",
        /// All go together; where some refuse and others take the message, it is quarantined for those who refuse it.
        Quarantine = "quarantine",
    }
}
words! {
    /// What greylisting knows of who sends to whom.
    GreylistResult {
        /// It was not asked.
        #[default] Unasked = "",
        /// Not seen before.
        New = "new",
        /// Seen before, but it came back too soon.
        Early = "early",
        /// It came back in time.
        Pass = "pass",
        /// Mail of this sender was accepted before, or it is not greylisted at all.
        Known = "known",
    }
}
words! {
    /// By what greylisting knows a sender.
    GreylistKey {
        /// It was not asked.
        #[default] Unasked = "",
        /// The network of its address: /24, /64.
        Network = "network",
        /// The domain that SPF passed for.
        Spf = "spf",
        /// The domain of a DKIM signature that passed.
        Dkim = "dkim",
    }
}
words! {
    /// What a rate counts by; several together are joined by `+`.
    RatePart {
        /// The client's address.
        #[default] Client = "client",
        /// Its network: /24, /64.
        ClientNetwork = "client.network",
        /// The argument of EHLO or HELO.
        Helo = "helo",
        /// The reverse-path.
        MailFromAddress = "mail_from.address",
        /// Its domain.
        MailFromDomain = "mail_from.domain",
        /// The forward-path.
        RcptAddress = "rcpt.address",
        /// Its domain.
        RcptDomain = "rcpt.domain",
        /// The author domain.
        FromDomain = "from.domain",
    }
}

/// What can be wrong with a From field, each a fact that rules can name.
pub const FROM_DEFECTS: &[&str] = &[
    "missing",
    "several-fields",
    "several-domains",
    "no-address",
    "group",
    "encoded-word-in-address",
    "control-character",
    "space-before-colon",
    "no-header",
    "obsolete-route",
    "bad-syntax",
    "bad-domain",
    "readings-differ",
];
