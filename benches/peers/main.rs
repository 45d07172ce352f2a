//! `make bench-peers`: Gatepost and what people run instead, in turn, with the same messages, on this machine. What is measured and
//! what came out: docs/performance.md.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::indexing_slicing)]

mod cage;
mod delivered;
mod load;
mod payload;
mod report;
mod sink;
mod system;
mod systems;
mod zone;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use gatepost::demo::dns::DnsServer;

use load::{Outcome, Plan};
use payload::{Authors, Payloads};
use report::Figures;
use system::{Place, Running, System};
use systems::SYSTEMS;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Internal>,
    /// Which systems, by name.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    /// How often each system has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long, default_value_t = 20)]
    connections: usize,
    /// Messages of each connection.
    #[arg(long, default_value_t = 100)]
    messages: usize,
    /// Octets of a message.
    #[arg(long, default_value_t = 10_240)]
    size: usize,
    #[arg(long, default_value_t = 100)]
    mailboxes: usize,
    /// Connections that are held idle while memory is measured.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// Where packages and runs are.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/peers"))]
    directory: PathBuf,
    /// What cargo bench says.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Internal {
    /// The server without checks, which is one of the systems.
    Sink { root: PathBuf },
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(Internal::Sink { root }) = arguments.command {
        return sink::serve(&root).unwrap();
    }
    cage::enter();
    let systems: Vec<&System> = match arguments.systems.as_slice() {
        [] => SYSTEMS.iter().collect(),
        names => names.iter().map(|name| SYSTEMS.iter().find(|system| system.name == *name).expect("a system's name")).collect(),
    };
    let authors = Authors::new();
    let distinct = (arguments.connections * arguments.messages).min((64 << 20) / arguments.size + 1);
    let payloads = Arc::new(authors.write(arguments.size, distinct));
    let dns = dns(&authors);
    let mut all = Vec::new();
    for round in 0..arguments.rounds {
        for system in &systems {
            let figures = measure(system, round, &arguments, &payloads);
            println!("{}", report::line(system, &figures));
            all.push((system.name, figures));
        }
    }
    println!("\n{}", report::table(&systems, &all));
    drop(dns);
}

/// The DNS server, on a thread of its own.
fn dns(authors: &Authors) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let zone = zone::zone(authors);
    let server = runtime.block_on(DnsServer::start_at(zone, SocketAddr::from((cage::DNS, 53)))).unwrap();
    runtime.spawn(async move {
        std::future::pending::<()>().await;
        drop(server);
    });
    runtime
}

/// One turn of a system, from its start to its end.
fn measure(system: &System, round: usize, arguments: &Arguments, payloads: &Arc<Payloads>) -> Figures {
    let place = Place {
        directory: arguments.directory.join("runs").join(format!("{}-{}-{round}", std::process::id(), system.name)),
        packages: arguments.directory.join("packages"),
        mailboxes: arguments.mailboxes,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let running = runtime.block_on(Running::start(system, &place)).unwrap_or_else(|error| panic!("{}: {error}", system.name));
    let plan = Plan {
        server: system::address(),
        clients: cage::clients(),
        connections: arguments.connections,
        messages: arguments.messages,
        recipients: 1,
        mailboxes: arguments.mailboxes,
    };
    let rest = running.memory();
    // the first messages fill caches and start processes, as they have in a server that has run for a while
    let warm = runtime.block_on(load::run(&Plan { messages: 5, ..plan.clone() }, payloads));
    let before = running.cpu();
    let outcome: Outcome = runtime.block_on(load::run(&plan, payloads));
    let last = delivered::wait_for(&running.maildirs, warm.accepted + outcome.accepted).unwrap();
    let cpu = running.cpu() - before;
    let idle = (arguments.idle > 0).then(|| runtime.block_on(report::with_idle(&running, arguments.idle)));
    let files = delivered::files(&running.maildirs).unwrap();
    let unchecked = delivered::unchecked(&files, system.checks).unwrap();
    drop(running);
    Figures { outcome, cpu, last, rest, idle, delivered: files.len(), unchecked }
}
