//! What a rule changes of the copies that are stored: header fields, the subject, the folder, the mailbox. Checked when it is loaded;
//! when the rule acts, its texts are filled in and become part of the [`Edits`] of the judgement.

use std::sync::Arc;

use crate::facts::record::ChangesRecord;
use crate::facts::table::{FactSet, FactSource};
use crate::facts::word::{Action, RuleAction};

use super::draft::DraftRule;
use super::keys::{Reader, Spot};
use super::load::take;
use super::template::{Template, Use};

/// Fields that all rules of a policy may add together: the header of a message stays readable.
pub(super) const MOST_FIELDS: usize = 100;
/// The longest name of a field.
const NAME_BYTES: usize = 76;
/// The longest tag, in bytes.
const TAG_BYTES: usize = 100;
/// The longest name of a folder.
const FOLDER_BYTES: usize = 64;

/// What rules change of the copies that are stored, in their order. Values: whoever stores the copies carries them out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// The folder of a message that is quarantined; empty: Junk.
    pub folder: String,
    /// Fields to add.
    pub add: Vec<AddedField>,
    /// Fields to take out, in lower case; one that ends in `*` stands for all names that begin so.
    pub remove: Vec<String>,
    /// Texts to put in front of the subject, where it does not have them yet.
    pub tags: Vec<String>,
    /// The address whose mailboxes get the copy instead of the recipient's; empty: nobody else's.
    pub redirect: String,
}

/// A field that a rule adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddedField {
    /// Its name.
    pub name: String,
    /// Its text, without folding.
    pub text: String,
    /// Its text as the policy has it, with facts in braces.
    pub written: Arc<str>,
    /// It stands where the first field of its name stood, else above the message.
    pub replaces: bool,
}

impl Edits {
    /// Whether copies are stored as without them.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the record says of them; `None` where this action stores no copies.
    pub fn record(&self, action: Action) -> Option<ChangesRecord> {
        let folder = match action {
            Action::Quarantine if self.folder != "Junk" => self.folder.clone(),
            Action::Quarantine | Action::Accept => String::new(),
            Action::Defer | Action::Reject | Action::Discard => return None,
        };
        Some(ChangesRecord {
            folder,
            add_headers: self.add.iter().map(|field| format!("{}: {}", field.name, field.written)).collect(),
            remove_headers: self.remove.clone(),
            tag_subject: self.tags.clone(),
            redirect: self.redirect.clone(),
        })
    }
}

/// What one rule changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    folder: String,
    /// Names, texts, and how these are written.
    add: Vec<(String, Template, Arc<str>)>,
    remove: Vec<String>,
    tag: String,
    redirect: Option<Spot<String>>,
}

impl Changes {
    /// Whether the rule changes nothing.
    pub fn is_empty(&self) -> bool {
        let Changes { folder, add, remove, tag, redirect } = self;
        folder.is_empty() && add.is_empty() && remove.is_empty() && tag.is_empty() && redirect.is_none()
    }

    /// How many fields it adds.
    pub fn fields(&self) -> usize {
        self.add.len()
    }

    /// The address that it redirects to, and its place in the file.
    pub fn redirect(&self) -> Option<&Spot<String>> {
        self.redirect.as_ref()
    }

    /// The facts that stand in its texts.
    pub fn reads(&self) -> FactSet {
        let mut reads = FactSet::default();
        self.add.iter().for_each(|(_, text, _)| reads.extend(text.reads()));
        reads
    }

    /// Adds what this rule changes to what earlier ones do.
    pub fn apply(&self, facts: &dyn FactSource, score: f64, edits: &mut Edits) {
        edits.folder.clone_from(&self.folder);
        edits.add.extend(self.add.iter().map(|(name, text, written)| AddedField {
            name: name.clone(),
            text: text.render(facts, score),
            written: Arc::clone(written),
            replaces: self.remove.iter().any(|removed| name.eq_ignore_ascii_case(removed)),
        }));
        edits.remove.extend(self.remove.iter().cloned());
        if !self.tag.is_empty() && !edits.tags.contains(&self.tag) {
            edits.tags.push(self.tag.clone());
        }
        if let Some(redirect) = &self.redirect {
            edits.redirect.clone_from(&redirect.value);
        }
    }
}

