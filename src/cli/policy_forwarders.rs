//! `gatepost policy forwarders`

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::lines::{Lines, configuration_for, parse_since};
use super::table::number;
use super::{Exit, complain, print};
use crate::observe::escape::shown;
use crate::policy::forwarders::{Forwarders, Proposal};
use crate::policy::replay::Named;

/// Characters of a name in a comment.
const NAME: usize = 100;

/// Propose entries for a list of known forwarders, from the journal
///
/// Looks for clients whose reverse name is confirmed, whose mail fails DMARC, and that carry mail of several author domains: forwarders and
/// mailing lists look like this. Prints lines to paste into a policy's `[lists]`, with what was seen as comments. It only
/// proposes: a spammer can look the same, so look at each with gatepost explain.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost policy forwarders --since 30d --config /etc/gatepost/gatepost.toml
  gatepost policy forwarders --json /var/lib/gatepost/journal/2026-11-*.jsonl")]
pub struct Args {
    /// Files of the journal [default: the whole journal of the configuration]
    #[arg(value_name = "FILES", conflicts_with = "since")]
    pub files: Vec<PathBuf>,
    /// Only what is not older: 30d, 12h, or a day such as 2026-11-25 (UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub since: Option<Timestamp>,
    /// Author domains that a client must have carried to be proposed
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    pub domains: usize,
    /// The configuration that names the journal [default: gatepost.toml here]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the proposals as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    match propose(args) {
        Ok(text) => {
            print(&text);
            Exit::Fine.into()
        }
        Err(exit) => exit.into(),
    }
}

/// What programs read.
#[derive(Serialize)]
struct Json<'a> {
    records: u64,
    failing: u64,
    skipped_lines: u64,
    forgotten_hosts: u64,
    proposals: &'a [Proposal],
}

fn propose(args: &Args) -> Result<String, Exit> {
    let config = configuration_for(args.config.as_deref(), &args.files)?;
    let lines = Lines::find(&args.files, args.since, config.as_ref())?;
    let since = lines.since_text();
    let (parts, skipped) = lines.each(|| Forwarders::since(&since), |line, seen: &mut Forwarders| seen.take(line))?;
    let mut seen = Forwarders::since(&since);
    parts.into_iter().for_each(|part| seen.merge(part));
    seen.skipped += skipped;
    let proposals = seen.proposals(args.domains);
    if !args.json {
        return Ok(story(&seen, &proposals));
    }
    let json = Json {
        records: seen.records,
        failing: seen.failing,
        skipped_lines: seen.skipped,
        forgotten_hosts: seen.forgotten,
        proposals: &proposals,
    };
    serde_json::to_string_pretty(&json).map(|json| json + "\n").map_err(|error| {
        complain(&format!("the proposals cannot be printed: {error}"));
        Exit::Failed
    })
}

/// Lines of a policy file: whatever is no entry is a comment.
fn story(seen: &Forwarders, proposals: &[Proposal]) -> String {
    let mut out = format!(
        "# {} in the journal; {} of clients with a confirmed name failed DMARC.\n",
        counted(seen.records, "record", "records"),
        counted(seen.failing, "message", "messages")
    );
    for (count, what) in [
        (seen.skipped, "passed over: torn, or not ours"),
        (seen.forgotten, "forgotten for want of room: clients that sent least"),
    ] {
        if count > 0 {
            let _ = writeln!(out, "# {} {what}.", number(count));
        }
    }
    if proposals.is_empty() {
        out.push_str("# None of them carried mail of several author domains: there is nothing to propose.\n");
        return out;
    }
    out.push_str(
        "# Look at each before you take it over: a spammer can look like a forwarder.\n[lists]\nforwarders = [\n",
    );
    for proposal in proposals {
        out.push_str(&entry(proposal));
    }
    out.push_str("]\n");
    out
}

fn entry(proposal: &Proposal) -> String {
    let mut out = format!(
        "    # {} failed DMARC, of {}: {}\n",
        counted(proposal.messages, "message", "messages"),
        counted(proposal.authors as u64, "author domain", "author domains"),
        list(&proposal.author_domains)
    );
    match proposal.dkim_pass.as_slice() {
        [] => out.push_str("    # no DKIM signature passed"),
        domains => {
            let _ = write!(out, "    # DKIM passes of {}", list(domains));
        }
    }
    let decisions = proposal.decisions.iter().map(|(action, count)| format!("{action} {}", number(*count)));
    let _ = writeln!(out, "; decided: {}", decisions.collect::<Vec<_>>().join(", "));
    if proposal.hosts.len() > 1 {
        let _ = writeln!(out, "    # hosts {}", shown(&proposal.hosts.join(" "), 400));
    }
    let _ = writeln!(out, "    # gatepost explain {}", shown(&proposal.refs.join(" "), 200));
    let _ = writeln!(out, "    \"{}\",", shown(&proposal.entry, 300));
    out
}

fn list(names: &[Named]) -> String {
    let named = names.iter().map(|named| format!("{} {}", shown(&named.name, NAME), number(named.count)));
    named.collect::<Vec<_>>().join(", ")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}
