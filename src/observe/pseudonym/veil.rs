//! A decision record without names: every field of it is here, as what it is.
//!
//! Structs are taken apart by name, so that a new field cannot be forgotten. It is one of these: *clear* (words of closed sets,
//! numbers, domains of mail, names of rules and of policies' files), an *address*, a *host* (clear, unless it spells the client's address), a *path* below the
//! Maildir root, or *text*, in which every name that the record knows from elsewhere, every address and every host's address is
//! replaced. In doubt it is text.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Key, MARK, codes_and_text, is_name, network};
use crate::facts::record::{
    ChangesRecord, DecisionRecord, DeliveryRecord, PolicyRecord, Recalled, Recipient, RecipientDecision, Record,
    RuleRecord,
};
use crate::facts::{
    Address, Arc, Attachment, BlockList, Client, Dkim, Dmarc, Facts, From, Greylist, HeaderField, HeloCheck, Iprev,
    Message, Mime, Rcpt, ReplyTo, ReverseMx, ReverseMxFour, Spf, SpfBoth, Tls,
};

/// Fields that hold mailboxes, sorted.
const MAILBOXES: &[&str] = &[
    "bcc",
    "cc",
    "delivered-to",
    "disposition-notification-to",
    "envelope-to",
    "errors-to",
    "from",
    "mail-followup-to",
    "mail-reply-to",
    "reply-to",
    "resent-bcc",
    "resent-cc",
    "resent-from",
    "resent-reply-to",
    "resent-sender",
    "resent-to",
    "return-path",
    "return-receipt-to",
    "sender",
    "to",
    "x-envelope-from",
    "x-envelope-to",
    "x-original-from",
    "x-original-to",
    "x-sender",
];
/// Fields that hold message identifiers.
const IDENTIFIERS: &[&str] = &["content-id", "in-reply-to", "message-id", "references", "resent-message-id"];
/// How much of a fact's value a reply holds, in characters.
const IN_A_REPLY: usize = 100;
/// Texts that are longer than this, in octets and without a reply's codes, may end in the middle of a value.
const LONG_REPLY: usize = 425;

impl Key {
    /// Takes the names out of a record.
    pub fn veil(&self, record: &mut Record) {
        let mut veil = Veil {
            key: self,
            client: record.facts.client.ip.to_canonical(),
            known: Known::default(),
            memo: HashMap::new(),
        };
        veil.learn(record);
        veil.record(record);
    }
}

/// Names that stand elsewhere in the record, and what stands for them.
#[derive(Default)]
struct Known {
    /// In lower case, the longest first.
    names: Vec<(String, String)>,
    /// Domains that stay clear wherever a local-part looks like a label of theirs.
    domains: Vec<String>,
}

struct Veil<'k> {
    key: &'k Key,
    client: IpAddr,
    known: Known,
    /// Texts that were met before: the replies to recipients are mostly the same.
    memo: HashMap<String, String>,
}

