//! Kindling: arguments → the window, or a command without one.

use clap::Parser;
use kindling::cli::{self, Arguments};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Ends with status 2 and an explanation where the arguments are wrong.
    let arguments = Arguments::parse();
    cli::start_log();
    cli::status(cli::run(arguments))
}
