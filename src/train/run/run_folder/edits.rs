//! `edits.jsonl`: what people have changed about the images of a run, and taken back, line by line.
//!
//! ```json
//! {"step":0,"time":1764133200.5,"edit":{"move":{"image":"0123456789abcdef","to":"otters"}}}
//! {"step":12,"time":1764133211.0,"undo":true}
//! ```
//!
//! Lines are only ever added. They hold in all branches: going back to an earlier state takes no edit back, an undo does.
//! A line that a kill cut short, or that says something else, is counted and left out.

use super::{RunError, RunFolder, files::io_error};
use crate::{
    atomic,
    data::{Change, Edit, Edits, Made},
    file,
    train::run::event_log::now,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::OpenOptions,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Name of the file.
pub(crate) const EDITS: &str = "edits.jsonl";
/// Largest file that is read.
const MOST_BYTES: u64 = 64 << 20;
/// Longest line that is read: a path is no longer.
const LONGEST_LINE: u64 = 64 << 10;

/// A line as it is written: one of the last three.
#[derive(Serialize, Deserialize)]
struct Line {
    step: u64,
    #[serde(default)]
    time: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edit: Option<Edit>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    undo: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    redo: bool,
}

impl Line {
    fn new(step: u64, change: Change) -> Self {
        let line = Self { step, time: now(), edit: None, undo: false, redo: false };
        match change {
            Change::Do(edit) => Self { edit: Some(edit), ..line },
            Change::Undo => Self { undo: true, ..line },
            Change::Redo => Self { redo: true, ..line },
        }
    }

    fn read(bytes: &[u8]) -> Option<(u64, Change)> {
        let Line { step, edit, undo, redo, .. } = serde_json::from_slice(bytes).ok()?;
        let change = match (edit, undo, redo) {
            (Some(edit), false, false) if edit.is_sound() => Change::Do(edit),
            (None, true, false) => Change::Undo,
            (None, false, true) => Change::Redo,
            _ => return None,
        };
        Some((step, change))
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

impl RunFolder {
    fn edits_path(&self) -> PathBuf {
        self.path().join(EDITS)
    }

    /// The edits of the run; none where it has no such file.
    ///
    /// # Errors
    /// Where the file can't be read, or is larger than such a file can be.
    pub(crate) fn read_edits(&self) -> Result<Edits, RunError> {
        let path = self.edits_path();
        let (file, size) = match file::open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Edits::default()),
            Err(error) => return Err(io_error(&path)(error)),
        };
        if size > MOST_BYTES {
            return Err(RunError::Damaged { path, reason: format!("{size} bytes are too many for a list of edits") });
        }
        edits_from(BufReader::new(file.take(MOST_BYTES))).map_err(io_error(&path))
    }

    /// Adds a line: `change` was made at `step`. It is on its way to the disk when this returns.
    pub(crate) fn append_edit(&self, step: u64, change: Change) -> Result<(), RunError> {
        let path = self.edits_path();
        append(&path, &Line::new(step, change)).map_err(io_error(&path))
    }

    /// Writes a whole list where there is none: as a run begins with that of another one, or its file was lost. An empty
    /// list leaves no file.
    pub(crate) fn write_edits(&self, edits: &Edits) -> Result<(), RunError> {
        let path = self.edits_path();
        let (active, undone) = edits.halves();
        if path.exists() || active.is_empty() && undone.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<Line> =
            active.iter().chain(undone).map(|Made { step, edit }| Line::new(*step, Change::Do(edit.clone()))).collect();
        lines.extend(undone.iter().rev().map(|made| Line::new(made.step, Change::Undo)));
        atomic::write(&path, |mut out| lines.iter().try_for_each(|line| line.write(&mut out))).map_err(io_error(&path))
    }
}

fn append(path: &Path, line: &Line) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut bytes = Vec::new();
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        // What a killed process left unfinished stays on a line of its own.
        bytes.extend(Some(b'\n').filter(|_| last != *b"\n"));
    }
    line.write(&mut bytes)?;
    file.write_all(&bytes)?;
    file.sync_data()
}

/// Carries out the lines of such a file.
pub(crate) fn edits_from(mut reader: impl BufRead) -> io::Result<Edits> {
    let (mut edits, mut bytes) = (Edits::default(), Vec::new());
    loop {
        bytes.clear();
        if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(edits);
        }
        match Line::read(&bytes) {
            Some((step, change)) => edits.change(step, change),
            None if bytes.iter().all(u8::is_ascii_whitespace) => {}
            None => edits.unreadable += 1,
        }
        // What is left of a line that is too long.
        while !bytes.ends_with(b"\n") {
            bytes.clear();
            if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
        }
    }
}