impl Veil<'_> {
    /// Collects what texts may quote.
    fn learn(&mut self, record: &Record) {
        let facts = &record.facts;
        let mut addresses: Vec<&str> = vec![&facts.mail_from.address, &facts.rcpt.address];
        addresses.extend(facts.from.addresses.iter().map(String::as_str));
        for recipient in &record.recipients {
            addresses.push(&recipient.address);
            addresses.extend(recipient.mailboxes.iter().map(String::as_str));
        }
        addresses.extend(record.delivery.iter().map(|delivery| delivery.mailbox.as_str()));
        for address in addresses {
            self.know_address(address);
        }
        let list = facts.from.addresses.join(", ");
        let hidden: Vec<String> = facts.from.addresses.iter().map(|one| self.key.address(one, self.client)).collect();
        self.know(&list, hidden.join(", "));
        for host in [&facts.client.name, &facts.iprev.name, &facts.helo] {
            let hidden = self.host_or_text(host);
            self.know(host, hidden);
        }
        self.know(&facts.message.message_id, self.key.message_id(&facts.message.message_id, self.client));
        self.know(&self.client.to_string(), network(self.client).to_string());
        self.known.names.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.known.names.dedup();
    }

    fn know_address(&mut self, address: &str) {
        let hidden = self.key.address(address, self.client);
        if let Some((local, domain)) = address.rsplit_once('@') {
            let short = self.key.local(local, domain);
            self.know(local, short.clone());
            self.know(local.trim_matches('"'), short);
            self.known.domains.push(domain.to_ascii_lowercase());
        }
        self.know(address, hidden);
    }

    /// Knows a name in every form that a reply gives it: whole, cut, and with `?` or `\x{...}` for what is not ASCII.
    fn know(&mut self, name: &str, hidden: String) {
        if name.is_empty() || name == hidden {
            return;
        }
        let cut: String = name.chars().take(IN_A_REPLY).collect();
        let marked: String = cut.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
        let lower = name.to_lowercase();
        for form in [name.to_owned(), lower, cut, marked] {
            self.known.names.push((form.to_ascii_lowercase(), hidden.clone()));
        }
    }

    fn address(&self, address: &mut String) {
        *address = self.key.address(address, self.client);
    }

    fn host(&self, name: &mut String) {
        *name = self.host_or_text(name);
    }

    /// A text that should be the name of a host.
    fn host_or_text(&self, text: &str) -> String {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let is_literal = bare.len() != text.len();
        if is_literal || is_name(text) {
            self.key.host(text, self.client)
        } else {
            self.key.scrubbed(text, self.client)
        }
    }

    /// HELO and the like: some clients say a recipient's local-part there.
    fn greeting(&mut self, text: &mut String) {
        *text = self.host_or_text(text);
        if !text.contains('.') || !is_name(text) {
            self.text(text);
        }
    }

    /// `domain/mailbox/new/...`
    fn path(&mut self, path: &mut String) {
        if !path.contains('/') {
            return self.text(path);
        }
        let mut parts = path.splitn(3, '/');
        if let (Some(domain), Some(local)) = (parts.next(), parts.next()) {
            let hidden = self.key.local(local, domain);
            *path = parts.next().map_or(format!("{domain}/{hidden}"), |rest| format!("{domain}/{hidden}/{rest}"));
        }
    }

    /// A local-part as the address beside it has it.
    fn local(&self, local: &mut String, address: &str, domain: &str) {
        let domain = address.rsplit_once('@').map_or(domain, |(_, domain)| domain);
        if !local.is_empty() && !address.eq_ignore_ascii_case("postmaster") {
            *local = self.key.local(local, domain);
        }
    }

    /// A header field's value. Of fields that hold mailboxes and message identifiers (RFC 5322 §3.6) only those are kept: beside
    /// them are people's names.
    fn field(&mut self, name: &str, value: &mut String) {
        if MAILBOXES.contains(&name) {
            let hidden = self.key.scrubbed(&self.known.replaced(value), self.client);
            let separates = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | ':' | '(' | ')' | '"');
            let kept: Vec<&str> =
                hidden.split(separates).filter(|word| word.starts_with(MARK) && word.contains('@')).collect();
            *value = if kept.is_empty() { self.key.opaque(value) } else { kept.join(", ") };
        } else if IDENTIFIERS.contains(&name) {
            let ids: Vec<String> = value.split_whitespace().map(|id| self.key.message_id(id, self.client)).collect();
            *value = ids.join(" ");
        } else {
            self.text(value);
        }
    }

    /// The name of a file says what a person called it; its extension stays.
    fn attachment(&self, name: &mut String, extension: &str) {
        if name.is_empty() {
            return;
        }
        let hidden = self.key.opaque(name);
        let is_short = extension.len() <= 10 && extension.bytes().all(|octet| octet.is_ascii_alphanumeric());
        *name = if extension.is_empty() || !is_short { hidden } else { format!("{hidden}.{extension}") };
    }

    fn text(&mut self, text: &mut String) {
        if text.is_empty() {
            return;
        }
        if let Some(known) = self.memo.get(text.as_str()) {
            text.clone_from(known);
            return;
        }
        let before = text.clone();
        let whole = if before.len() > LONG_REPLY { self.known.without_cut_name(&before) } else { before.clone() };
        *text = self.key.scrubbed(&self.known.replaced(&whole), self.client);
        self.memo.insert(before, text.clone());
    }

    /// A reply keeps its codes: a client whose local-part looks like one must not change what was answered.
    fn reply(&mut self, reply: &mut String) {
        let (codes, text) = codes_and_text(reply);
        let (codes, mut text) = (codes.to_owned(), text.to_owned());
        self.text(&mut text);
        *reply = codes + &text;
    }

    fn texts(&mut self, texts: &mut [String]) {
        texts.iter_mut().for_each(|text| self.text(text));
    }

    fn record(&mut self, record: &mut Record) {
        let Record {
            v: _,
            reference: _,
            time: _,
            stage: _,
            facts,
            greylist_of_message: _,
            recipients,
            recipients_more: _,
            rules,
            policy: PolicyRecord { file: _, sha256: _ },
            decision: DecisionRecord { action: _, rule: _, reply, why, read: _, changes },
            delivery,
            trouble,
            timings_us: _,
            cut: _,
        } = record;
        // texts first, while `known` is all that is needed of the rest
        self.reply(reply);
        [why, trouble].into_iter().for_each(|text| self.text(text));
        self.changes(changes);
        for RuleRecord { name: _, at: _, outcome: _, action: _, score: _ } in rules {}
        for Recipient { address, mailboxes, reply, domain, role: _, decision, changes, trouble, recalled } in recipients
        {
            self.reply(reply);
            self.text(trouble);
            self.host(domain);
            if let Some(RecipientDecision { action: _, rule: _, instead_of: _ }) = decision {}
            self.changes(changes);
            if let Some(Recalled { greylist: Greylist { result: _, key: _, wait: _ }, rates: _ }) = recalled {}
            self.address(address);
            mailboxes.iter_mut().for_each(|mailbox| self.address(mailbox));
        }
        for DeliveryRecord { mailbox, folder: _, file } in delivery {
            self.address(mailbox);
            self.path(file);
        }
        self.facts(facts);
    }

    /// All but the redirect is the policy's own text.
    fn changes(&self, changes: &mut Option<ChangesRecord>) {
        if let Some(ChangesRecord { folder: _, add_headers: _, remove_headers: _, tag_subject: _, redirect }) = changes
        {
            self.address(redirect);
        }
    }

    fn facts(&mut self, facts: &mut Facts) {
        let Facts {
            client: Client { ip, port, name, trusted: _, early_talker: _ },
            clock: _,
            helo,
            esmtp: _,
            helo_check: HeloCheck { kind: _, result: _, matches_ptr: _ },
            tls,
            mail_from: Address { address, local, domain, smtputf8: _ },
            rcpt: Rcpt { address: rcpt_address, local: rcpt_local, domain: rcpt_domain, role: _, count: _ },
            message: Message { bytes: _, header_bytes: _, fields: _, received: _, longest_line: _, message_id },
            headers,
            mime,
            from: From { addresses, domain: from_domain, defects: _ },
            reply_to: ReplyTo { domain: reply_to },
            iprev: Iprev { result: _, name: iprev_name },
            spf:
                SpfBoth {
                    helo: Spf { result: _, domain: spf_helo, secure: _ },
                    mail_from: Spf { result: _, domain: spf_mail_from, secure: _ },
                },
            dkim,
            dmarc: Dmarc { result: _, domain: dmarc_domain, policy: _, published: _, aligned: _, secure: _ },
            arc: Arc { result: _ },
            block_lists,
            reverse_mx: ReverseMxFour { mail_from: mx_mail_from, from: mx_from, reply_to: mx_reply_to, ptr: mx_ptr },
            greylist: Greylist { result: _, key: _, wait: _ },
            // named by the policy's rules: words and times
            rates: _,
            score: _,
        } = facts;
        *ip = network(*ip);
        // with a time to the millisecond it tells apart who shares an address
        *port = 0;
        for (local, address, domain) in [(local, &*address, &*domain), (rcpt_local, &*rcpt_address, &*rcpt_domain)] {
            self.local(local, address, domain);
        }
        for (name, HeaderField { present: _, count: _, value, last }) in headers.iter_mut() {
            [value, last].into_iter().flatten().for_each(|value| self.field(name, value));
        }
        if let Some(Mime { parts: _, depth: _, truncated: _, defects: _, attachments }) = mime {
            for Attachment { name, extension, media_type, bytes: _, depth: _ } in attachments {
                self.attachment(name, extension);
                [extension, media_type].into_iter().for_each(|text| self.text(text));
            }
        }
        [address, rcpt_address].into_iter().chain(addresses).for_each(|address| self.address(address));
        *message_id = self.key.message_id(message_id, self.client);
        self.greeting(helo);
        for host in [name, iprev_name, domain, rcpt_domain, from_domain, reply_to, spf_mail_from, dmarc_domain] {
            self.host(host);
        }
        self.greeting(spf_helo);
        for ReverseMx { domain, result: _, mx: _, secure: _ } in [mx_mail_from, mx_from, mx_reply_to, mx_ptr] {
            self.host(domain);
        }
        if let Some(tls) = tls {
            let Tls { version: _, cipher: _, group: _, sni } = &mut **tls;
            self.host(sni);
        }
        for Dkim { result: _, domain, selector, algorithm, reason, secure: _ } in dkim {
            self.host(domain);
            [selector, algorithm, reason].into_iter().for_each(|text| self.text(text));
        }
        for BlockList { listed: _, codes, names, temperror: _ } in block_lists.values_mut() {
            self.texts(codes);
            names.iter_mut().for_each(|name| self.host(name));
        }
    }
}

