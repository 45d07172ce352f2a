//! `gatepost journal`: what the law lets people ask of a journal, and what shows that nobody has changed its audit.

pub mod erase;
pub mod export;
pub mod verify;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Exit, complain};
use crate::observe::journal::{Spellings, Subject};

/// `gatepost journal`
#[allow(missing_docs)]
#[derive(Debug, clap::Subcommand)]
#[command(
    disable_help_subcommand = true,
    after_help = "Example:\n  gatepost journal export --address alice@example.com --config /etc/gatepost/gatepost.toml"
)]
pub enum JournalCommands {
    Erase(erase::Args),
    Export(export::Args),
    Verify(verify::Args),
}

/// The address that was asked for, in all its spellings.
fn subject(directory: &Path, address: &str) -> Result<Subject, Exit> {
    let spellings = Spellings::read(directory).map_err(|error| unusable(directory, &error))?;
    if spellings.unread > 0 {
        complain(&format!(
            "warning: {} of the keys in {} can't be read; what was written under them is not found",
            spellings.unread,
            directory.display()
        ));
    }
    Subject::new(address, &spellings).map_err(|line| {
        complain(&format!("--address: {line}"));
        Exit::Usage
    })
}

/// Says that the journal can't be used, and what mends it.
fn unusable(directory: &Path, error: &io::Error) -> Exit {
    let mend = match error.kind() {
        ErrorKind::NotFound => "; name the configuration that says where the journal is: --config FILE",
        ErrorKind::PermissionDenied => "; ask as root, or as the user in [security]",
        _ => "",
    };
    complain(&format!("the journal in {} can't be used: {error}{mend}", directory.display()));
    Exit::Usage
}

/// What all of them take.
#[derive(Debug, clap::Args)]
pub struct Of {
    /// An address, as in alice@example.com; with any +detail, and wherever other addresses hold it
    #[arg(long, value_name = "ADDRESS")]
    pub address: String,
    /// The configuration that names the journal [default: gatepost.toml here, else ./journal]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Torn and foreign lines, in words; empty for none.
fn passed_over(lines: u64) -> String {
    match lines {
        0 => String::new(),
        1 => "one line that is no record was passed over".to_owned(),
        _ => format!("{lines} lines that are no records were passed over"),
    }
}
