//! What comes after the samples: a row for each message that a person sends, as soon as the journal has it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::facts::record::Record;
use crate::observe::journal::LINE_OCTETS;

use super::client::Answer;
use super::expected::Seen;
use super::{show, table};

/// How often the journal is looked at.
const PAUSE: Duration = Duration::from_millis(200);
/// Octets that are read at a look; no line is longer.
const LOOK: u64 = 4 * LINE_OCTETS as u64;
/// Rows that are shown of one look: whoever sends more at a time is measuring and not reading.
const ROWS: usize = 10;

/// Where the journal was read up to.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    file: PathBuf,
    offset: u64,
}

impl Follower {
    /// Follows what is written from now on.
    pub fn new(directory: &Path) -> Follower {
        let file = of_today(directory);
        let offset = file.metadata().map_or(0, |metadata| metadata.len());
        Follower { directory: directory.to_owned(), file, offset }
    }

    /// The records that were added since the last look.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn look(&mut self) -> io::Result<Vec<Record>> {
        let today = of_today(&self.directory);
        let records = self.read()?;
        if records.is_empty() && today != self.file {
            (self.file, self.offset) = (today, 0);
        }
        Ok(records)
    }

    fn read(&mut self) -> io::Result<Vec<Record>> {
        let mut file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = Vec::new();
        file.take(LOOK).read_to_end(&mut text)?;
        // the last line may be half written
        let end = text.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
        self.offset += end as u64;
        let lines = text.get(..end).unwrap_or_default().split(|octet| *octet == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// The day's file of the journal (UTC).
fn of_today(directory: &Path) -> PathBuf {
    directory.join(format!("{}.jsonl", Timestamp::now().to_zoned(TimeZone::UTC).date()))
}

/// Shows rows for ever, their numbers going on from `number`.
pub(super) async fn show_others(mut follower: Follower, mut number: usize, out: &mut dyn Write) {
    loop {
        tokio::time::sleep(PAUSE).await;
        // a look is short, and nothing else runs on this thread
        let Ok(records) = follower.look() else { continue };
        // what the client gave up has no answer, and nothing was decided
        let decided: Vec<Record> = records.into_iter().filter(|record| !record.decision.reply.is_empty()).collect();
        let more = decided.len().saturating_sub(ROWS);
        for record in decided.into_iter().take(ROWS) {
            number += 1;
            let title = format!("Yours, {}", record.time.get(11..19).unwrap_or_default());
            let seen = Seen { answer: Answer { line: record.decision.reply.clone() }, record };
            show(out, &format!("\n{}", table::row(number, &title, &seen, &[]).trim_end_matches('\n')));
            show(out, "\n");
        }
        if more > 0 {
            number += more;
            show(out, &format!("\n    and {more} more\n"));
        }
    }
}
