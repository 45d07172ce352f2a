//! What stands above and below the table: where everything is, how it went, and how to go on.

use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::facts::word::Action;

use super::site::Site;
use super::table::styled;
use super::zone::{FORGER, KNOWN, LOCAL, YOU};

const BOLD: Style = Style::new().bold();

/// How the samples went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accepted into the inbox.
    pub accepted: usize,
    /// Accepted into Junk.
    pub quarantined: usize,
    /// Refused, for good or for now.
    pub refused: usize,
    /// Those of which no decision is known.
    pub unknown: usize,
    /// Those that are not as expected, the unknown ones included.
    pub unexpected: usize,
    /// A ref that was refused, or else any; to try `explain` with.
    pub reference: Option<String>,
}

impl Tally {
    /// Counts a decision.
    pub fn count(&mut self, action: Action, is_expected: bool, reference: &str) {
        match action {
            Action::Accept => self.accepted += 1,
            Action::Quarantine => self.quarantined += 1,
            Action::Defer | Action::Reject | Action::Discard => self.refused += 1,
        }
        let tells_more = matches!(action, Action::Reject) && self.refused == 1;
        if self.reference.is_none() || tells_more {
            self.reference = Some(reference.to_owned());
        }
        self.unexpected += usize::from(!is_expected);
    }

    /// Counts a sample that came to nothing.
    pub fn count_unknown(&mut self) {
        self.unknown += 1;
        self.unexpected += 1;
    }

    /// Samples in all.
    pub fn total(&self) -> usize {
        self.accepted + self.quarantined + self.refused + self.unknown
    }
}

/// What stands above the table; the directory where it outlives the samples.
pub fn opening(site: &Site, directory: Option<&Path>) -> String {
    let mut text = format!(
        "{} receives mail for {LOCAL} at {}, on loopback, with its own DNS.\n",
        styled(&format!("Gatepost {}", env!("CARGO_PKG_VERSION")), BOLD),
        site.smtp,
    );
    for (usual, address) in site.stand_ins() {
        text.push_str(&format!("Port {usual} is taken, so {address} stands in for it.\n"));
    }
    if let Some(directory) = directory {
        text.push_str(&format!("All that it writes is in {}\n", directory.display()));
    }
    text.push('\n');
    text
}

/// The last line of the table.
pub fn summary(tally: &Tally, took: Duration) -> String {
    let counts = format!(
        "{} messages: {} accepted, {} quarantined, {} refused",
        tally.total(),
        tally.accepted,
        tally.quarantined,
        tally.refused
    );
    let verdict = match tally.unexpected {
        0 => styled("each as expected", AnsiColor::Green.on_default().bold()),
        some => styled(&format!("{some} NOT as expected"), AnsiColor::Red.on_default().bold()),
    };
    format!("{counts}; {verdict}. It took {:.1} s.\n", took.as_secs_f64())
}

/// How to try one's own: exact commands.
pub fn tries(site: &Site, program: &str, tally: &Tally) -> String {
    let (smtp, http) = (site.smtp, site.running.http());
    let config = quoted(&site.file.display().to_string());
    let program = quoted(program);
    let maildir = site.maildirs.join(LOCAL).join("alice");
    let mut text = String::new();
    let mut section = |title: &str, lines: &[String]| {
        text.push_str(&format!("\n{}\n", styled(title, BOLD)));
        lines.iter().for_each(|line| text.push_str(&(format!("    {line}").trim_end().to_owned() + "\n")));
    };
    section(
        "Send one yourself: with swaks, once as you and once as somebody else",
        &[
            format!("swaks --server {smtp} --helo {YOU} --from you@{YOU} --to alice@{LOCAL}"),
            format!("swaks --server {smtp} --helo mail.isp.example --from boss@bank.example --to alice@{LOCAL}"),
        ],
    );
    section("or by hand", &dialog(site));
    if let Some(reference) = &tally.reference {
        let explain = format!("{program} explain {reference} --config {config}");
        section("Why was that? Every answer has its ref", &[explain]);
    }
    let client = format!("--ip {FORGER} --mail-from joe@quiet.example");
    let attempt = format!("{program} try --config {config} {client} --rcpt alice@{LOCAL}");
    section("What would become of it? Asked without sending", &[attempt]);
    section(
        "Look around",
        &[
            format!("curl http://{http}/metrics"),
            format!("dig @{} -p {} _dmarc.bank.example TXT", site.dns.ip(), site.dns.port()),
            format!("{}   (inbox: new/, Junk: .Junk/new/)", maildir.display()),
            format!("{}   (one JSON line a transaction)", site.journal.display()),
        ],
    );
    text.push_str(&format!("\nThe domains that exist here: {KNOWN}.\n"));
    text.push_str(&styled("Serving; what you send is shown here. Ctrl-C stops it.", BOLD));
    text.push('\n');
    text
}

/// What is said when somebody ends it.
pub fn closing(directory: &Path) -> String {
    format!(
        "\nStopping when transactions in flight have ended; Ctrl-C again stops at once.\nWhat was written stays in {}\n",
        directory.display()
    )
}

fn dialog(site: &Site) -> Vec<String> {
    vec![
        format!("telnet {} {}", site.smtp.ip(), site.smtp.port()),
        format!("EHLO {YOU}"),
        format!("MAIL FROM:<you@{YOU}>"),
        format!("RCPT TO:<alice@{LOCAL}>"),
        "DATA".to_owned(),
        format!("From: You <you@{YOU}>"),
        "Subject: Hello".to_owned(),
        String::new(),
        "Hello, Alice!".to_owned(),
        ".".to_owned(),
        "QUIT".to_owned(),
    ]
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
