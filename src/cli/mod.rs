//! The command line: thin commands over the engine, one a file.
//!
//! A command reads its arguments, calls the engine and prints. Results go to standard output, everything else to
//! standard error; with `--json` standard output carries JSON, one value a line, and nothing else. A command that fails
//! says why in one line: what, where, and what to do about it.

mod associate;
mod bench;
mod cache;
mod data;
mod dataset;
mod devices;
mod drivers;
mod eval;
mod export;
mod features;
mod images;
mod import;
mod model;
mod output;
mod predict;
mod progress;
mod recipe;
mod serve;
mod table;
mod train;
mod window;

pub use drivers::prepare_drivers;

use crate::{device, text};
use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use std::{io, path::PathBuf, process::ExitCode};

/// Trains image classifiers on any GPU through WebGPU, and shows them learning.
///
/// Without a command the window opens. On a machine without a display, Kindling says so and trains the sample data
/// set in the terminal; of a FILE it then says which command takes it.
#[derive(Debug, Parser)]
#[command(name = "kindling", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Open the window with a run on the sample data set started
    #[arg(long = "try")]
    try_sample: bool,

    /// Runs, weight files, data sets or images to open in the window
    #[arg(value_name = "FILE")]
    open: Vec<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Train),
    Eval(eval::Eval),
    Predict(predict::Predict),
    Features(features::Features),
    Import(import::Import),
    Export(export::Export),
    Data(data::Data),
    Associate(associate::Associate),
    Devices(devices::Devices),
    Serve(serve::Serve),
    Bench(bench::Bench),
}

impl Arguments {
    /// The arguments of this process. Where they are wrong, it ends here with status 2 and an explanation.
    pub fn of_process() -> Self {
        let arguments = Self::try_parse().unwrap_or_else(|error| refuse(&error));
        // A mistyped command looks like a file to open.
        if let Some(wrong) = arguments.open.iter().find(|path| !path.exists()) {
            let message = format!("there is no command, file or folder “{}”", text::path(wrong));
            Self::command().error(ErrorKind::InvalidSubcommand, message).exit();
        }
        arguments
    }

    /// Whether what they ask for opens a window.
    fn draw(&self) -> bool {
        match &self.command {
            None => true,
            Some(Command::Bench(bench)) => bench.draws(),
            Some(_) => false,
        }
    }
}

/// Ends the process over what clap says, which repeats the arguments. A shell may have made these of file names: where one
/// would act on the terminal, it is said in fewer words.
fn refuse(error: &clap::Error) -> ! {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let harmful: Vec<String> = arguments.filter_map(|it| Some(text::foreign(&it)).filter(|safe| *safe != it)).collect();
    if harmful.is_empty() || !error.use_stderr() {
        error.exit();
    }
    output::note(format_args!("error: {}: {}\n\nFor more information, try '--help'.", error.kind(), harmful.join(" ")));
    std::process::exit(error.exit_code())
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was asked for.
    Done,
    /// Stopped by Ctrl+C (or a polite signal), with everything saved.
    Interrupted,
}

/// Does what the arguments ask for.
///
/// # Errors
/// One line for people.
pub fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    device::unless_lost(|| obey(arguments))?
}

fn obey(arguments: Arguments) -> anyhow::Result<Outcome> {
    match arguments.command {
        None => window::run(arguments.try_sample, arguments.open),
        Some(Command::Train(command)) => command.run(),
        Some(Command::Eval(command)) => command.run(),
        Some(Command::Predict(command)) => command.run(),
        Some(Command::Features(command)) => command.run(),
        Some(Command::Import(command)) => command.run(),
        Some(Command::Export(command)) => command.run(),
        Some(Command::Data(command)) => command.run(),
        Some(Command::Associate(command)) => command.run(),
        Some(Command::Devices(command)) => command.run(),
        Some(Command::Serve(command)) => command.run(),
        Some(Command::Bench(command)) => command.run(),
    }
}

/// The process's exit status; a failure is said on standard error.
pub fn status(outcome: anyhow::Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        // Whoever read our output has seen enough, as in `kindling devices | head -1`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("kindling: {}", in_full(&error)));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(broken))
}

/// An error with its causes, without those that it has in its own words already.
fn in_full(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

/// Lets `KINDLING_LOG=debug` show on standard error what the libraries below have to say. Silent without it.
pub fn start_log() {
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("KINDLING_LOG") else { return };
    // A second logger can't be there: this is called once, at the start.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_draws_is_known() {
        let draw = |arguments: &[&str]| Arguments::parse_from([&["kindling"], arguments].concat()).draw();
        assert!(draw(&[]) && draw(&["--try"]) && draw(&["bench", "ui"]));
        assert!(!draw(&["bench", "step"]) && !draw(&["devices"]));
    }

    #[test]
    fn causes_are_told_once() {
        let inner = io::Error::other("disk full");
        assert_eq!(in_full(&anyhow::Error::new(inner).context("cannot write a")), "cannot write a: disk full");
        let inner = io::Error::other("disk full");
        assert_eq!(in_full(&anyhow::Error::new(inner).context("a: disk full")), "a: disk full");
    }
}
