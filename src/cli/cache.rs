//! `kindling data cache`: what is kept on disk to be found again, and an end to it.

use super::{output, table};
use crate::{
    cache::{self, Entry},
    format, text,
};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use std::time::SystemTime;

/// What is kept on disk: downloads, decoded photographs, measured kernels
#[derive(Args, Clone, Debug)]
pub(crate) struct Cache {
    #[command(subcommand)]
    action: Option<Action>,

    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Show what is there, what it takes, and when it was last used
    List,
    /// Delete what is made again by itself, but for what is in use
    Clear {
        /// Delete downloads too
        #[arg(long)]
        downloads: bool,
    },
}

impl Cache {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let root = cache::root().context("there is no cache folder for this user: set HOME or XDG_CACHE_HOME")?;
        let entries = cache::list(&root);
        match self.action {
            None | Some(Action::List) if self.json => {
                let all: Vec<_> = entries.iter().map(in_json).collect();
                output::json(&json!({ "folder": text::path(&root), "entries": all }))?;
            }
            None | Some(Action::List) => {
                let total = format::bytes(entries.iter().map(|entry| entry.bytes).sum());
                if !entries.is_empty() {
                    output::line(table(&entries))?;
                }
                output::line(format_args!("{total} in {}", text::path(&root)))?;
            }
            Some(Action::Clear { downloads }) => clear(&entries, downloads, self.json)?,
        }
        Ok(())
    }
}

fn clear(entries: &[Entry], downloads: bool, as_json: bool) -> anyhow::Result<()> {
    let cleared = cache::clear(entries, downloads)?;
    if as_json {
        return Ok(output::json(&json!({ "freed_bytes": cleared.freed, "in_use": cleared.in_use }))?);
    }
    Ok(output::line(cleared)?)
}

fn table(entries: &[Entry]) -> String {
    let mut rows = vec![["what", "name", "size", "last used"].map(str::to_owned).to_vec()];
    for entry in entries {
        let age = SystemTime::now().duration_since(entry.used).unwrap_or_default().as_secs_f64();
        let used =
            if entry.kind.is_download() { String::new() } else { format!("{} ago", format::rounded_duration(age)) };
        rows.push(vec![entry.kind.label().to_owned(), entry.name(), format::bytes(entry.bytes), used]);
    }
    table::aligned(&rows)
}

fn in_json(entry: &Entry) -> serde_json::Value {
    let used = entry.used.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({
        "kind": entry.kind.label(),
        "name": entry.name(),
        "path": text::path(&entry.path),
        "bytes": entry.bytes,
        "used": used,
    })
}
