//! A record as one line of bounded length.
//!
//! Producers cut what clients send; here it is bound once more, so that no fault elsewhere can fill the disk with one message.

use crate::facts::record::{
    ChangesRecord, DecisionRecord, DeliveryRecord, PolicyRecord, Recalled, Recipient, RecipientDecision, Record,
    RuleRecord,
};
use crate::facts::{
    Address, Attachment, BlockList, Client, Dkim, Dmarc, Facts, From, Greylist, HeaderField, HeloCheck, Iprev, Message,
    Mime, Rcpt, ReplyTo, ReverseMx, ReverseMxFour, Spf, SpfBoth, Tls,
};
use crate::observe::escape::{CUT, cut};

/// How many characters a string of a line has at most.
pub const STRING_CHARACTERS: usize = 1_000;
/// How many octets a line has at most, its line end included.
pub const LINE_OCTETS: usize = 64 * 1024;

/// How far a record is reduced, one step after the other, until its line fits: characters a string, entries a list.
const STEPS: &[(usize, usize)] = &[(STRING_CHARACTERS, usize::MAX), (300, 100), (120, 30), (80, 8), (40, 2), (20, 0)];

/// The record as one JSON line with its line end, at most [`LINE_OCTETS`] long. Ref, time, stage and decision always stay.
pub fn line(mut record: Record) -> String {
    if !record.facts.score.is_finite() {
        // JSON has no word for it, and a line that can't be read back helps nobody.
        record.facts.score = 0.0;
    }
    for &(characters, entries) in STEPS {
        Bound { characters, entries }.record(&mut record);
        if let Some(line) = written(&record) {
            return line;
        }
    }
    record.facts = Facts::new(record.facts.client.ip, record.facts.client.port, record.facts.client.trusted);
    written(&record).unwrap_or_else(|| "\n".to_owned())
}

fn written(record: &Record) -> Option<String> {
    let mut line = serde_json::to_string(record).ok()?;
    line.push('\n');
    (line.len() <= LINE_OCTETS).then_some(line)
}

/// Cuts every string and list of a record. Structs are taken apart by name, so that a new field cannot be forgotten here.
struct Bound {
    characters: usize,
    entries: usize,
}

impl Bound {
    fn text(&self, text: &mut String) {
        cut(text, self.characters);
    }

    fn texts(&self, list: &mut Vec<String>) {
        self.list(list, |more| format!("{CUT} and {more} more"));
        list.iter_mut().for_each(|text| self.text(text));
    }

    /// Cuts a list; where there is room for one, a last entry says how many are gone.
    fn list<T>(&self, list: &mut Vec<T>, mark: impl FnOnce(usize) -> T) {
        if list.len() > self.entries {
            let keep = self.entries.saturating_sub(1);
            let more = list.len() - keep;
            list.truncate(keep);
            if self.entries > 0 {
                list.push(mark(more));
            }
        }
    }

    fn record(&self, record: &mut Record) {
        let Record {
            v: _,
            reference,
            time,
            stage: _,
            facts,
            greylist_of_message: _,
            recipients,
            recipients_more,
            rules,
            policy: PolicyRecord { file, sha256 },
            decision: DecisionRecord { action: _, rule, reply, why, read, changes },
            delivery,
            trouble,
            timings_us: _,
        } = record;
        self.texts(read);
        [reference, time, file, sha256, rule, reply, why, trouble].into_iter().for_each(|text| self.text(text));
        self.facts(facts);
        self.changes(changes);
        if recipients.len() > self.entries {
            *recipients_more += (recipients.len() - self.entries) as u64;
            recipients.truncate(self.entries);
        }
        for Recipient { address, mailboxes, reply, domain, role: _, decision, changes, recalled } in recipients {
            [address, reply, domain].into_iter().for_each(|text| self.text(text));
            self.texts(mailboxes);
            if let Some(RecipientDecision { action: _, rule, instead_of: _ }) = decision {
                self.text(rule);
            }
            self.changes(changes);
            if let Some(Recalled { greylist: Greylist { result: _, key: _, wait: _ }, rates }) = recalled {
                while rates.len() > self.entries {
                    rates.pop_last();
                }
            }
        }
        self.list(rules, |more| RuleRecord { name: format!("{CUT} and {more} more"), ..RuleRecord::default() });
        for RuleRecord { name, at: _, outcome: _, action: _, score: _ } in rules {
            self.text(name);
        }
        self.list(delivery, |more| DeliveryRecord {
            mailbox: format!("{CUT} and {more} more"),
            ..DeliveryRecord::default()
        });
        for DeliveryRecord { mailbox, folder, file } in delivery {
            [mailbox, folder, file].into_iter().for_each(|text| self.text(text));
        }
    }

