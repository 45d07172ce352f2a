//! The author: a strict reader of From (RFC 5322 §3.4, §3.6.2) that names whatever is wrong.
//!
//! DMARC speaks about the domain that a person is shown. So there must be exactly one way to read From: where the grammar, its
//! obsolete forms or a second reader leave room for another, the field is not guessed at but given a defect.

mod mailboxes;

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use super::header::{Header, HeaderDefect};
use crate::smtp::address::Domain;
use mailboxes::{MAX_MAILBOXES, MAX_OCTETS, MailboxList, Place};

/// From fields that are read; a header has one.
const MAX_FROM_FIELDS: usize = 10;
/// Characters of a Message-ID that are kept.
const MESSAGE_ID_LENGTH: usize = 250;

/// The words for what can be wrong with From; facts know them under the same names.
pub mod defect {
    /// No From field.
    pub const MISSING: &str = "missing";
    /// More than one From field (RFC 5322 §3.6 allows one).
    pub const SEVERAL_FIELDS: &str = "several-fields";
    /// Mailboxes of more than one domain.
    pub const SEVERAL_DOMAINS: &str = "several-domains";
    /// No mailbox with a domain in it.
    pub const NO_ADDRESS: &str = "no-address";
    /// A group (RFC 6854): readers differ in what they show of it.
    pub const GROUP: &str = "group";
    /// An encoded-word where an address stands (RFC 2047 §5 forbids it).
    pub const ENCODED_WORD_IN_ADDRESS: &str = "encoded-word-in-address";
    /// A control character, or an invisible one within an address.
    pub const CONTROL_CHARACTER: &str = "control-character";
    /// White space between `From` and its colon.
    pub const SPACE_BEFORE_COLON: &str = "space-before-colon";
    /// The header is broken at or above From.
    pub const NO_HEADER: &str = "no-header";
    /// A source route before the address (RFC 5322 §4.4).
    pub const OBSOLETE_ROUTE: &str = "obsolete-route";
    /// It is no mailbox-list.
    pub const BAD_SYNTAX: &str = "bad-syntax";
    /// What stands behind the `@` is no domain name.
    pub const BAD_DOMAIN: &str = "bad-domain";
    /// A second reader reads other domains in it.
    pub const READINGS_DIFFER: &str = "readings-differ";
}

/// Who claims to have written a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Author {
    /// `local@domain` of each mailbox, as written but without comments and folding.
    pub addresses: Vec<String>,
    /// The domains of those mailboxes, each once, in order.
    pub domains: Vec<Domain>,
    /// What is wrong, each word of [`defect`] once.
    pub defects: Vec<&'static str>,
}

impl Author {
    /// The author domain: the only domain of From, where From can be read in one way only.
    pub fn domain(&self) -> Option<&Domain> {
        const UNRELIABLE: &[&str] = &[
            // Of one of several fields: that one may be what is shown.
            defect::NO_ADDRESS,
            defect::NO_HEADER,
            defect::BAD_SYNTAX,
            defect::BAD_DOMAIN,
            defect::CONTROL_CHARACTER,
            defect::ENCODED_WORD_IN_ADDRESS,
            defect::READINGS_DIFFER,
        ];
        match self.domains.as_slice() {
            [domain] if !self.defects.iter().any(|defect| UNRELIABLE.contains(defect)) => Some(domain),
            _ => None,
        }
    }

    fn add_defect(&mut self, word: &'static str) {
        if !self.defects.contains(&word) {
            self.defects.push(word);
        }
    }

    fn add_domain(&mut self, domain: Domain) {
        if !self.domains.contains(&domain) {
            self.domains.push(domain);
        }
    }
}

/// Reads From.
pub fn read_author(header: &Header) -> Author {
    let mut author = Author::default();
    if is_broken_near_from(header) {
        author.add_defect(defect::NO_HEADER);
    }
    match header.named("from").count() {
        0 => author.add_defect(defect::MISSING),
        1 => {}
        _ => author.add_defect(defect::SEVERAL_FIELDS),
    }
    // Which of several fields a reader is shown differs, so all are read: they may be of one domain. Together they have the room of
    // one.
    let mut room = MAX_OCTETS;
    for field in header.named("from").take(MAX_FROM_FIELDS) {
        if field.has_space_before_colon() {
            author.add_defect(defect::SPACE_BEFORE_COLON);
        }
        if field.value.len() > room {
            author.add_defect(defect::BAD_SYNTAX);
            continue;
        }
        room -= field.value.len();
        read_field(field.value, &field.unfolded(), &mut author);
    }
    if author.domains.len() > 1 {
        author.add_defect(defect::SEVERAL_DOMAINS);
    }
    author
}

/// Whether a reader could miss From, or see one that we don't: a header that is cut, or does not begin with a field, or has a
/// line above From (or one that looks like From) that is no field.
fn is_broken_near_from(header: &Header) -> bool {
    if header.defects().iter().any(|d| matches!(d, HeaderDefect::NoHeader | HeaderDefect::TooLarge)) {
        return true;
    }
    let from = header.fields().position(|field| field.is("from")).unwrap_or(usize::MAX);
    header.stray_lines().any(|(above, line)| above <= from || looks_like_from(line))
}