/// Checks what a rule changes. What is wrong is told and left out.
pub(super) fn read(reader: &mut Reader<'_>, rule: &DraftRule) -> Changes {
    check_action(reader, rule);
    let (key, draft) = (&rule.key, &rule.changes);
    let mut changes = Changes::default();
    for name in &draft.remove {
        match removable(&name.value) {
            Ok(name) => changes.remove.push(name),
            Err((cause, mend)) => reader.problem(name.span.clone(), format!("{key}.remove_headers"), cause, mend),
        }
    }
    for (name, text) in &draft.add {
        let key = format!("{key}.add_headers");
        if let Err((cause, mend)) = addable(&name.value, &changes.remove) {
            reader.problem(name.span.clone(), key, cause, mend);
        } else if let Some(at) = &rule.at
            && let Some(parsed) = take(reader, text, &key, Template::parse(&text.value, Use::Field, at.value))
        {
            changes.add.push((name.value.clone(), parsed, text.value.as_str().into()));
        }
    }
    if let Some(tag) = &draft.tag {
        check_tag(reader, key, tag);
        changes.tag.clone_from(&tag.value);
    }
    if let Some(folder) = &draft.folder {
        check_folder(reader, key, folder);
        changes.folder.clone_from(&folder.value);
    }
    if let Some(redirect) = &draft.redirect {
        check_redirect(reader, key, redirect);
        changes.redirect = Some(redirect.clone());
    }
    changes
}

/// What is not stored can't be changed, and only quarantine chooses the folder.
fn check_action(reader: &mut Reader<'_>, rule: &DraftRule) {
    let action = rule.action.as_ref().map(|action| action.value);
    if action.is_none() && rule.has.iter().any(|key| key == "action") {
        // told already
        return;
    }
    if let Some(folder) = &rule.changes.folder
        && action != Some(RuleAction::Quarantine)
    {
        let key = format!("{}.folder", rule.key);
        reader.problem(folder.span.clone(), key, "only quarantine has a folder", "write action = \"quarantine\"");
    }
    let Some(action) = action.filter(|action| !matches!(action, RuleAction::Accept | RuleAction::Quarantine)) else {
        return;
    };
    for (name, span) in rule.changes.places() {
        let cause = format!("{action} stores no message that {name} could change");
        reader.problem(span, format!("{}.{name}", rule.key), cause, "leave it out, or take another action");
    }
}

type Told = (String, String);

fn told(cause: impl Into<String>, mend: impl Into<String>) -> Told {
    (cause.into(), mend.into())
}

/// Fields that tell where a message has been and who vouches for it: ours, or signed by others.
const PROTECTED: &[(&str, &str)] = &[
    ("received", "a trace field (RFC 5321 §4.4)"),
    ("return-path", "a trace field (RFC 5321 §4.4)"),
    ("delivered-to", "a trace field of delivery"),
    ("authentication-results", "what authentication found (RFC 8601)"),
    ("dkim-signature", "a signature (RFC 6376)"),
    ("arc-", "a part of the ARC chain (RFC 8617)"),
    ("x-gatepost-", "a field of Gatepost's own"),
    ("from", "the author, which DKIM and DMARC have judged"),
];

/// Fields that a message has once at most (RFC 5322 §3.6, RFC 2045): readers disagree about two of them.
const ONCE: &[&str] = &[
    "date",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "message-id",
    "in-reply-to",
    "references",
    "subject",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
];

/// Why a field of this name is neither added nor removed.
fn protected(name: &str) -> Option<&'static str> {
    let is = |known: &str| if known.ends_with('-') { name.starts_with(known) } else { name == known };
    PROTECTED.iter().find(|(known, _)| is(known)).map(|(_, what)| *what)
}

fn is_field_name(name: &str) -> bool {
    // RFC 5322 §3.6.8 ftext
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':')
}

fn no_name(name: &str) -> Told {
    let cause = format!("{name:?} is no name of a header field (RFC 5322 §3.6.8)");
    told(cause, format!("write a name like \"X-Spam\": printable ASCII without colon, at most {NAME_BYTES} of it"))
}

