//! The command line: one file a command.

mod check;
pub mod demo;
mod explain;
pub mod remote;
mod run;

use clap::Parser;
use clap::Subcommand;

/// A strangler-fig routing proxy: moves traffic from a legacy application to its replacement slice
/// by slice, compares both answers, and shows when a slice is safe to shift.
#[derive(Debug, Parser)]
#[command(
    name = "supplant",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A sample legacy and candidate with live traffic: the whole product in one command.
    Demo(demo::Args),
    /// Serve.
    Run(run::Args),
    /// Validate the rules.
    Check(check::Args),
    /// Print the decision about a request, step by step, with the rules that lost.
    Explain(explain::Args),
    /// Print every slice: stage, share, parity.
    Status(remote::Status),
    /// Print what differs in a slice.
    Parity(remote::Parity),
    /// Send a slice, or everything, to legacy, now.
    Kill(remote::Kill),
    /// Send a slice back to shadow, now.
    Rollback(remote::Rollback),
    /// Let a slice that was killed or rolled back rise again.
    Resume(remote::Resume),
    /// Tell that a new version of a backend is out: a new epoch of evidence begins.
    Deploy(remote::Deploy),
    /// Read the rules again.
    Reload(remote::Reload),
}

/// Runs the command that the arguments ask for; returns the exit code.
///
/// 0 is good, 1 failed at run time, 2 a bad file or usage, 3 the drain timed out.
pub fn main() -> anyhow::Result<u8> {
    match Cli::parse().command {
        Command::Demo(args) => run::demo(&args),
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Status(args) => remote::status(&args),
        Command::Parity(args) => remote::parity(&args),
        Command::Kill(args) => remote::kill(&args),
        Command::Rollback(args) => remote::rollback(&args),
        Command::Resume(args) => remote::resume(&args),
        Command::Deploy(args) => remote::deploy(&args),
        Command::Reload(args) => remote::reload(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
