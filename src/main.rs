//! Kindling: arguments → the window, or a command without one.

use kindling::cli::{self, Arguments};
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::quieten_drivers();
    let arguments = Arguments::of_process();
    cli::start_log();
    cli::status(cli::run(arguments))
}
