//! `gatepost search`

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use jiff::Timestamp;

use super::lines::{Lines, parse_since, parse_until};
use super::table::{Table, number};
use super::{Exit, colour, complain, journal_of, print};
use crate::facts::word::Action;
use crate::observe::escape::shown;
use crate::observe::journal::{Brief, Found, Newest, Party, Query, Spellings, Who};

/// Characters of an address in the table.
const CELL: usize = 44;

/// Find messages in the journal
///
/// A line each, the newest first: when, its ref, what was decided by which rule, who sent it and to whom. All filters
/// must fit. gatepost explain REF tells the story of one. Exits 1 if there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost search --to alice@example.com --since 3d
  gatepost search --from .bank.example --action reject --since 30d
  gatepost search --client 192.0.2.0/24 --since 2026-11-20 --until 2026-11-22
  gatepost search --rule new-rule --json | jq -r .ref")]
pub struct Args {
    /// A recipient or its mailbox: an address, a domain, or .example.com for those below it too
    #[arg(long, value_name = "WHO")]
    pub to: Option<String>,
    /// The reverse-path or the author: an address, a domain, .example.com, or '<>' for the null reverse-path
    #[arg(long, value_name = "WHO")]
    pub from: Option<String>,
    /// The client: its address, a network such as 192.0.2.0/24, its reverse name, or .example.com
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
    /// Only what is not older: 2h, 3d, or a day such as 2026-11-25 (UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub since: Option<Timestamp>,
    /// Only what is older: 2h, 3d, or a day such as 2026-11-25 (UTC), which is meant whole
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    pub until: Option<Timestamp>,
    /// What was decided, of the message or of a recipient
    #[arg(long, value_name = "ACTION", value_parser = actions())]
    pub action: Option<Action>,
    /// A rule that matched, whatever came of it
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// The newest so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// The configuration that names the journal [default: gatepost.toml here, else ./journal]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the decision records, one JSON object a line
    #[arg(long)]
    pub json: bool,
}

fn actions() -> impl TypedValueParser<Value = Action> {
    PossibleValuesParser::new(Action::WORDS).map(|word| Action::from_word(&word).unwrap_or_default())
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    search(args).unwrap_or_else(|exit| exit).into()
}

fn search(args: &Args) -> Result<Exit, Exit> {
    let directory = journal_of(args.config.as_deref())?;
    let spellings = spellings(&directory)?;
    let query = query(args, &spellings)?;
    let newest = newest(&directory, &query, args.since, args.limit as usize, args.json)?;
    if newest.found == 0 {
        complain(&format!("nothing in the journal in {} fits{}", directory.display(), passed_over(newest.skipped)));
        return Ok(Exit::Failed);
    }
    print(&if args.json { json_lines(&newest) } else { listing(&newest) });
    if !args.json {
        let more = if newest.is_full() { "; there may be older ones: --limit, --until" } else { "" };
        complain(&format!("{} found{more}{}", number(newest.kept().count() as u64), passed_over(newest.skipped)));
    }
    Ok(Exit::Fine)
}

/// What names may stand as there; that some can't be found is said.
pub(super) fn spellings(directory: &Path) -> Result<Spellings, Exit> {
    let spellings = Spellings::read(directory).map_err(|error| unreadable(directory, &error))?;
    if spellings.unread > 0 {
        let keys = super::counted(spellings.unread, "key", "keys");
        complain(&format!("{keys} of pseudonyms cannot be read: names of those weeks are not found"));
    }
    Ok(spellings)
}

/// Says that the journal can't be read, and what to do.
pub(super) fn unreadable(directory: &Path, error: &io::Error) -> Exit {
    let mend = match error.kind() {
        ErrorKind::NotFound => "; name the configuration that says where the journal is: --config FILE",
        ErrorKind::PermissionDenied => "; ask as root, or as the user in [security]",
        _ => "",
    };
    complain(&format!("the journal in {} cannot be read: {error}{mend}", directory.display()));
    Exit::Usage
}

