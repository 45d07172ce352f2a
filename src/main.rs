//! The command line, a line per subcommand.

use std::process::ExitCode;

use gatepost::cli::journal::JournalCommands;
use gatepost::cli::{self, Arguments, ConfigCommands, PolicyCommands, Subcommands};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// not `#[tokio::main]`: no thread may exist before privileges are dropped
fn main() -> ExitCode {
    let arguments = match Arguments::of_process() {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    match &arguments.command {
        Subcommands::Serve(args) => cli::serve::run(args),
        Subcommands::Demo(args) => cli::demo::run(args),
        Subcommands::Try(args) => cli::try_::run(args),
        Subcommands::Explain(args) => cli::explain::run(args),
        Subcommands::Search(args) => cli::search::run(args),
        Subcommands::Config(ConfigCommands::Check(args)) => cli::config_check::run(args),
        Subcommands::Policy(PolicyCommands::Check(args)) => cli::policy_check::run(args),
        Subcommands::Policy(PolicyCommands::Test(args)) => cli::policy_test::run(args),
        Subcommands::Journal(JournalCommands::Erase(args)) => cli::journal::erase::run(args),
        Subcommands::Journal(JournalCommands::Export(args)) => cli::journal::export::run(args),
        Subcommands::Journal(JournalCommands::Verify(args)) => cli::journal::verify::run(args),
        Subcommands::Policy(PolicyCommands::Replay(args)) => cli::policy_replay::run(args),
        Subcommands::Policy(PolicyCommands::Forwarders(args)) => cli::policy_forwarders::run(args),
        Subcommands::Facts(args) => cli::facts::run(args),
    }
}
