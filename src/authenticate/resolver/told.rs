//! An answer that is kept for the other checks of the same message, which ask for the same names.
//!
//! The cache has it, too, but each time it looks there and copies the whole response, which for a message whose sender's DNS is known
//! is most of the work.

use std::time::Instant;

use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::question::Question;

/// Records of an answer that is kept: with [`TXT_OCTETS`] it bounds what a message can make us hold.
const RECORDS: usize = 8;
/// Octets of text in an answer that is kept.
const TXT_OCTETS: usize = 1024;

/// Records, and how long they are valid.
#[derive(Debug)]
pub(super) struct Told {
    name: Box<[u8]>,
    record_type: RecordType,
    records: Vec<Record>,
    until: Instant,
}

impl Told {
    /// What a look-up for this found; `None` where there is too much of it.
    pub fn of(question: &Question, found: &Lookup) -> Option<Told> {
        let records = found.answers();
        let text = |record: &Record| match &record.data {
            RData::TXT(txt) => txt.txt_data.iter().map(|text| text.len()).sum(),
            _ => 0,
        };
        let is_small = records.len() <= RECORDS && records.iter().map(text).sum::<usize>() <= TXT_OCTETS;
        is_small.then(|| Told {
            name: question.octets().into(),
            record_type: question.record_type,
            records: records.to_vec(),
            until: found.valid_until(),
        })
    }

    /// Whether it still is the answer to this.
    pub fn holds_for(&self, question: &Question) -> bool {
        self.record_type == question.record_type && *self.name == *question.octets() && Instant::now() < self.until
    }

    /// The records.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}
