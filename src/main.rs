//! Kindling: arguments → the window, or a command without one.

use kindling::cli::{self, Arguments};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::of_process();
    cli::prepare_drivers(&arguments);
    cli::start_log();
    cli::status(cli::run(arguments))
}
