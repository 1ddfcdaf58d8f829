//! `kindling associate`: a double click on a run in one file opens it.
//!
//! Desktops that follow freedesktop.org learn of a kind of file, its icon and who opens it from files in the user's data
//! folder, usually `~/.local/share`. What is written there says that it was, so that what somebody else put under the same
//! name is neither replaced nor removed.

use super::{Outcome, output};
use crate::{atomic, text};
use anyhow::{Context, bail, ensure};
use clap::Args;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Open runs in one file (.kindling) by a double click, for this user
#[derive(Args, Clone, Debug)]
pub(crate) struct Associate {
    /// Remove what was written for that, and nothing else
    #[arg(long)]
    undo: bool,
}

/// What every file says that is written.
const MARK: &str = "Written by kindling associate";
/// The command in the desktop entry, which becomes this program's path.
const COMMAND: &str = "Exec=kindling ";
const DESKTOP: &str = include_str!("../../assets/kindling.desktop");
const MIME: &str = include_str!("../../assets/kindling-mime.xml");
const ICON: &str = include_str!("../../assets/icon.svg");
/// What makes the desktop look, on which folder, and the package that it is in.
const UPDATES: [[&str; 3]; 2] = [
    ["update-mime-database", "mime", "shared-mime-info"],
    ["update-desktop-database", "applications", "desktop-file-utils"],
];