    /// Without some of them they would tell of other changes: they stay whole or go.
    fn changes(&self, changes: &mut Option<ChangesRecord>) {
        let Some(ChangesRecord { folder, add_headers, remove_headers, tag_subject, redirect }) = changes else {
            return;
        };
        let lists = [&*add_headers, &*remove_headers, &*tag_subject];
        let long = |text: &String| text.chars().count() > self.characters;
        let fits = lists.iter().all(|list| list.len() <= self.entries && !list.iter().any(long));
        if !fits || long(folder) || long(redirect) {
            *changes = None;
        }
    }

    fn facts(&self, facts: &mut Facts) {
        let Facts {
            client: Client { ip: _, port: _, name, trusted: _, early_talker: _ },
            clock: _,
            helo,
            esmtp: _,
            helo_check: HeloCheck { kind: _, result: _, matches_ptr: _ },
            tls,
            mail_from: Address { address, local, domain, smtputf8: _ },
            rcpt: Rcpt { address: rcpt_address, local: rcpt_local, domain: rcpt_domain, role: _, count: _ },
            message: Message { bytes: _, header_bytes: _, fields: _, received: _, message_id },
            headers,
            mime,
            from: From { addresses, domain: from_domain, defects },
            reply_to: ReplyTo { domain: reply_to },
            iprev: Iprev { result: _, name: iprev_name },
            spf:
                SpfBoth {
                    helo: Spf { result: _, domain: spf_helo, secure: _ },
                    mail_from: Spf { result: _, domain: spf_mail_from, secure: _ },
                },
            dkim,
            dmarc: Dmarc { result: _, domain: dmarc_domain, policy: _, published: _, aligned: _, secure: _ },
            arc: crate::facts::Arc { result: _ },
            block_lists,
            reverse_mx: ReverseMxFour { mail_from: mx_mail_from, from: mx_from, reply_to: mx_reply_to, ptr: mx_ptr },
            greylist: Greylist { result: _, key: _, wait: _ },
            rates,
            score: _,
        } = facts;
        for text in [name, helo, address, domain, rcpt_address, rcpt_domain, message_id, from_domain, reply_to] {
            self.text(text);
        }
        for text in [local, rcpt_local] {
            self.text(text);
        }
        for text in [iprev_name, spf_helo, spf_mail_from, dmarc_domain] {
            self.text(text);
        }
        if let Some(Tls { version, cipher }) = tls {
            self.text(version);
            self.text(cipher);
        }
        self.texts(addresses);
        self.texts(defects);
        self.list(dkim, |more| Dkim { reason: format!("{CUT} and {more} more"), ..Dkim::default() });
        for Dkim { result: _, domain, selector, algorithm, reason, secure: _ } in dkim {
            [domain, selector, algorithm, reason].into_iter().for_each(|text| self.text(text));
        }
        while headers.len() > self.entries {
            headers.pop_last();
        }
        for HeaderField { present: _, count: _, value, last } in headers.values_mut() {
            [value, last].into_iter().flatten().for_each(|text| self.text(text));
        }
        if let Some(Mime { parts: _, depth: _, truncated, defects, attachments }) = mime {
            self.texts(defects);
            *truncated |= attachments.len() > self.entries;
            self.list(attachments, |more| Attachment {
                name: format!("{CUT} and {more} more"),
                ..Attachment::default()
            });
            for Attachment { name, extension, media_type, bytes: _, depth: _ } in attachments {
                [name, extension, media_type].into_iter().for_each(|text| self.text(text));
            }
        }
        while block_lists.len() > self.entries {
            block_lists.pop_last();
        }
        // their names come from the policy, which is bounded
        while rates.len() > self.entries {
            rates.pop_last();
        }
        for BlockList { listed: _, codes, names, temperror: _ } in block_lists.values_mut() {
            self.texts(codes);
            self.texts(names);
        }
        for ReverseMx { domain, result: _, mx: _, secure: _ } in [mx_mail_from, mx_from, mx_reply_to, mx_ptr] {
            self.text(domain);
        }
    }
}
