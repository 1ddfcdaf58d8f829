//! CIFAR-10 and CIFAR-100 in both published formats: fixed-size records, and Python 2 pickles of NumPy arrays.
//!
//! <https://www.cs.toronto.edu/~kriz/cifar.html>. Pixels lie as 1024 red, 1024 green, 1024 blue; they become
//! `[32, 32, 3]`. The pickles go through the closed reader of [`super::pickle`], which executes nothing; here just the
//! one array constructor that the published files name is understood.

use super::{
    DataError, Dataset, Progress, Split, ValidationKind,
    archive::{self, Member},
    catalogue::{CIFAR10_CLASSES, Known},
    pickle::{self, Pickle, Value},
};
use crate::{file, text};
use std::{
    io::{BufReader, Read},
    path::Path,
};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const IMAGE: usize = 3 * PLANE;

/// Most bytes of a file: CIFAR-100's training images take 155 MB.
const LIMIT: u64 = 160 << 20;

/// Folders that the archives unpack to.
pub(super) const FOLDERS: [&str; 4] =
    ["cifar-10-batches-bin", "cifar-10-batches-py", "cifar-100-binary", "cifar-100-python"];

/// Which of the four forms a set of files has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    set: Known,
    pickled: bool,
}

/// What one of the files is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The training images that come at this place.
    Train(usize),
    Test,
    Names,
}

impl Form {
    const ALL: [Form; 4] = [
        Form { set: Known::Cifar10, pickled: false },
        Form { set: Known::Cifar10, pickled: true },
        Form { set: Known::Cifar100, pickled: false },
        Form { set: Known::Cifar100, pickled: true },
    ];

    /// The form of the files that are there.
    fn of(has: impl Fn(&str) -> bool) -> Option<Form> {
        let is = |form: &Form| {
            // `train` alone may be a folder's or anything else's name.
            let sure = *form != Form { set: Known::Cifar100, pickled: true } || has("meta");
            sure && has(form.train_files()[0])
        };
        Form::ALL.into_iter().find(is)
    }

    /// The form that has a file of this name, and what the file is for: no two have the same.
    fn of_member(name: &str) -> Option<(Form, Part)> {
        Form::ALL.into_iter().find_map(|form| Some((form, form.part(name)?)))
    }

    fn part(self, name: &str) -> Option<Part> {
        let train = self.train_files().iter().position(|&file| file == name).map(Part::Train);
        let test = || (self.test_file() == name).then_some(Part::Test);
        train.or_else(test).or_else(|| self.name_files().contains(&name).then_some(Part::Names))
    }

    fn files(self) -> impl Iterator<Item = &'static str> {
        self.train_files().iter().chain(self.name_files()).copied().chain([self.test_file()])
    }

    fn train_files(self) -> &'static [&'static str] {
        match (self.set, self.pickled) {
            (Known::Cifar10, false) => {
                &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"]
            }
            (Known::Cifar10, true) => &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
            (_, false) => &["train.bin"],
            (_, true) => &["train"],
        }
    }

    fn test_file(self) -> &'static str {
        match (self.set, self.pickled) {
            (Known::Cifar10, false) => "test_batch.bin",
            (Known::Cifar10, true) => "test_batch",
            (_, false) => "test.bin",
            (_, true) => "test",
        }
    }

    fn name_files(self) -> &'static [&'static str] {
        match (self.set, self.pickled) {
            (Known::Cifar10, false) => &["batches.meta.txt"],
            (Known::Cifar10, true) => &["batches.meta"],
            (_, false) => &["fine_label_names.txt", "coarse_label_names.txt"],
            (_, true) => &["meta"],
        }
    }
}

/// Whether a file has the name of one of the members.
pub(super) fn is_member(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| Form::of_member(name).is_some())
}

