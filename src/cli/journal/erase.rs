//! `gatepost journal erase`

use std::process::ExitCode;

use jiff::Timestamp;

use super::{Of, passed_over, subject, unusable};
use crate::cli::{Exit, complain, configuration, counted, print, tell};
use crate::config::Journal;
use crate::observe::journal::audit::{self, Entry, Event, Note};
use crate::observe::journal::{self, ERASED, Erased};

/// Take an address out of the journal, for ever
///
/// Wherever it stands in a record it becomes ~erased; its domain, the decision and all other evidence stay, so
/// that rules can still be replayed. The server may be running. Mail that comes later is journalled as ever. The
/// audit notes that something was erased, and not what. The log of the system, and mail itself, are not touched.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gatepost journal erase --address alice@example.com --config /etc/gatepost/gatepost.toml --dry-run")]
pub struct Args {
    /// Whose traces.
    #[command(flatten)]
    pub of: Of,
    /// Say what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the counts as JSON
    #[arg(long)]
    pub json: bool,
}

/// What an erasure does not reach.
const BESIDE: &str = "what greylisting and rates remember is not reached: nobody can pick an address out of it, and it goes by itself (docs/privacy.md)";

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    erase(args).unwrap_or_else(|exit| exit).into()
}

fn erase(args: &Args) -> Result<Exit, Exit> {
    let config = configuration(args.of.config.as_deref()).map_err(|problems| tell(&problems))?;
    let journal = &config.journal;
    let subject = subject(&journal.directory, &args.of.address)?;
    let erased = journal::erase(&journal.directory, &subject, args.dry_run);
    let erased = erased.map_err(|error| unusable(&journal.directory, &error))?;
    if args.json {
        print(&(serde_json::to_string(&erased).unwrap_or_default() + "\n"));
    } else {
        print(&words(&erased, args.dry_run));
    }
    let failed = erased.days_failed > 0;
    if !erased.problems.is_empty() {
        tell(&erased.problems);
    }
    if !args.dry_run {
        note(journal, &erased)?;
    }
    if config.state.directory.join("state.redb").exists() {
        complain(BESIDE);
    }
    Ok(if failed { Exit::Failed } else { Exit::Fine })
}

fn words(erased: &Erased, dry_run: bool) -> String {
    let would = if dry_run { "would become" } else { "became" };
    let mut words = format!(
        "{} of {} in {} of {}: the address {would} {ERASED}\n",
        erased.changed,
        counted(erased.records, "record", "records"),
        erased.days_changed,
        counted(erased.days, "day", "days")
    );
    if erased.removed > 0 {
        let were = if dry_run { "would be" } else { "were" };
        words.push_str(&format!(
            "{} lines that held it and could not be written without it (torn, foreign) {were} removed\n",
            erased.removed
        ));
    }
    let rest = passed_over(erased.skipped);
    if !rest.is_empty() {
        words.push_str(&format!("{rest}: the address is not in there\n"));
    }
    words
}

/// The audit says that there was an erasure.
fn note(journal: &Journal, erased: &Erased) -> Result<(), Exit> {
    let failed = Some(erased.days_failed).filter(|days| *days > 0);
    let note = Note { lines: Some(erased.changed + erased.removed), days_failed: failed, ..Note::default() };
    let entry = Entry { at: Timestamp::now(), event: Event::Erase, note };
    let done = if failed.is_some() { "the address is erased but for the days above" } else { "the address is erased" };
    // months whose time is over are the server's to remove: it knows whether the clock leapt
    match audit::append(&journal.directory, entry, None) {
        Ok(appended) => {
            appended.trouble.iter().for_each(|trouble| complain(&format!("{done}; {trouble}")));
            Ok(())
        }
        Err(error) => {
            complain(&format!("{done}, but the audit can't be written: {error}"));
            Err(Exit::Failed)
        }
    }
}
