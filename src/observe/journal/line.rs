//! A record as one line of bounded length.
//!
//! Producers cut what clients send; here it is bound once more, so that no fault elsewhere can fill the disk with one message.

use std::collections::BTreeSet;
use std::mem;

use crate::facts::record::{
    ALL_CUT, ChangesRecord, DecisionRecord, DeliveryRecord, PolicyRecord, Recalled, Recipient, RecipientDecision,
    Record, RuleRecord,
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
    let mut cut = BTreeSet::new();
    for &(characters, entries) in STEPS {
        Bound { characters, entries, has_cut: false, cut: &mut cut }.record(&mut record);
        record.cut = cut.iter().map(|fact| (*fact).to_owned()).collect();
        if let Some(line) = written(&record) {
            return line;
        }
    }
    record.facts = Facts::new(record.facts.client.ip, record.facts.client.port, record.facts.client.trusted);
    record.cut = vec![ALL_CUT.to_owned()];
    written(&record).unwrap_or_else(|| "\n".to_owned())
}

fn written(record: &Record) -> Option<String> {
    let mut line = serde_json::to_string(record).ok()?;
    line.push('\n');
    (line.len() <= LINE_OCTETS).then_some(line)
}

/// Cuts every string and list of a record. Structs are taken apart by name, so that a new field cannot be forgotten here.
struct Bound<'c> {
    characters: usize,
    entries: usize,
    /// Something was cut since it was last asked.
    has_cut: bool,
    /// Facts that are not here any more as the rules saw them.
    cut: &'c mut BTreeSet<&'static str>,
}

impl Bound<'_> {
    fn text(&mut self, text: &mut String) {
        self.has_cut |= cut(text, self.characters);
    }

    fn texts(&mut self, list: &mut Vec<String>) {
        self.list(list, |more| format!("{CUT} and {more} more"));
        list.iter_mut().for_each(|text| self.text(text));
    }

    /// What was cut since the last call belongs to this.
    fn of(&mut self, fact: &'static str) {
        if mem::take(&mut self.has_cut) {
            self.cut.insert(fact);
        }
    }

    /// Lets entries of a map go, the last first.
    fn map<T>(&mut self, map: &mut std::collections::BTreeMap<String, T>) {
        while map.len() > self.entries {
            self.has_cut = true;
            map.pop_last();
        }
    }

    /// Cuts a list; where there is room for one, a last entry says how many are gone.
    fn list<T>(&mut self, list: &mut Vec<T>, mark: impl FnOnce(usize) -> T) {
        if list.len() > self.entries {
            self.has_cut = true;
            let keep = self.entries.saturating_sub(1);
            let more = list.len() - keep;
            list.truncate(keep);
            if self.entries > 0 {
                list.push(mark(more));
            }
        }
    }

    fn record(&mut self, record: &mut Record) {
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
            cut: _,
        } = record;
        self.texts(read);
        [reference, time, file, sha256, rule, reply, why, trouble].into_iter().for_each(|text| self.text(text));
        self.has_cut = false;
        self.facts(facts);
        self.has_cut = false;
        self.changes(changes);
        if recipients.len() > self.entries {
            *recipients_more += (recipients.len() - self.entries) as u64;
            recipients.truncate(self.entries);
        }
        for Recipient { address, mailboxes, reply, domain, role: _, decision, changes, trouble, recalled } in recipients
        {
            [reply, trouble].into_iter().for_each(|text| self.text(text));
            self.has_cut = false;
            [address, domain].into_iter().for_each(|text| self.text(text));
            self.of("recipients");
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

    fn facts(&mut self, facts: &mut Facts) {
        let Facts {
            client: Client { ip: _, port: _, name, trusted: _, early_talker: _ },
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
        for (fact, text) in [
            ("client.name", name),
            ("helo", helo),
            ("mail_from.address", address),
            ("mail_from.local", local),
            ("mail_from.domain", domain),
            ("rcpt.address", rcpt_address),
            ("rcpt.local", rcpt_local),
            ("rcpt.domain", rcpt_domain),
            ("message.message_id", message_id),
            ("from.domain", from_domain),
            ("reply_to.domain", reply_to),
            ("iprev.name", iprev_name),
            ("spf.helo.domain", spf_helo),
            ("spf.mail_from.domain", spf_mail_from),
            ("dmarc.domain", dmarc_domain),
        ] {
            self.text(text);
            self.of(fact);
        }
        if let Some(tls) = tls {
            let Tls { version, cipher, group, sni } = &mut **tls;
            for (fact, text) in
                [("tls.version", version), ("tls.cipher", cipher), ("tls.group", group), ("tls.sni", sni)]
            {
                self.text(text);
                self.of(fact);
            }
        }
        self.texts(addresses);
        self.of("from.addresses");
        self.texts(defects);
        self.of("from.defects");
        self.list(dkim, |more| Dkim { reason: format!("{CUT} and {more} more"), ..Dkim::default() });
        for Dkim { result: _, domain, selector, algorithm, reason, secure: _ } in dkim {
            [domain, selector, algorithm, reason].into_iter().for_each(|text| self.text(text));
        }
        self.of("dkim");
        self.map(headers);
        for HeaderField { present: _, count: _, value, last } in headers.values_mut() {
            [value, last].into_iter().flatten().for_each(|text| self.text(text));
        }
        self.of("headers");
        if let Some(Mime { parts: _, depth: _, truncated: _, defects, attachments }) = mime {
            self.texts(defects);
            self.of("mime.defects");
            self.list(attachments, |more| Attachment {
                name: format!("{CUT} and {more} more"),
                ..Attachment::default()
            });
            for Attachment { name, extension, media_type, bytes: _, depth: _ } in attachments {
                [name, extension, media_type].into_iter().for_each(|text| self.text(text));
            }
            self.of("mime.attachments");
        }
        // their names come from the policy, which is bounded
        self.map(rates);
        self.of("rates");
        self.map(block_lists);
        for BlockList { listed: _, codes, names, temperror: _ } in block_lists.values_mut() {
            self.texts(codes);
            self.texts(names);
        }
        self.of("block_lists");
        for (fact, ReverseMx { domain, result: _, mx: _, secure: _ }) in [
            ("reverse_mx.mail_from.domain", mx_mail_from),
            ("reverse_mx.from.domain", mx_from),
            ("reverse_mx.reply_to.domain", mx_reply_to),
            ("reverse_mx.ptr.domain", mx_ptr),
        ] {
            self.text(domain);
            self.of(fact);
        }
    }
}
