//! What the members of a run in one file are made of.

use crate::train::run::{
    run_folder::{EDITS, EVENTS, INFO, RunFolder, RunInfo, without_places},
    shared_events::Redaction,
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
};

/// What a member is made of.
pub(super) enum Content {
    File(File),
    /// Without the paths of this machine.
    Events(File, Redaction),
    /// Without them, too.
    Edits(File),
    Info(RunInfo),
}

impl Content {
    pub(crate) fn of(name: &str, file: File, run: &RunFolder) -> Self {
        let info = run.read_info();
        match name {
            EVENTS => Content::Events(file, Redaction::of_run(run.path(), &info)),
            EDITS => Content::Edits(file),
            // Anything else of it stays byte for byte.
            INFO if info.clone().for_others() != info => Content::Info(info.for_others()),
            _ => Content::File(file),
        }
    }

    pub(crate) fn write(self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Content::File(file) => {
                let size = file.metadata()?.len();
                io::copy(&mut file.take(size), out)?;
            }
            Content::Events(file, redaction) => {
                // The list may be growing.
                let size = file.metadata()?.len();
                for line in BufReader::new(file.take(size)).lines() {
                    writeln!(out, "{}", redaction.apply(&line?))?;
                }
            }
            Content::Edits(file) => without_places(BufReader::new(file), out)?,
            Content::Info(info) => out.write_all(&serde_json::to_vec_pretty(&info)?)?,
        }
        Ok(())
    }
}
