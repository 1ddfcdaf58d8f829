//! A run in one file, read as what a stranger may have written.

use super::{BundleError, EDITS, FOLDS, MEMBERS, SIDES, VERSION, io_error, is_bundle};
use crate::{
    data::{Edits, Sides},
    file,
    train::{
        recipe::Recipe,
        run::run_folder::{Folds, INFO, RECIPE, RunInfo, RunState, edits_from, sides_from_bytes},
    },
    weights::{WeightsError, bundled::MARK, read_checkpoint, read_tensors, zip_file},
};
use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipArchive, result::ZipError};

/// Largest small member that is read: the list of held out images has eight bytes for each.
const LARGEST_TEXT: u64 = 64 << 20;

/// A file whose directory has been checked.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
}

impl Archive {
    /// Reads the directory: every member is one of the list, once, not compressed, and all together are no larger than
    /// the file.
    pub(crate) fn open(path: &Path) -> Result<Self, BundleError> {
        let damaged = |reason: &str| BundleError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
        if !is_bundle(path) {
            // One that is not there says so.
            file::open(path).map_err(io_error(path))?;
            return Err(damaged("it does not begin like one"));
        }
        let (file, length) = file::open(path).map_err(io_error(path))?;
        let zip = zip_file::open(BufReader::new(file));
        let mut zip = zip.map_err(|_| damaged("its directory is missing; it is probably cut short"))?;
        let (mut seen, mut total) = (Vec::new(), 0u64);
        for index in 0..zip.len() {
            let member = zip.by_index_raw(index).map_err(|_| damaged("its directory is broken"))?;
            let name = member.name().map_err(|_| damaged("its directory is broken"))?.into_owned();
            if name != MARK && !MEMBERS.contains(&name.as_str()) {
                return Err(damaged("it holds a file that is no part of a run"));
            }
            if member.compression() != CompressionMethod::Stored || member.encrypted() {
                return Err(damaged("another program has packed it anew; save it again"));
            }
            if seen.contains(&name) || member.size() != member.compressed_size() {
                return Err(damaged("its directory contradicts itself"));
            }
            total = total.saturating_add(member.size());
            seen.push(name);
        }
        if total > length {
            return Err(damaged("it claims to hold more than it does"));
        }
        if let Some(missing) = MEMBERS[..2].iter().find(|name| !seen.iter().any(|seen| seen == *name)) {
            return Err(damaged(&format!("it has no {missing}")));
        }
        Ok(Self { path: path.to_owned(), zip })
    }

    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    fn damaged(&self, reason: impl Into<String>) -> BundleError {
        BundleError::Damaged { path: self.path.clone(), reason: reason.into() }
    }

    /// Reads what is small, and looks whether the checkpoint is complete.
    pub(crate) fn check(&mut self) -> Result<(), BundleError> {
        if self.text(MARK)?.as_bytes() != VERSION {
            return Err(self.damaged("a newer Kindling has written it"));
        }
        self.recipe()?;
        self.info()?;
        self.sides()?;
        self.folds()?;
        self.edits()?;
        let parts = MEMBERS[3..6].iter().filter(|name| self.has(name)).count();
        if parts != 0 && parts != 3 {
            return Err(self.damaged("its checkpoint is not complete"));
        }
        if parts == 3 {
            let state = serde_json::from_str::<RunState>(&self.text("last.json")?);
            state.map_err(|error| self.damaged(format!("last.json: {error}")))?;
        }
        Ok(())
    }

    /// Reads the checkpoints that were unpacked into a folder as going on with them will.
    pub(crate) fn check_weights(&self, folder: &Path) -> Result<(), BundleError> {
        let fault = |name: &str, error: WeightsError| {
            self.damaged(match error {
                WeightsError::File { problem, .. } => format!("{name}: {problem}"),
                other => format!("{name}: {other}"),
            })
        };
        for name in ["last.safetensors", "best.safetensors"].into_iter().filter(|name| self.has(name)) {
            read_checkpoint(&folder.join(name)).map_err(|error| fault(name, error))?;
        }
        if self.has("last.state.safetensors") {
            let name = "last.state.safetensors";
            read_tensors(&folder.join(name)).map_err(|error| fault(name, error))?;
        }
        Ok(())
    }

    pub(crate) fn recipe(&mut self) -> Result<Recipe, BundleError> {
        let text = self.text(RECIPE)?;
        Recipe::from_toml(&text).map_err(|error| BundleError::Recipe { path: self.path.clone(), error })
    }

    pub(crate) fn info(&mut self) -> Result<RunInfo, BundleError> {
        let text = self.text(INFO)?;
        serde_json::from_str(&text).map_err(|error| self.damaged(format!("run.json: {error}")))
    }

    pub(crate) fn sides(&mut self) -> Result<Sides, BundleError> {
        if !self.has(SIDES) {
            return Ok(Sides::default());
        }
        let bytes = self.bytes(SIDES)?;
        sides_from_bytes(&bytes).ok_or_else(|| self.damaged(format!("{SIDES} is no list of held out images")))
    }

    /// What heads of folds said of the images.
    pub(crate) fn folds(&mut self) -> Result<Folds, BundleError> {
        if !self.has(FOLDS) {
            return Ok(Folds::default());
        }
        let bytes = self.bytes(FOLDS)?;
        Folds::from_bytes(&bytes).map_err(|reason| self.damaged(format!("{FOLDS}: {reason}")))
    }

    pub(crate) fn edits(&mut self) -> Result<Edits, BundleError> {
        if !self.has(EDITS) {
            return Ok(Edits::default());
        }
        let bytes = self.bytes(EDITS)?;
        edits_from(&bytes[..]).map_err(|error| self.damaged(format!("{EDITS}: {error}")))
    }

    fn text(&mut self, name: &str) -> Result<String, BundleError> {
        let bytes = self.bytes(name)?;
        String::from_utf8(bytes).map_err(|error| self.damaged(format!("{name}: {error}")))
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, BundleError> {
        let path = self.path.clone();
        let failed = |reason: String| BundleError::Damaged { path, reason: format!("{name}: {reason}") };
        let member = match self.zip.by_name(name) {
            Ok(member) if member.size() <= LARGEST_TEXT => member,
            Ok(member) => return Err(failed(format!("{} bytes are too many", member.size()))),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mut bytes = Vec::new();
        match member.take(LARGEST_TEXT).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Writes a member to a new file at `to`; one that is not there is no fault.
    pub(crate) fn extract(&mut self, name: &str, to: &Path) -> Result<(), BundleError> {
        let path = self.path.clone();
        let damaged = |error: String| BundleError::Damaged { path: path.clone(), reason: format!("{name}: {error}") };
        let mut member = match self.zip.by_name(name) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(()),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let mut out = File::create_new(to).map_err(io_error(to))?;
        // A checksum that is wrong comes as an error of reading, too.
        io::copy(&mut member, &mut out).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => io_error(to)(error),
            _ => damaged(error.to_string()),
        })?;
        out.sync_all().map_err(io_error(to))
    }
}
