//! `gatepost facts`

use std::fmt::Write;
use std::process::ExitCode;

use super::{Exit, complain, print};
use crate::facts::table::{self, Row};
use crate::facts::word::Stage;

/// List the facts that a policy's rules can use
///
/// Name, type, the stage from which on it is known, meaning and RFC, and the words that it
/// can be. At earlier stages a rule cannot name it; where there is nothing to tell it is '' 0 false [] or 'none'.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost facts | grep dmarc
  gatepost facts --json | jq '.[] | select(.type == \"word\") | .name'")]
pub struct Args {
    /// Print the table as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    let rows = table::rows();
    if !args.json {
        print(&table(&rows));
        return Exit::Fine.into();
    }
    match serde_json::to_string_pretty(&rows) {
        Ok(json) => print(&(json + "\n")),
        Err(error) => {
            complain(&format!("the table cannot be written as JSON: {error}"));
            return Exit::Failed.into();
        }
    }
    Exit::Fine.into()
}

fn table(rows: &[Row]) -> String {
    let head = ["NAME".to_owned(), "TYPE".to_owned(), "STAGE".to_owned(), "RFC".to_owned(), "MEANING".to_owned()];
    let mut lines: Vec<([String; 5], Option<String>)> = vec![(head, None)];
    for row in rows {
        let cells = [row.name, row.ty, &stage(&row.stages), row.rfc, row.meaning].map(str::to_owned);
        lines.push((cells, details(row)));
    }
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|(cells, _)| cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    let margin = widths.iter().map(|width| width + 2).sum::<usize>();
    let mut out = String::new();
    for (cells, details) in &lines {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths.iter().chain([&0])) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
        if let Some(details) = details {
            let _ = writeln!(out, "{:margin$}{details}", "");
        }
    }
    out
}

/// From which stage on rules can read it.
fn stage(stages: &[Stage]) -> String {
    match (stages.first(), stages.last()) {
        (Some(first), Some(Stage::Data)) => first.to_string(),
        (Some(first), Some(last)) if first == last => format!("{first} only"),
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => String::new(),
    }
}

/// Its words, or the fields of its records.
fn details(row: &Row) -> Option<String> {
    let quoted = |words: &[&str]| words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    if !row.values.is_empty() {
        return Some(quoted(row.values));
    }
    let fields = row.fields.iter().map(|field| match field.values {
        [] => format!("{} ({})", field.name, field.ty),
        words => format!("{} ({})", field.name, quoted(words)),
    });
    (!row.fields.is_empty()).then(|| format!("each with {}", fields.collect::<Vec<_>>().join(", ")))
}
