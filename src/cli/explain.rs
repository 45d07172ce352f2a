//! `gatepost explain`

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Exit, complain, configuration, print, tell};
use crate::observe::explain::story;
use crate::observe::journal;

/// Tell the whole story of one transaction from the journal
///
/// In words: what was claimed, what each check found, what each rule did, what was answered and
/// where the message is. Exits 1 if the journal does not know it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost explain 01HV8K3M5QZ7W2XC
  gatepost explain 01HV8K3M5QZ7W2XC --config /etc/gatepost/gatepost.toml --json | jq .spf")]
pub struct Args {
    /// The ref=... of a reply, the id of a Received field, or the X-Gatepost-Decision's
    #[arg(value_name = "REF")]
    pub reference: String,
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
    let config = configuration(args.config.as_deref()).map_err(|problems| tell(&problems))?;
    let directory = config.journal.directory;
    let Some(reference) = journal::normalise(&args.reference) else {
        complain(&format!(
            "\"{}\" is no ref: a ref is 16 characters, as in ref=01HV8K3M5QZ7W2XC",
            args.reference.escape_debug()
        ));
        return Err(Exit::Failed);
    };
    let search = journal::search(&directory, &reference).map_err(|error| {
        let mend = match error.kind() {
            ErrorKind::NotFound => "; name the configuration that says where the journal is: --config FILE",
            ErrorKind::PermissionDenied => "; ask as root, or as the user in [security]",
            _ => "",
        };
        complain(&format!("the journal in {} cannot be read: {error}{mend}", directory.display()));
        Exit::Usage
    })?;
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
        return Ok(story(&record));
    }
    let json = serde_json::to_string(&record).map_err(|error| {
        complain(&format!("the record cannot be printed: {error}"));
        Exit::Failed
    })?;
    Ok(json + "\n")
}