/// Whether a file of that name is meant as one of the members: `train`, `test` and `meta` may be anything else's name.
pub(super) fn is_name(path: &Path) -> bool {
    let vague = ["train", "test", "meta"].iter().any(|name| path.ends_with(name));
    is_member(path) && (!vague || path.parent().is_some_and(is_folder))
}

/// Whether a folder holds the files of one of the four archives.
pub(super) fn is_folder(folder: &Path) -> bool {
    Form::of(|name| folder.join(name).is_file()).is_some()
}

pub(super) fn load_folder(folder: &Path, coarse: bool) -> Result<Dataset, DataError> {
    let form = Form::of(|name| folder.join(name).is_file());
    let form = form.ok_or_else(|| DataError::Unrecognised(folder.to_owned()))?;
    let mut reading = Reading::new(form, coarse, text::path(folder));
    for name in form.files() {
        let path = folder.join(name);
        if path.exists() {
            let broken = |e| DataError::io(&path)(e);
            let (file, size) = file::open(&path).map_err(broken)?;
            reading.take(Member { name, size, bytes: &mut BufReader::new(file), broken: &broken })?;
        }
    }
    reading.finish()
}

pub(super) fn load_archive(path: &Path, coarse: bool, progress: &dyn Progress) -> Result<Dataset, DataError> {
    let mut reading = None;
    archive::each_file(path, progress, &mut |member| {
        let Some((form, _)) = Form::of_member(member.name) else { return Ok(()) };
        reading.get_or_insert_with(|| Reading::new(form, coarse, text::path(path))).take(member)
    })?;
    match reading {
        Some(reading) if Form::of(|name| reading.seen.contains(&name)).is_some() => reading.finish(),
        _ => Err(DataError::Unrecognised(path.to_owned())),
    }
}

/// A data set while its files are read, one after another in any order.
struct Reading {
    form: Form,
    coarse: bool,
    place: String,
    /// The files that have been read.
    seen: Vec<&'static str>,
    train: Batch,
    test: Batch,
    names: Option<Vec<String>>,
}

impl Reading {
    fn new(form: Form, coarse: bool, place: String) -> Self {
        let (train, test) = (Batch::default(), Batch::default());
        Reading { form, coarse, place, seen: Vec::new(), train, test, names: None }
    }

    /// With `coarse`, CIFAR-100's twenty superclasses are the classes.
    fn classes(&self) -> u32 {
        match (self.form.set, self.coarse) {
            (Known::Cifar10, _) => 10,
            (_, true) => 20,
            (_, false) => 100,
        }
    }