fn addable(name: &str, removed: &[String]) -> Result<(), Told> {
    if !is_field_name(name) || name.ends_with('*') {
        return Err(no_name(name));
    }
    let name = name.to_ascii_lowercase();
    if let Some(what) = protected(&name) {
        return Err(told(format!("this is {what}: no rule adds one"), "name the field differently"));
    }
    if ONCE.contains(&name.as_str()) && !removed.contains(&name) {
        let mend = match name.as_str() {
            "subject" => "write tag_subject, or remove the old one with remove_headers too".to_owned(),
            _ => format!("remove the old one with remove_headers = [\"{name}\"] too"),
        };
        return Err(told("a message has this field once at most", mend));
    }
    Ok(())
}

/// A name in lower case, or the beginning of names with a `*` behind it.
fn removable(written: &str) -> Result<String, Told> {
    let name = written.to_ascii_lowercase();
    let Some(start) = name.strip_suffix('*') else {
        return match protected(&name) {
            _ if !is_field_name(&name) => Err(no_name(written)),
            Some(what) => Err(told(format!("this is {what}: no rule removes it"), "leave it out")),
            None => Ok(name),
        };
    };
    if !is_field_name(start) || start.contains('*') {
        return Err(told(
            format!("{written:?} names no fields"),
            "a name, or the beginning of one with * behind it, as in \"X-Spam-*\"",
        ));
    }
    let hit = PROTECTED
        .iter()
        .find(|(known, _)| known.starts_with(start) || (known.ends_with('-') && start.starts_with(known)));
    match hit {
        Some((known, what)) => {
            let dash = if known.ends_with('-') { "*" } else { "" };
            Err(told(format!("{known}{dash} would be among them, {what}"), "write more of the names"))
        }
        None => Ok(name),
    }
}

fn check_tag(reader: &mut Reader<'_>, key: &str, tag: &Spot<String>) {
    let cause = if tag.value.trim().is_empty() {
        "there is no tag in it".to_owned()
    } else if tag.value.len() > TAG_BYTES {
        format!("the tag is {} bytes long; {TAG_BYTES} are the most", tag.value.len())
    } else if !tag.value.chars().all(|c| Use::Field.allows(c)) {
        "a tag is one line of visible characters".to_owned()
    } else if tag.value.contains(['{', '}']) {
        let cause =
            "facts are not filled in here: the tag is the same for every message, so that answers know it again";
        let mend = "leave the braces out; the texts of add_headers take facts";
        return reader.problem(tag.span.clone(), format!("{key}.tag_subject"), cause, mend);
    } else if tag.value.contains("=?") {
        "readers take =? for the beginning of an encoded word (RFC 2047)".to_owned()
    } else {
        return;
    };
    reader.problem(tag.span.clone(), format!("{key}.tag_subject"), cause, "write it like \"[EXTERNAL] \"");
}

/// One level of a Maildir++ name: a dot would be another, and `&` begins what IMAP writes for other scripts (RFC 3501 §5.1.3).
fn check_folder(reader: &mut Reader<'_>, key: &str, folder: &Spot<String>) {
    let name = &folder.value;
    let inner = |octet: u8| octet.is_ascii_alphanumeric() || b" -_+".contains(&octet);
    let fits = (1..=FOLDER_BYTES).contains(&name.len())
        && name.bytes().all(inner)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.ends_with(' ');
    let (cause, mend) = if !fits {
        let mend = format!("name it with ASCII letters, digits, space, -, _ and +, at most {FOLDER_BYTES} of them");
        (format!("{name:?} is no name of one folder"), mend)
    } else if name.eq_ignore_ascii_case("inbox") {
        (
            "the inbox is not where a message is quarantined".to_owned(),
            "name another folder, or write action = \"accept\"".to_owned(),
        )
    } else {
        return;
    };
    reader.problem(folder.span.clone(), format!("{key}.folder"), cause, mend);
}

/// Whether a rule can redirect to it.
pub(super) fn is_address(text: &str) -> bool {
    text.len() <= 256
        && text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        && !text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '{' | '}'))
}

/// Whether it can be an address here; which mailboxes there are, the configuration says.
fn check_redirect(reader: &mut Reader<'_>, key: &str, redirect: &Spot<String>) {
    let address = &redirect.value;
    if !is_address(address) {
        let cause = format!("{address:?} is no address of a mailbox");
        reader.problem(
            redirect.span.clone(),
            format!("{key}.redirect"),
            cause,
            "write one mailbox or alias here, \"abuse@example.com\"",
        );
    }
}