/// The lines of such a file for other machines: of a file that was added only its name.
pub(crate) fn without_places(reader: impl BufRead, out: &mut impl Write) -> io::Result<()> {
    for bytes in reader.split(b'\n') {
        let Ok(mut line) = serde_json::from_slice::<Line>(&bytes?) else { continue };
        if let Some(Edit::Add { path, .. }) = &mut line.edit {
            *path = path.file_name().unwrap_or_default().into();
        }
        line.write(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::ContentKey, train::run_folder::tests::new_run};
    use std::fs;

    fn to(image: u64, class: &str) -> Edit {
        Edit::Move { image: ContentKey(image), to: class.to_owned() }
    }

    fn active(run: &RunFolder) -> Vec<Edit> {
        run.read_edits().unwrap().active().cloned().collect()
    }

    #[test]
    fn edits_come_back_as_they_were_made_and_undone() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        assert_eq!(run.read_edits().unwrap(), Edits::default());
        let mut edits = Edits::default();
        for step in 0..5 {
            run.append_edit(step, Change::Do(to(step, "cats"))).unwrap();
            edits.push(step, to(step, "cats"));
        }
        for what in [Change::Undo, Change::Undo, Change::Undo, Change::Redo] {
            run.append_edit(9, what.clone()).unwrap();
            if what == Change::Undo {
                edits.undo()
            } else {
                edits.redo()
            };
        }
        assert_eq!(run.read_edits().unwrap(), edits);
        // Another run begins with them.
        let other = new_run(&folder.path().join("other"));
        other.write_edits(&Edits::default()).unwrap();
        assert!(!other.path().join(EDITS).exists());
        other.write_edits(&edits).unwrap();
        assert_eq!(other.read_edits().unwrap(), edits);
        let first = fs::read_to_string(run.path().join(EDITS)).unwrap();
        assert!(first.starts_with(r#"{"step":0,"time":"#) && first.contains(r#","undo":true}"#), "{first}");
    }

    #[test]
    fn a_torn_line_is_left_out_and_the_next_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        let path = run.path().join(EDITS);
        run.append_edit(0, Change::Do(to(1, "cats"))).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.clone() + &whole[..30]).unwrap();
        assert_eq!(active(&run), [to(1, "cats")]);
        run.append_edit(1, Change::Do(to(2, "dogs"))).unwrap();
        assert_eq!(active(&run), [to(1, "cats"), to(2, "dogs")]);
        assert_eq!(run.read_edits().unwrap().unreadable, 1);
    }

    #[test]
    fn hostile_lines_are_counted_and_nothing_else_comes_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        let good = r#"{"step":1,"edit":{"exclude":{"image":"0000000000000001"}}}"#;
        let long = format!(r#"{{"step":1,"edit":{{"new-class":{{"name":"{}"}}}}}}"#, "x".repeat(200_000));
        let bad = [
            "null",
            r#"{"step":1}"#,
            r#"{"step":1,"undo":false}"#,
            r#"{"step":-1,"undo":true}"#,
            r#"{"step":1,"undo":true,"redo":true}"#,
            r#"{"step":1,"edit":{"new-class":{"name":" "}}}"#,
            r#"{"step":1,"edit":{"delete":{"image":"0000000000000001"}}}"#,
            &long,
            &"[".repeat(100_000),
        ];
        let lines: Vec<&str> = bad.iter().copied().chain(["", good, r#"{"step":2,"redo":true}"#]).collect();
        let mut bytes = lines.join("\n").into_bytes();
        bytes.extend(b"\n\xff\xfe\x00");
        fs::write(run.path().join(EDITS), bytes).unwrap();
        let edits = run.read_edits().unwrap();
        assert_eq!((edits.active().count(), edits.unreadable), (1, bad.len() + 1));
        fs::File::create(run.path().join(EDITS)).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(run.read_edits().unwrap_err().to_string().contains("edits.jsonl is damaged"));
    }

    #[test]
    fn of_an_added_file_others_learn_its_name_only() {
        let add = Edit::Add { image: ContentKey(1), path: "/home/ann/a.jpg".into(), to: "cats".to_owned() };
        let mut lines = Vec::new();
        Line::new(3, Change::Do(add)).write(&mut lines).unwrap();
        let mut out = Vec::new();
        without_places(&lines[..], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(r#""path":"a.jpg""#) && !text.contains("ann"), "{text}");
        assert_eq!(edits_from(text.as_bytes()).unwrap().active().count(), 1);
    }
}