    /// Reads a file of this form, if it is one; of equal names the first counts.
    fn take(&mut self, member: Member) -> Result<(), DataError> {
        let Some(name) = self.form.files().find(|&name| name == member.name && !self.seen.contains(&name)) else {
            return Ok(());
        };
        self.seen.push(name);
        let file = format!("{}: {name}", self.place);
        super::check_size(&file, member.size, LIMIT)?;
        let (form, coarse, classes) = (self.form, self.coarse, self.classes());
        let (batch, part) = match form.part(name) {
            Some(Part::Train(part)) => (&mut self.train, part),
            Some(Part::Test) => (&mut self.test, 0),
            Some(Part::Names) | None => {
                self.names = class_names(&whole(member, &file)?, form, coarse, name, &file)?.or(self.names.take());
                return Ok(());
            }
        };
        let before = batch.labels.len();
        match form.pickled {
            false => batch.add_records(member, form.set, coarse, &file)?,
            true => batch.add_pickle(&whole(member, &file)?, form.set, coarse, &file)?,
        }
        batch.parts.push((part, batch.labels.len() - before));
        match batch.labels[before..].iter().position(|&label| label >= classes) {
            Some(i) => {
                let what = format!("image {i} has label {}, beyond the {classes} classes", batch.labels[before + i]);
                Err(DataError::broken(file, what))
            }
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Dataset, DataError> {
        let (form, classes) = (self.form, self.classes());
        let needed = form.train_files().iter().copied().chain([form.test_file()]);
        if let Some(name) = needed.into_iter().find(|name| !self.seen.contains(name)) {
            return Err(DataError::broken(self.place, format!("{name} is missing; download the data set again")));
        }
        let (train, test) = (self.train.into_split(), self.test.into_split());
        if train.is_empty() {
            return Err(DataError::broken(self.place, "there are no training images"));
        }
        let fallback = || match form.set {
            Known::Cifar10 => CIFAR10_CLASSES.map(String::from).to_vec(),
            _ => (0..classes).map(|i| format!("class {i}")).collect(),
        };
        let names = self.names.filter(|names| names.len() == classes as usize).unwrap_or_else(fallback);
        Ok(Dataset {
            validation_kind: ValidationKind::Test,
            normalisation: Some(form.set.normalisation()),
            ..Dataset::new(form.set.name(), names, train, test)
        })
    }
}

/// All bytes of a file; memory is taken as they arrive, not as its header claims.
fn whole(member: Member, file: &str) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    member.bytes.take(LIMIT).read_to_end(&mut bytes).map_err(member.broken)?;
    match bytes.len() as u64 == member.size {
        true => Ok(bytes),
        false => Err(DataError::broken(file, "cut short; download it again")),
    }
}

/// The names that a file gives to the classes, if it does.
fn class_names(
    bytes: &[u8],
    form: Form,
    coarse: bool,
    name: &str,
    file: &str,
) -> Result<Option<Vec<String>>, DataError> {
    let (text, key) = match (form.set, coarse) {
        (Known::Cifar10, _) => ("batches.meta.txt", "label_names"),
        (_, true) => ("coarse_label_names.txt", "coarse_label_names"),
        (_, false) => ("fine_label_names.txt", "fine_label_names"),
    };
    if !form.pickled {
        let text = (name == text).then(|| String::from_utf8_lossy(bytes));
        let lines =
            |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        return Ok(text.as_deref().map(lines));
    }
    let pickle = parse(bytes, file)?;
    let names = pickle.root().get(key).and_then(Value::items);
    Ok(names.and_then(|names| names.map(|name| name.as_str().map(str::to_owned)).collect()))
}

fn parse<'a>(bytes: &'a [u8], file: &str) -> Result<Pickle<'a>, DataError> {
    pickle::parse(bytes, pickle::Limits::default())
        .map_err(|source| DataError::Pickle { file: file.to_owned(), source })
}

/// Images while they are gathered from several files.
#[derive(Default)]
struct Batch {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    /// The place of each file that was read and how many images it has, in the order of reading.
    parts: Vec<(usize, usize)>,
}

impl Batch {
    /// Binary records: one label (CIFAR-10) or a coarse and a fine one (CIFAR-100), then the pixels.
    fn add_records(&mut self, member: Member, set: Known, coarse: bool, file: &str) -> Result<(), DataError> {
        let labels = if set == Known::Cifar10 { 1 } else { 2 };
        let length = labels + IMAGE;
        if !member.size.is_multiple_of(length as u64) {
            let what = format!("{} bytes are no whole number of records of {length}; download it again", member.size);
            return Err(DataError::broken(file, what));
        }
        let mut record = vec![0; length];
        for _ in 0..member.size / length as u64 {
            member.bytes.read_exact(&mut record).map_err(member.broken)?;
            let label = if set == Known::Cifar10 || coarse { record[0] } else { record[1] };
            self.labels.push(label.into());
            self.add_image(&record[labels..]);
        }
        Ok(())
    }

