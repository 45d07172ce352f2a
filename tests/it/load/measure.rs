//! What a process costs, what clients waited, and the table that tells it.

use std::time::Duration;

/// A line of the table.
pub struct Row {
    scenario: String,
    asked: String,
    measured: String,
}

impl Row {
    pub fn new(scenario: &str, asked: impl Into<String>, measured: impl Into<String>) -> Row {
        Row { scenario: scenario.to_owned(), asked: asked.into(), measured: measured.into() }
    }
}

/// Aligned columns.
pub fn table(rows: &[Row]) -> String {
    let head = Row::new("scenario", "asked", "measured");
    let all: Vec<&Row> = std::iter::once(&head).chain(rows).collect();
    let width = |of: fn(&Row) -> &str| all.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
    let (first, second) = (width(|row| &row.scenario), width(|row| &row.asked));
    let line = |row: &&Row| format!("{:first$}  {:second$}  {}\n", row.scenario, row.asked, row.measured);
    all.iter().map(line).collect()
}

/// The proportional set size of a process, in octets.
pub fn pss(process: u32) -> u64 {
    of_rollup(process, "Pss:")
}

/// Its part that is no file's, in octets: what the program's own pages count for changes with who else runs it.
pub fn anonymous(process: u32) -> u64 {
    of_rollup(process, "Pss_Anon:")
}

fn of_rollup(process: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("smaps_rollup has no {name}"));
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The time that a process has had on a core.
pub fn cpu(process: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // its name may hold blanks, and ends with the last parenthesis
    let (_, rest) = text.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ of every Linux that this runs on
    Duration::from_millis(ticks * 10)
}

/// How many files a process has open.
pub fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// Files of a process that have no name any more: bodies that are spooled.
pub fn spooled(process: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.filter(|link| link.to_string_lossy().ends_with(" (deleted)")).count()
}

/// What so many percent did not wait longer than.
pub fn percentile(waits: &[Duration], percent: usize) -> Duration {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted[at]
}

/// By how much the second value grows while the first grows by one: the line of least squares.
pub fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let (x, y) = samples.iter().fold((0.0, 0.0), |(x, y), sample| (x + sample.0 / count, y + sample.1 / count));
    let above: f64 = samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum();
    let below: f64 = samples.iter().map(|sample| (sample.0 - x).powi(2)).sum();
    above / below
}

pub fn megabytes(octets: u64) -> String {
    format!("{:.1} MB", octets as f64 / 1e6)
}

pub fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[test]
fn figures_are_what_they_are_called() {
    let waits: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
    assert_eq!(percentile(&waits, 50), Duration::from_millis(100));
    assert_eq!(percentile(&waits, 99), Duration::from_millis(198));
    assert_eq!(percentile(&waits[..1], 99), Duration::from_millis(1));
    let line: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), 3.0 * f64::from(x) + 7.0)).collect();
    assert!((slope(&line) - 3.0).abs() < 1e-9);
    let own = std::process::id();
    assert!(pss(own) > anonymous(own) && anonymous(own) > 1_000_000 && descriptors(own) >= 3);
    let file = tempfile::tempfile().unwrap();
    assert!(spooled(own) >= 1);
    drop(file);
    let rows = [Row::new("a", "much", "little"), Row::new("longer", "x", "y")];
    assert_eq!(table(&rows), "scenario  asked  measured\na         much   little\nlonger    x      y\n");
}