/// Whether a line's name is From to a reader that leaves out what is no letter.
fn looks_like_from(line: &[u8]) -> bool {
    let name: Vec<u8> = line
        .iter()
        .take(64)
        .take_while(|octet| **octet != b':')
        .filter(|octet| octet.is_ascii_alphabetic())
        .map(u8::to_ascii_lowercase)
        .collect();
    name == b"from"
}

fn read_field(value: &[u8], unfolded: &[u8], author: &mut Author) {
    let list = MailboxList::read(unfolded);
    for word in &list.defects {
        author.add_defect(word);
    }
    if author.addresses.len() + list.mailboxes.len() > MAX_MAILBOXES {
        return author.add_defect(defect::BAD_SYNTAX);
    }
    let mut domains = Vec::new();
    for mailbox in &list.mailboxes {
        author.addresses.push(mailbox.address());
        match &mailbox.place {
            // A literal is fine grammar, but no domain that could publish a policy.
            Place::Literal(_) => author.add_defect(defect::BAD_DOMAIN),
            Place::Name(name) => match Domain::parse_with_underscores(name) {
                Ok(domain) => domains.push(domain),
                Err(_) => author.add_defect(defect::BAD_DOMAIN),
            },
        }
    }
    if list.mailboxes.is_empty() && list.defects.iter().all(|word| *word == defect::GROUP) {
        author.add_defect(defect::NO_ADDRESS);
    }
    // Beside a mailbox: readers show `"a@bank.example", b@attacker.example` as either of the two.
    if !list.mailboxes.is_empty() && list.defects.contains(&defect::NO_ADDRESS) {
        author.add_defect(defect::READINGS_DIFFER);
    }
    let readable = !list.defects.contains(&defect::BAD_SYNTAX) && !author.defects.contains(&defect::BAD_DOMAIN);
    if readable && other_reading(value) != Some(sorted(domains.clone())) {
        author.add_defect(defect::READINGS_DIFFER);
    }
    let only_lacks_one = author.defects.iter().all(|word| [defect::NO_ADDRESS, defect::GROUP].contains(word));
    if list.mailboxes.is_empty() && only_lacks_one && shows_an_address(value) {
        author.add_defect(defect::READINGS_DIFFER);
    }
    for domain in domains {
        author.add_domain(domain);
    }
}

/// Whether a field that holds no address shows one all the same: many readers make an author of `"a@bank.example"`, of a comment
/// or of an encoded-word, and no DMARC was asked for it.
fn shows_an_address(value: &[u8]) -> bool {
    const AT: [char; 3] = ['@', '\u{ff20}', '\u{fe6b}'];
    let text = String::from_utf8_lossy(value);
    if text.contains(AT) || text.contains("=40") {
        return true;
    }
    // Within quotes and comments encoded-words are none (RFC 2047 §5), but are decoded by many.
    let bare = |octet: &u8| if b"\"()<>".contains(octet) { b' ' } else { *octet };
    let bare: Vec<u8> = value.iter().map(bare).chain(*b"\r\n").collect();
    let decoded = MessageStream::new(&bare).parse_unstructured();
    decoded.as_text().is_some_and(|decoded| decoded.contains(AT))
}

/// The domains that mail-parser reads in the field, sorted, each once. `None` where it reads one that is none.
fn other_reading(value: &[u8]) -> Option<Vec<Domain>> {
    let ended = [value, b"\r\n"].concat();
    let HeaderValue::Address(address) = MessageStream::new(&ended).parse_address() else {
        return Some(Vec::new());
    };
    let read = address.iter().filter_map(|a| a.address()).filter_map(|address| {
        let (_, domain) = address.rsplit_once('@')?;
        Some(Domain::parse_with_underscores(domain).ok())
    });
    read.collect::<Option<Vec<Domain>>>().map(sorted)
}

fn sorted(mut domains: Vec<Domain>) -> Vec<Domain> {
    domains.sort_unstable();
    domains.dedup();
    domains
}

/// The domain of Reply-To's first mailbox; `None` where there is no Reply-To or it can't be read.
pub fn read_reply_to(header: &Header) -> Option<Domain> {
    let field = header.named("reply-to").next()?;
    let list = MailboxList::read(&field.unfolded());
    match &list.mailboxes.first()?.place {
        Place::Name(name) => Domain::parse_with_underscores(name).ok(),
        Place::Literal(_) => None,
    }
}

/// Message-ID as text: cut to 250 characters, without control characters; empty where there is none.
pub fn message_id(header: &Header) -> String {
    let Some(field) = header.named("message-id").next() else {
        return String::new();
    };
    let text = String::from_utf8_lossy(field.value).into_owned();
    text.trim().chars().filter(|c| !c.is_control()).take(MESSAGE_ID_LENGTH).collect()
}