    /// A pickled dictionary with `data` (`[n, 3072]` bytes) and a list of labels.
    fn add_pickle(&mut self, bytes: &[u8], set: Known, coarse: bool, file: &str) -> Result<(), DataError> {
        let pickle = parse(bytes, file)?;
        let key = match (set, coarse) {
            (Known::Cifar10, _) => "labels",
            (_, true) => "coarse_labels",
            (_, false) => "fine_labels",
        };
        let missing = |what: &str| DataError::broken(file, format!("{what} is missing or has another form"));
        let labels = pickle.root().get(key).and_then(Value::items).ok_or_else(|| missing(key))?;
        let data = pickle.root().get("data").and_then(array_of_images).ok_or_else(|| missing("data"))?;
        if labels.len() != data.len() / IMAGE {
            let what = format!("{} labels for {} images", labels.len(), data.len() / IMAGE);
            return Err(DataError::broken(file, what));
        }
        for (label, image) in labels.zip(data.chunks_exact(IMAGE)) {
            let label = label.as_int().and_then(|label| u32::try_from(label).ok());
            self.labels.push(label.ok_or_else(|| missing("a label"))?);
            self.add_image(image);
        }
        Ok(())
    }

    /// Three planes become pixels of three channels.
    fn add_image(&mut self, planes: &[u8]) {
        let (red, rest) = planes.split_at(PLANE);
        let (green, blue) = rest.split_at(PLANE);
        let pixels = red.iter().zip(green).zip(blue);
        self.pixels.extend(pixels.flat_map(|((&r, &g), &b)| [r, g, b]));
    }

    /// The images in the order of the set's files. An archive has the files in another one; they change places within
    /// the memory where they are.
    fn into_split(mut self) -> Split {
        let (mut parts, mut sorted) = (self.parts, 0);
        while let Some((first, _)) = parts.iter().enumerate().min_by_key(|(_, (part, _))| part) {
            let before: usize = parts[..first].iter().map(|&(_, count)| count).sum();
            let (_, count) = parts.remove(first);
            let end = sorted + before + count;
            self.labels[sorted..end].rotate_right(count);
            self.pixels[sorted * IMAGE..end * IMAGE].rotate_right(count * IMAGE);
            sorted += count;
        }
        self.pixels.shrink_to_fit();
        let pixels = self.pixels.into();
        Split { height: SIDE, width: SIDE, channels: 3, pixels, labels: self.labels, sources: None, contents: None }
    }
}

/// The bytes of a pickled NumPy array of `[n, 3072]` unsigned bytes in C order: up to protocol 4
/// `_reconstruct(ndarray, (0,), 'b')` with state `(1, (n, 3072), dtype('u1'), False, bytes)`, in protocol 5
/// `_frombuffer(bytes, dtype('u1'), (n, 3072), 'C')`.
fn array_of_images<'p>(value: Value<'p, '_>) -> Option<&'p [u8]> {
    let call = |modules: [&str; 2], name| modules.into_iter().find_map(|module| value.call_of(module, name));
    let (shape, dtype, bytes, c_order);
    if let Some(arguments) = call(["numpy.core.numeric", "numpy._core.numeric"], "_frombuffer") {
        (shape, dtype, bytes) = (arguments.item(2)?, arguments.item(1)?, arguments.item(0)?);
        c_order = arguments.item(3)?.as_str()? == "C";
    } else {
        let arguments = call(["numpy.core.multiarray", "numpy._core.multiarray"], "_reconstruct")?;
        if arguments.item(0)?.global()? != ("numpy", "ndarray") {
            return None;
        }
        let state = value.state()?;
        (shape, dtype, bytes) = (state.item(1)?, state.item(2)?, state.item(4)?);
        c_order = !state.item(3)?.as_bool()?;
    }
    let bytes = bytes.as_bytes()?;
    let is_u8 = dtype.call_of("numpy", "dtype")?.item(0)?.as_str()? == "u1";
    let expected = shape.item(0)?.as_usize()?.checked_mul(IMAGE)?;
    let right_shape = shape.items()?.len() == 2 && shape.item(1)?.as_usize()? == IMAGE;
    (is_u8 && c_order && right_shape && bytes.len() == expected).then_some(bytes)
}
