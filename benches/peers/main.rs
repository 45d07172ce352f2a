//! `make bench-peers`: Gatepost and what people run instead, in turn, with the same messages, on this machine; `make bench-curves`: how
//! Gatepost's figures change when one number grows. What came out stands in docs/performance.md, where `--write` puts it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

mod cage;
mod case;
mod delivered;
mod document;
mod load;
mod payload;
mod plot;
mod report;
mod run;
mod sink;
mod system;
mod systems;
mod zone;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use case::{CURVES, Case, Curve};
use run::Bench;
use system::System;
use systems::SYSTEMS;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Where packages and runs are.
    #[arg(long, global = true, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/peers"))]
    directory: PathBuf,
    /// Puts tables and plots into docs/performance.md.
    #[arg(long, global = true)]
    write: bool,
    /// How often each has its turn.
    #[arg(long, global = true, default_value_t = 5)]
    rounds: usize,
    /// Which systems, by name.
    #[arg(long, global = true, value_delimiter = ',')]
    systems: Vec<String>,
    /// What cargo bench says.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Systems in turn.
    Compare {
        #[arg(long, default_value_t = Case::default().connections)]
        connections: usize,
        /// Messages of each connection.
        #[arg(long, default_value_t = Case::default().messages)]
        messages: usize,
        /// Octets of a message.
        #[arg(long, default_value_t = Case::default().size)]
        size: usize,
        /// Connections that are held idle while memory is measured.
        #[arg(long, default_value_t = 0)]
        idle: usize,
    },
    /// One number grows; all curves, or those that are named.
    Curves { names: Vec<String> },
    /// The server without checks, which is one of the systems.
    Sink { root: PathBuf },
}

fn main() {
    let arguments = Arguments::parse();
    match &arguments.command {
        Command::Sink { root } => sink::serve(root).unwrap(),
        Command::Compare { connections, messages, size, idle } => {
            cage::enter();
            let case = Case { connections: *connections, messages: *messages, size: *size, ..Case::default() };
            compare(&arguments, &case, *idle);
        }
        Command::Curves { names } => {
            cage::enter();
            let wanted = |curve: &&Curve| names.is_empty() || names.iter().any(|name| name == curve.name);
            CURVES.iter().filter(wanted).for_each(|curve| along(&arguments, curve));
        }
    }
}

/// The systems that are named, or else these.
fn systems(arguments: &Arguments, otherwise: &[&str]) -> Vec<&'static System> {
    let named: Vec<&str> = arguments.systems.iter().map(String::as_str).collect();
    let names = if named.is_empty() { otherwise } else { &named };
    let system = |name: &&str| SYSTEMS.iter().find(|system| system.name == *name).expect("a system's name");
    names.iter().map(system).collect()
}

fn compare(arguments: &Arguments, case: &Case, idle: usize) {
    let all: Vec<&str> = SYSTEMS.iter().map(|system| system.name).collect();
    let systems = systems(arguments, &all);
    let mut bench = Bench::new(&arguments.directory);
    let mut figures = Vec::new();
    for _ in 0..arguments.rounds {
        for system in &systems {
            let turn = bench.turn(system, case, idle);
            println!("{}", report::line(system, &turn));
            figures.push((system.name, turn));
        }
    }
    println!("\n{}", report::aligned(&report::comparison(&systems, &figures)));
    if arguments.write {
        document::write_comparison(case, &systems, &figures);
        document::write_versions(&arguments.directory.join("packages"));
    }
}

fn along(arguments: &Arguments, curve: &Curve) {
    let systems = systems(arguments, &["gatepost", "sink"]);
    let mut bench = Bench::new(&arguments.directory);
    let mut points = Vec::new();
    for value in curve.values {
        let case = (curve.case)(*value);
        let mut figures = Vec::new();
        for _ in 0..arguments.rounds {
            for system in &systems {
                let turn = bench.turn(system, &case, 0);
                println!("{} {value:<9} {}", curve.name, report::line(system, &turn));
                figures.push((system.name, turn));
            }
        }
        points.push((*value, figures));
    }
    println!("\n{}", report::aligned(&report::points(curve, &systems, &points)));
    if arguments.write {
        document::write_curve(curve, &systems, &points);
    }
}