impl Known {
    /// The text without a name that it was cut in the middle of, but with its ref.
    fn without_cut_name(&self, text: &str) -> String {
        let (body, reference) = match text.rsplit_once(" ref=") {
            Some((body, reference)) => (body, format!(" ref={reference}")),
            None => (text, String::new()),
        };
        let start = body.rfind([' ', ',', '<', '(', '[']).map_or(0, |at| at + 1);
        let (kept, word) = body.split_at_checked(start).unwrap_or((body, ""));
        let word = word.to_ascii_lowercase();
        let is_part = !word.is_empty() && self.names.iter().any(|(name, _)| name.starts_with(&word));
        if is_part { format!("{}{reference}", kept.trim_end()) } else { text.to_owned() }
    }

    /// The text with every known name in it replaced; a name is found as a word of its own, in any case.
    fn replaced(&self, text: &str) -> String {
        let lower = text.to_ascii_lowercase();
        let mut out = String::with_capacity(text.len());
        let mut skip_to = 0;
        let mut before = None;
        for (at, c) in text.char_indices() {
            if at < skip_to {
                continue;
            }
            let found = (!before.is_some_and(char::is_alphanumeric) || !c.is_alphanumeric())
                .then(|| self.at(&lower, at))
                .flatten();
            match found {
                Some((name, hidden)) => {
                    out.push_str(hidden);
                    skip_to = at + name.len();
                    before = name.chars().next_back();
                }
                None => {
                    out.push(c);
                    before = Some(c);
                }
            }
        }
        out
    }

    fn at(&self, lower: &str, at: usize) -> Option<(&str, &str)> {
        let rest = lower.get(at..)?;
        let found = self.names.iter().find(|(name, _)| {
            let ends = |behind: &str| {
                let inside = name.chars().next_back().is_some_and(char::is_alphanumeric);
                !inside || !behind.starts_with(char::is_alphanumeric)
            };
            rest.strip_prefix(name.as_str()).is_some_and(ends) && !self.is_label(lower, at, name)
        });
        found.map(|(name, hidden)| (name.as_str(), hidden.as_str()))
    }

    /// Whether the word at a place is no name but a label of one of the record's domains.
    fn is_label(&self, lower: &str, at: usize, name: &str) -> bool {
        if name.contains('@') {
            return false;
        }
        let belongs = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        let start = lower.get(..at).map_or(0, |before| before.trim_end_matches(belongs).len());
        let end = lower.get(at..).map_or(0, |rest| at + rest.find(|c| !belongs(c)).unwrap_or(rest.len()));
        let word = lower.get(start..end).unwrap_or_default().trim_matches('.');
        word.len() > name.len() && self.domains.iter().any(|domain| word == domain || is_below(word, domain))
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    !domain.is_empty() && name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}