impl Associate {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        if !cfg!(any(target_os = "linux", target_os = "freebsd")) {
            bail!("this system keeps that itself: {}", elsewhere());
        }
        let folders = directories::BaseDirs::new().context("there is no home folder for this user: set HOME")?;
        let folder = folders.data_dir();
        let program = std::env::current_exe().context("this program does not know where it is")?;
        match self.undo {
            true => {
                let removed = undo(folder)?;
                update(folder);
                output::line(match removed {
                    0 => "nothing was there to remove".to_owned(),
                    n => format!("removed {} from {}", crate::format::plural(n, "file"), text::path(folder)),
                })?;
            }
            false => {
                write(folder, &program)?;
                update(folder);
                output::line(format_args!(
                    "files that end in .kindling open with {}; kindling associate --undo takes that back",
                    text::path(&program)
                ))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn elsewhere() -> &'static str {
    if cfg!(target_os = "macos") {
        "in Finder, Get Info on a .kindling file, Open with, Change All"
    } else {
        "right-click a .kindling file, Open with, Choose another app, Always"
    }
}

/// What is written below the user's data folder, for the program at that path.
fn files(program: &Path) -> anyhow::Result<[(&'static str, String); 4]> {
    let icon = format!("{}\n<!-- {MARK} -->\n", ICON.trim_end());
    let entry = DESKTOP.replace(COMMAND, &format!("Exec={} ", quoted(program)?));
    Ok([
        ("mime/packages/kindling.xml", MIME.to_owned()),
        ("icons/hicolor/scalable/apps/kindling.svg", icon.clone()),
        ("icons/hicolor/scalable/mimetypes/application-x-kindling-run.svg", icon),
        ("applications/kindling.desktop", entry),
    ])
}

/// A path as a desktop entry's command has it: in quotes, and what the quotes leave a meaning escaped, twice for the
/// entry's own escapes.
fn quoted(program: &Path) -> anyhow::Result<String> {
    let path = program.to_str().filter(|path| !path.contains(char::is_control));
    let path = path.with_context(|| format!("{} can't be named in a desktop entry", text::path(program)))?;
    let mut quoted = String::from("\"");
    for c in path.chars() {
        match c {
            '\\' => quoted.push_str(r"\\\\"),
            '"' | '`' | '$' => quoted.extend([r"\\", &c.to_string()]),
            '%' => quoted.push_str("%%"),
            c => quoted.push(c),
        }
    }
    Ok(quoted + "\"")
}

fn write(folder: &Path, program: &Path) -> anyhow::Result<()> {
    let files = files(program)?;
    for (name, _) in &files {
        let path = folder.join(name);
        ensure!(is_free(&path)?, "{} is somebody else's: move it away first", text::path(&path));
    }
    for (name, content) in &files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        let written = fs::create_dir_all(parent).and_then(|()| atomic::write_bytes(&path, content.as_bytes()));
        written.with_context(|| format!("cannot write {}", text::path(&path)))?;
    }
    Ok(())
}

/// Removes the files that were written; gives how many there were.
fn undo(folder: &Path) -> anyhow::Result<usize> {
    let mut removed = 0;
    for (name, _) in files(Path::new("kindling"))? {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() && is_free(&path)? {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", text::path(&path)))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether nothing is there, or a file that was written here.
fn is_free(path: &Path) -> anyhow::Result<bool> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.symlink_metadata().is_err()),
        Err(error) => Err(error).with_context(|| text::path(path)),
    }
}

/// Has the desktop look at what changed. Where the tools are missing, it will when they come.
fn update(folder: &Path) {
    for [tool, below, package] in UPDATES {
        let below: PathBuf = folder.join(below);
        if !below.is_dir() {
            continue;
        }
        let ran = Command::new(tool).arg(&below).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !ran.is_ok_and(|status| status.success()) {
            output::note(format_args!("{tool} did not run, so that the desktop may not know yet: install {package}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{train::bundle, weights::bundled};

    fn written(folder: &Path) -> Vec<PathBuf> {
        files(Path::new("x")).unwrap().map(|(name, _)| folder.join(name)).into()
    }

    #[test]
    fn what_is_written_is_removed_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let others = ["applications/other.desktop", "mime/packages/other.xml"].map(|name| folder.path().join(name));
        for other in &others {
            fs::create_dir_all(other.parent().unwrap()).unwrap();
            fs::write(other, "other").unwrap();
        }
        for _ in 0..2 {
            write(folder.path(), Path::new("/opt/my apps/kindling")).unwrap();
        }
        let all = written(folder.path());
        assert!(all.iter().all(|path| path.is_file()));
        let entry = fs::read_to_string(&all[3]).unwrap();
        assert!(entry.contains("\nExec=\"/opt/my apps/kindling\" %F\n"), "{entry}");
        // Somebody's own entry, in place of the one that was written.
        fs::write(&all[3], "[Desktop Entry]\n").unwrap();
        let error = write(folder.path(), Path::new("/opt/kindling")).unwrap_err().to_string();
        assert!(error.contains("kindling.desktop is somebody else's"), "{error}");
        assert_eq!(undo(folder.path()).unwrap(), 3);
        assert_eq!(undo(folder.path()).unwrap(), 0);
        assert!(all[3].is_file() && others.iter().all(|path| path.is_file()) && all[..3].iter().all(|p| !p.exists()));
    }

    #[test]
    fn the_files_say_by_what_runs_in_one_file_are_known() {
        assert!(MIME.contains(&format!("<glob pattern=\"*.{}\"/>", bundle::ENDING)));
        assert!(MIME.contains(&format!("offset=\"30\" value=\"{}\"", bundled::MARK)));
        assert!(
            DESKTOP.contains("MimeType=application/x-kindling-run;") && MIME.contains("application/x-kindling-run")
        );
        assert!(files(Path::new("x")).unwrap().iter().all(|(_, content)| content.contains(MARK)));
        assert_eq!(DESKTOP.matches(COMMAND).count(), 1);
    }

    #[test]
    fn a_path_is_quoted_as_desktop_entries_want_it() {
        assert_eq!(quoted(Path::new("/a b/$5 \"x\"/50%")).unwrap(), r#""/a b/\\$5 \\"x\\"/50%%""#);
        assert_eq!(quoted(Path::new(r"/back\slash")).unwrap(), r#""/back\\\\slash""#);
        assert!(quoted(Path::new("/two\nlines")).is_err());
    }
}
