//! `gatepost explain`

mod again;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::search::{json_lines, listing, newest, passed_over, spellings, unreadable};
use super::table::number;
use super::{Exit, complain, journal_of, print, tell};
use crate::facts::record::Record;
use crate::observe::explain::story;
use crate::observe::journal::{self, Found, MessageId, Query};

/// Records of one Message-ID that are listed at most.
const MOST_RECORDS: usize = 200;

/// Tell the whole story of one transaction from the journal
///
/// In words: what was claimed, what each check found, what each rule did, what was answered and
/// where the message is; of what was refused also whether it came again, of what was accepted whether it had been put off. A Message-ID that came several
/// times is listed, a line each. Exits 1 if the journal does not know it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost explain 01HV8K3M5QZ7W2XC
  gatepost explain '<20261125.4711@mail.bank.example>' --config /etc/gatepost/gatepost.toml
  gatepost explain 01HV8K3M5QZ7W2XC --config /etc/gatepost/gatepost.toml --json | jq .spf")]
pub struct Args {
    /// The ref=... of a reply, the id of a Received field, or the X-Gatepost-Decision's; or a Message-ID
    #[arg(value_name = "REF|MESSAGE-ID")]
    pub reference: String,
    /// Tell all stories of a Message-ID that came several times
    #[arg(long)]
    pub all: bool,
    /// The configuration that names the journal [default: gatepost.toml here, else ./journal]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the decision record as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    match explain(args) {
        Ok(text) => {
            print(&text);
            Exit::Fine.into()
        }
        Err(exit) => exit.into(),
    }
}

fn explain(args: &Args) -> Result<String, Exit> {
    let directory = journal_of(args.config.as_deref())?;
    let typed = args.reference.trim();
    // a pasted ref may stand in any brackets, a Message-ID without @ only in its own
    match journal::normalise(typed) {
        Some(reference) if !typed.contains('@') => by_ref(args, &directory, &reference),
        _ if typed.contains('@') || typed.starts_with('<') && typed.ends_with('>') => by_message_id(args, &directory),
        _ => {
            complain(&format!(
                "\"{}\" is neither a ref, which is 16 characters as in ref=01HV8K3M5QZ7W2XC, nor a Message-ID, which has an @",
                typed.escape_debug()
            ));
            Err(Exit::Failed)
        }
    }
}

fn by_ref(args: &Args, directory: &Path, reference: &str) -> Result<String, Exit> {
    let search = journal::search(directory, reference).map_err(|error| unreadable(directory, &error))?;
    if !search.problems.is_empty() {
        tell(&search.problems);
    }
    let Some(record) = search.record else {
        let skipped = match search.skipped {
            0 => String::new(),
            1 => ", of which one line can't be read".to_owned(),
            lines => format!(", of which {lines} lines can't be read"),
        };
        complain(&format!("{reference} is not in the journal in {}{skipped}", directory.display()));
        return Err(Exit::Failed);
    };
    if !args.json {
        return whole(directory, &record);
    }
    let json = serde_json::to_string(&record).map_err(|error| {
        complain(&format!("the record cannot be printed: {error}"));
        Exit::Failed
    })?;
    Ok(json + "\n")
}

/// The story of a record, what it went through before, and what became of it.
fn whole(directory: &Path, record: &Record) -> Result<String, Exit> {
    Ok(story(record) + &again::told_before(directory, record)? + &again::told(directory, record)?)
}

fn by_message_id(args: &Args, directory: &Path) -> Result<String, Exit> {
    let typed = args.reference.trim();
    let spellings = spellings(directory)?;
    let query = Query { message_id: Some(MessageId::new(typed, &spellings)), ..Query::default() };
    let found = newest(directory, &query, None, MOST_RECORDS, true)?;
    if found.found == 0 {
        let typed = typed.escape_debug();
        let skipped = passed_over(found.skipped);
        complain(&format!("no message \"{typed}\" is in the journal in {}{skipped}", directory.display()));
        return Err(Exit::Failed);
    }
    if args.json {
        return Ok(json_lines(&found));
    }
    let count = found.kept().count();
    if count > 1 && !args.all {
        let which = if found.is_full() { "The newest" } else { "It came" };
        let times = number(count as u64);
        let newest = found.kept().next().map(|found| found.brief.reference.clone()).unwrap_or_default();
        let text = format!("{which} {times} times:\n\n{}\n", listing(&found));
        return Ok(text + &format!("The whole story of one: gatepost explain {newest}; of all: --all\n"));
    }
    let mut text = String::new();
    for Found { line, .. } in found.kept() {
        let record: Record = serde_json::from_slice(line).map_err(|error| {
            complain(&format!("a line of the journal cannot be read: {error}"));
            Exit::Failed
        })?;
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&whole(directory, &record)?);
    }
    Ok(text)
}