/// The newest records that fit.
pub(super) fn newest(
    directory: &Path,
    query: &Query,
    since: Option<Timestamp>,
    limit: usize,
    with_lines: bool,
) -> Result<Newest, Exit> {
    let last = query.until.get(..10).unwrap_or_default();
    let lines = Lines::of_journal(directory, since, |file| {
        last.is_empty() || file.file_stem().is_some_and(|day| day.to_string_lossy().as_ref() <= last)
    })?;
    let mut newest = Newest::of(limit, with_lines);
    let begin = || Newest::of(limit, with_lines);
    lines.newest_first(
        begin,
        |line, part| part.take(query, line),
        |parts, skipped| {
            newest.skipped += skipped;
            parts.into_iter().for_each(|part| newest.merge(part));
            newest.is_full()
        },
    )?;
    Ok(newest)
}

fn query(args: &Args, spellings: &Spellings) -> Result<Query, Exit> {
    let text = |moment: Option<Timestamp>| moment.map(|moment| format!("{moment:.3}")).unwrap_or_default();
    let party = |option: &str, given: &Option<String>| {
        let parsed = given.as_deref().map(|text| Party::parse(text, spellings)).transpose();
        parsed.map_err(|mend| wrong(option, given, &mend))
    };
    let to = party("--to", &args.to)?;
    if to.as_ref().is_some_and(Party::is_null) {
        return Err(wrong("--to", &args.to, "write an address, as alice@example.com, or a domain, as example.com"));
    }
    let client = args.client.as_deref().map(|text| Who::parse(text, spellings)).transpose();
    Ok(Query {
        since: text(args.since),
        until: text(args.until),
        to,
        from: party("--from", &args.from)?,
        client: client.map_err(|mend| wrong("--client", &args.client, &mend))?,
        action: args.action,
        rule: args.rule.clone(),
        message_id: None,
    })
}

fn wrong(option: &str, given: &Option<String>, mend: &str) -> Exit {
    complain(&format!("{option} {:?} is nobody: {mend}", given.as_deref().unwrap_or_default()));
    Exit::Usage
}

/// How many lines were passed over, as the end of a sentence.
pub(super) fn passed_over(lines: u64) -> String {
    match lines {
        0 => String::new(),
        1 => "; one line can't be read".to_owned(),
        lines => format!("; {} lines can't be read", number(lines)),
    }
}

/// The lines as they stand in the journal, newest first.
pub(super) fn json_lines(newest: &Newest) -> String {
    let mut text = String::new();
    for Found { line, .. } in newest.kept() {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text
}

/// A row a record.
pub(super) fn listing(newest: &Newest) -> String {
    let mut table = Table::new(["time", "ref", "decided", "by rule", "client", "from", "to"]);
    for Found { brief, .. } in newest.kept() {
        table.row(row(brief), Vec::new());
    }
    table.render(colour())
}

fn row(brief: &Brief) -> [String; 7] {
    let cell = |text: &str| shown(text, CELL);
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let time = brief.time.get(..19).unwrap_or(&brief.time).replace('T', " ");
    let client = match brief.client.name.as_str() {
        "" => brief.client.ip.to_string(),
        name => format!("{} {}", brief.client.ip, cell(name)),
    };
    let from = if brief.mail_from.address.is_empty() { "<>".to_owned() } else { cell(&brief.mail_from.address) };
    let more = brief.recipients.len().saturating_sub(1) as u64 + brief.recipients_more;
    let to = brief.recipients.first().map(|recipient| cell(&recipient.address)).unwrap_or_default();
    let to = if more > 0 { format!("{to} +{}", number(more)) } else { to };
    [
        shown(&time, 30),
        cell(&brief.reference),
        brief.decision.word().to_owned(),
        or_dash(cell(&brief.decision.rule)),
        client,
        from,
        or_dash(to),
    ]
}
