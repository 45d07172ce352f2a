//! The command line: what each subcommand takes (a file each), exit codes, and how people are told of problems.

pub mod cases;
pub mod config_check;
pub mod demo;
pub mod explain;
pub mod facts;
pub mod journal;
mod lines;
pub mod policy_check;
pub mod policy_forwarders;
pub mod policy_replay;
pub mod policy_test;
pub mod progress;
pub mod search;
pub mod serve;
mod table;
pub mod try_;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Parser, Subcommand};

use crate::config::Config;
use crate::observe::escape::shown;
use crate::problem::Problems;

/// Warnings that are told of a file.
const MOST_WARNINGS: usize = 25;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Fine,
    /// What was to be checked failed, or what was sought is not there.
    Failed,
    /// Wrong arguments, or files in which something is wrong.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => ExitCode::SUCCESS,
            Exit::Failed => ExitCode::from(1),
            Exit::Usage => ExitCode::from(2),
        }
    }
}

/// Receives mail for the domains that name this host in their MX record
///
/// It authenticates every message, decides by a readable policy, stores what it accepts durably, and explains every decision.
#[derive(Debug, Parser)]
#[command(name = "gatepost", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 fine, 1 the check failed, 2 usage or configuration.\nTo see it work at once: gatepost demo"
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Subcommands,
}

/// The subcommands; what each does stands at its arguments, from where the help takes it.
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
pub enum Subcommands {
    Serve(serve::Args),
    Demo(demo::Args),
    Try(try_::Args),
    Explain(explain::Args),
    Search(search::Args),
    /// Check a configuration
    #[command(subcommand)]
    Config(ConfigCommands),
    /// Check, test or replay a policy
    #[command(subcommand)]
    Policy(PolicyCommands),
    /// Give out or erase what the journal knows of an address, or check its audit
    #[command(subcommand)]
    Journal(journal::JournalCommands),
    Facts(facts::Args),
}

/// `gatepost config`
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true, after_help = "Example:\n  gatepost config check /etc/gatepost/gatepost.toml")]
pub enum ConfigCommands {
    Check(config_check::Args),
}

/// `gatepost policy`
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true, after_help = "Example:\n  gatepost policy test policies/strict.toml")]
pub enum PolicyCommands {
    Check(policy_check::Args),
    Test(policy_test::Args),
    Replay(policy_replay::Args),
    Forwarders(policy_forwarders::Args),
}

impl Arguments {
    /// The arguments of this process.
    ///
    /// # Errors
    /// How to end where there is nothing to run: help and version were printed, or one line says what is wrong with the arguments.
    pub fn of_process() -> Result<Arguments, Exit> {
        Arguments::try_parse().map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                let rendered = error.render();
                print(&if colour() { rendered.ansi().to_string() } else { rendered.to_string() });
                Exit::Fine
            }
            _ => {
                let words: Vec<String> =
                    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
                complain(&usage_line(&error, &words));
                Exit::Usage
            }
        })
    }
}

/// What is wrong with the arguments, in one line.
fn usage_line(error: &clap::Error, words: &[String]) -> String {
    // clap's text is paragraphs: what is wrong (with a line an argument), tips, the usage
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let cause = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "no command is given".to_owned()
        }
        _ => paragraphs.next().unwrap_or_default(),
    };
    let mut line = cause.strip_prefix("error: ").unwrap_or(&cause).to_owned();
    for tip in paragraphs.filter_map(|paragraph| paragraph.strip_prefix("tip: ").map(str::to_owned)) {
        line.push_str("; ");
        line.push_str(&tip);
    }
    format!("{line}; see {} --help", command_of(words))
}

/// The subcommand that the arguments begin with, as one would type it.
fn command_of(words: &[String]) -> String {
    let mut name = "gatepost".to_owned();
    let mut command: Command = Arguments::command();
    for word in words {
        let Some(below) = command.find_subcommand(word).cloned() else { break };
        name.push(' ');
        name.push_str(word);
        command = below;
    }
    name
}

/// The configuration that is taken where none is named.
const HERE: &str = "gatepost.toml";

/// The configuration of `--config`; without it gatepost.toml here; without that the built-in one.
///
/// # Errors
/// Everything that is wrong with it.
pub fn configuration(given: Option<&Path>) -> Result<Config, Problems> {
    let here = Path::new(HERE);
    match given {
        Some(path) => Config::load(path),
        None if here.symlink_metadata().is_ok() => Config::load(here),
        None => Config::built_in(),
    }
}

/// The directory of that configuration's journal. What else is wrong with the configuration is a warning: that is when the journal is
/// asked.
fn journal_of(given: Option<&Path>) -> Result<PathBuf, Exit> {
    let here = Path::new(HERE);
    let Some(file) = given.or_else(|| here.symlink_metadata().is_ok().then_some(here)) else {
        return Config::built_in().map(|config| config.journal.directory).map_err(|problems| tell(&problems));
    };
    let (directory, problems) = Config::find_journal(file).map_err(|problems| tell(&problems))?;
    if problems > 0 {
        let (problems, them) = (counted(problems, "problem", "problems"), if problems == 1 { "it" } else { "them" });
        let file = file.display();
        complain(&format!("warning: the configuration has {problems}: gatepost config check {file} tells {them}"));
    }
    Ok(directory)
}

/// Whether standard output is to be coloured.
pub fn colour() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// Prints to standard output. Whoever reads it may stop reading (`gatepost facts | head`): that is no error.
pub fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Characters of a complaint: a path, and what was wrong with it.
const COMPLAINT: usize = 8_000;

/// Prints one line of complaint to standard error, escaped: it may quote an argument that was pasted from somewhere.
pub fn complain(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "gatepost: {}", shown(line, COMPLAINT));
}

/// Tells all problems on standard error: the files are not fit for use.
pub fn tell(problems: &Problems) -> Exit {
    let coloured = anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let _ = anstream::stderr().lock().write_all(problems.render(coloured).as_bytes());
    Exit::Usage
}

/// A number with what it counts.
fn counted<N: PartialEq + From<u8> + Display>(number: N, one: &str, many: &str) -> String {
    let noun = if number == N::from(1) { one } else { many };
    format!("{number} {noun}")
}
