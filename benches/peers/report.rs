//! Figures of the runs, as rows of tables: medians, and ratios turn by turn, for the machine's speed drifts.

use super::case::{Counts, Curve};
use super::run::Figures;
use super::system::System;

/// Turns with the names of their systems, in the order in which they were run.
pub type Turns = [(&'static str, Figures)];
/// A table: its head and its rows.
pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Figures {
    /// Seconds of CPU for 1,000 messages.
    pub fn cpu_per_thousand(&self) -> f64 {
        self.cpu / self.outcome.accepted as f64 * 1e3
    }
}

/// One turn in a line, for who watches.
pub fn line(system: &System, figures: &Figures) -> String {
    let outcome = &figures.outcome;
    let mut line = format!(
        "{:<12} {:>7.0}/s  cpu {:>6.3} s/1000  p50 {:>7.2} p99 {:>7.2} p99.9 {:>7.2} ms  last {:>6.2} s  rest {:>6} kB",
        system.name,
        outcome.rate(),
        figures.cpu_per_thousand(),
        outcome.latency(0.5),
        outcome.latency(0.99),
        outcome.latency(0.999),
        figures.last.as_secs_f64(),
        figures.rest,
    );
    if let Some(idle) = figures.idle {
        line.push_str(&format!("  idle {idle} kB"));
    }
    if outcome.failed > 0 {
        line.push_str(&format!("  FAILED {}: {:?}", outcome.failed, outcome.troubles));
    }
    if figures.unchecked.0 > 0 {
        line.push_str(&format!("  NOT CHECKED {}: {}", figures.unchecked.0, figures.unchecked.1));
    }
    line
}

/// The middle of some figures.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The turns of one system.
fn of<'a>(turns: &'a Turns, system: &System) -> Vec<&'a Figures> {
    turns.iter().filter(|(name, _)| *name == system.name).map(|(_, figures)| figures).collect()
}

/// The median of one figure of a system.
pub fn middle(turns: &Turns, system: &System, figure: impl Fn(&Figures) -> f64) -> f64 {
    median(of(turns, system).into_iter().map(figure).collect())
}

/// The median, over the rounds, of one system's figure divided by another's.
pub fn ratio(turns: &Turns, one: &System, other: &System, figure: impl Fn(&Figures) -> f64) -> f64 {
    let pairs = of(turns, one).into_iter().zip(of(turns, other));
    median(pairs.map(|(one, other)| figure(one) / figure(other)).collect())
}

/// All systems, and how many times the first one is better.
pub fn comparison(systems: &[&'static System], turns: &Turns) -> Table {
    let head = [
        "",
        "messages/s",
        "lowest-highest",
        "CPU s/1,000",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "last file s",
        "rest MB",
        "idle MB",
        "times",
        "CPU",
        "p99",
        "on disk before the 250",
    ];
    let first = systems[0];
    let row = |system: &&'static System| {
        let rates: Vec<f64> = of(turns, system).iter().map(|figures| figures.outcome.rate()).collect();
        let middle = |figure: &dyn Fn(&Figures) -> f64| middle(turns, system, figure);
        let idle = middle(&|figures| figures.idle.map_or(f64::NAN, |kilobytes| kilobytes as f64 / 1_024.0));
        let rate = |figures: &Figures| figures.outcome.rate();
        let p99 = |figures: &Figures| figures.outcome.latency(0.99);
        vec![
            system.title.to_owned(),
            format!("{:.0}", middle(&rate)),
            format!(
                "{:.0}-{:.0}",
                rates.iter().copied().fold(f64::NAN, f64::min),
                rates.iter().copied().fold(f64::NAN, f64::max)
            ),
            format!("{:.3}", middle(&Figures::cpu_per_thousand)),
            format!("{:.2}", middle(&|figures| figures.outcome.latency(0.5))),
            format!("{:.2}", middle(&p99)),
            format!("{:.2}", middle(&|figures| figures.outcome.latency(0.999))),
            format!("{:.2}", middle(&|figures| figures.last.as_secs_f64())),
            format!("{:.1}", middle(&|figures| figures.rest as f64 / 1_024.0)),
            if idle.is_nan() { String::new() } else { format!("{idle:.1}") },
            format!("{:.2}", ratio(turns, first, system, rate)),
            format!("{:.2}", ratio(turns, system, first, Figures::cpu_per_thousand)),
            format!("{:.2}", ratio(turns, system, first, p99)),
            system.durable.to_owned(),
        ]
    };
    Table { head: head.map(str::to_owned).to_vec(), rows: systems.iter().map(row).collect() }
}

/// What a curve shows of a system at a value.
pub fn height(curve: &Curve, value: usize, figures: &Figures) -> f64 {
    let case = (curve.case)(value);
    figures.outcome.rate()
        * match curve.counts {
            Counts::Messages => 1.0,
            Counts::Copies => case.recipients as f64,
            Counts::Megabytes => case.size as f64 / 1_048_576.0,
        }
}

/// What a curve's other axis says.
pub fn counted(curve: &Curve) -> &'static str {
    match curve.counts {
        Counts::Messages => "messages a second",
        Counts::Copies => "copies a second",
        Counts::Megabytes => "MB a second",
    }
}

/// A curve as a table.
pub fn points(curve: &Curve, systems: &[&'static System], points: &[(usize, Vec<(&'static str, Figures)>)]) -> Table {
    let mut head = vec![curve.axis.to_owned()];
    for system in systems {
        head.push(format!("{}: {}", system.title, counted(curve)));
        head.push("CPU s/1,000".to_owned());
        head.push("p99 ms".to_owned());
    }
    let row = |(value, turns): &(usize, Vec<(&'static str, Figures)>)| {
        let mut row = vec![value.to_string()];
        for system in systems {
            row.push(format!("{:.0}", middle(turns, system, |figures| height(curve, *value, figures))));
            row.push(format!("{:.3}", middle(turns, system, Figures::cpu_per_thousand)));
            row.push(format!("{:.2}", middle(turns, system, |figures| figures.outcome.latency(0.99))));
        }
        row
    };
    Table { head, rows: points.iter().map(row).collect() }
}

/// A table for a terminal.
pub fn aligned(table: &Table) -> String {
    let lines: Vec<&Vec<String>> = std::iter::once(&table.head).chain(&table.rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table.head.len()).map(width).collect();
    let cell = |(column, text): (usize, &String)| {
        if column == 0 {
            format!("{text:<width$}", width = widths[0])
        } else {
            format!("{text:>width$}", width = widths[column])
        }
    };
    lines.into_iter().map(|line| line.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ") + "\n").collect()
}

/// A table for a document.
pub fn markdown(table: &Table) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> =
        (0..table.head.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
    line(&table.head) + &line(&rule) + &table.rows.iter().map(|row| line(row)).collect::<String>()
}
