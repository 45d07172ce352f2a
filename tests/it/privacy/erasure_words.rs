//! `gatepost journal erase` of people whose names are words that records are made of.

use std::collections::BTreeSet;
use std::fs;

use gatepost::facts::record::{Recalled, RecipientDecision, Record};
use gatepost::facts::table::TABLE;
use gatepost::facts::value::Type;
use gatepost::facts::word::{self, Action, Outcome, Role, Stage, Weekday};
use gatepost::facts::{Clock, Greylist};
use gatepost::observe::journal::{Erased, Spellings, Subject, erase};
use serde_json::Value;
use tempfile::TempDir;

use super::pseudonyms::{full, leaves};

/// All words of closed sets that stand in records.
fn words() -> BTreeSet<&'static str> {
    let of_facts = TABLE.iter().flat_map(|fact| match fact.ty {
        Type::Word(words) | Type::WordList(words) => words,
        _ => &[],
    });
    let of_records = [Action::WORDS, Outcome::WORDS, Stage::WORDS, Role::WORDS].concat();
    of_facts.copied().chain(of_records).filter(|word| !word.is_empty()).collect()
}

/// A record with a word in every place that takes nothing else.
fn with_words() -> Record {
    let mut record = full();
    record.facts.clock = Some(Clock { weekday: Weekday::ALL[0], ..Clock::default() });
    record.facts.greylist = Greylist { wait: 1, ..Greylist::default() };
    record.facts.mime.as_mut().unwrap().defects = vec![word::MIME_DEFECTS[0].into()];
    record.facts.rcpt.role = Role::Postmaster;
    record.rules[0].action = Some(Action::Reject);
    let recipient = &mut record.recipients[0];
    recipient.role = Some(Role::Postmaster);
    recipient.decision = Some(RecipientDecision { instead_of: Some(Action::Reject), ..RecipientDecision::default() });
    recipient.recalled = Some(Recalled { greylist: record.facts.greylist.clone(), ..Recalled::default() });
    record
}

fn taking(value: &Value, pointer: &str, text: &str) -> Option<Record> {
    let mut value = value.clone();
    *value.pointer_mut(pointer).unwrap() = Value::String(text.to_owned());
    serde_json::from_value(value).ok()
}

/// The places of the record that take only words.
fn closed(value: &Value) -> Vec<String> {
    let mut places = Vec::new();
    leaves(value, "", &mut places);
    places.retain(|place| {
        let is_list_of_words = place.starts_with("/from/defects/") || place.starts_with("/mime/defects/");
        is_list_of_words || (place != "/client/ip" && taking(value, place, "no word").is_none())
    });
    places
}

#[test]
fn no_word_of_a_record_is_taken_for_a_local_part() {
    let value = serde_json::to_value(with_words()).unwrap();
    let places = closed(&value);
    for place in ["/stage", "/spf/helo/result", "/spf/mail_from/result", "/mime/defects/0", "/recipients/0/role"] {
        assert!(places.iter().any(|found| found == place), "{place}: {places:?}");
    }
    assert!(places.len() > 25, "{places:?}");
    let directory = TempDir::new().unwrap();
    let words = words();
    assert!(words.len() > 60, "{words:?}");
    for word in words {
        let mut about = value.clone();
        for place in &places {
            // each place that takes this word has it
            if taking(&value, place, word).is_some() {
                *about.pointer_mut(place).unwrap() = Value::String(word.to_owned());
            }
        }
        let address = if word.contains(' ') { format!("\"{word}\"@ok.example") } else { format!("{word}@ok.example") };
        *about.pointer_mut("/mail_from/address").unwrap() = Value::String(address.clone());
        let record: Record = serde_json::from_value(about.clone()).unwrap();
        let subject = Subject::new(&address, &Spellings::read(directory.path()).unwrap()).unwrap();
        let line = subject.taken_out_of(&record).unwrap_or_else(|| panic!("{word}: no line"));
        let left: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(left.pointer("/mail_from/address").unwrap(), "~erased@ok.example", "{word}");
        for place in &places {
            assert_eq!(left.pointer(place), about.pointer(place), "{word}: {place}");
        }
    }
}

#[test]
fn who_has_the_name_of_a_result_loses_no_line() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("2026-11-24.jsonl");
    let mut about = full();
    about.facts.mail_from.address = "none@ok.example".into();
    about.facts.helo = "none".into();
    fs::write(&path, serde_json::to_string(&about).unwrap() + "\n").unwrap();
    let subject = Subject::new("none@ok.example", &Spellings::read(directory.path()).unwrap()).unwrap();
    let erased = erase(directory.path(), &subject, false).unwrap();
    assert_eq!(erased, Erased { days: 1, days_changed: 1, records: 1, changed: 1, ..Erased::default() });
    let left: Record = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((left.facts.mail_from.address.as_str(), left.facts.helo.as_str()), ("~erased@ok.example", "~erased"));
    assert_eq!(left.facts.spf, about.facts.spf);
}

#[test]
fn what_stands_for_the_erased_is_nobody() {
    let directory = TempDir::new().unwrap();
    let spellings = Spellings::read(directory.path()).unwrap();
    // a mailbox may be called so, and one whose name follows its domain may be written on both sides of it
    for (address, written, left) in [
        ("erased@ok.example", "erased@ok.example", "~erased@ok.example"),
        ("al@ok.example", "b-al=ok.example=al@list.example", "b-~erased=ok.example=~erased@list.example"),
    ] {
        let mut about = full();
        about.facts.mail_from.address = written.into();
        let line = Subject::new(address, &spellings).unwrap().taken_out_of(&about).unwrap();
        let record: Record = serde_json::from_str(&line).unwrap();
        assert_eq!(record.facts.mail_from.address, left);
    }
    let refused = Subject::new("~erased@ok.example", &spellings).err().unwrap();
    assert!(refused.contains("~erased@ok.example") && refused.contains("was taken out"), "{refused}");
}
