//! CIFAR-10 and CIFAR-100 in both published formats: fixed-size records, and Python 2 pickles of NumPy arrays.
//!
//! <https://www.cs.toronto.edu/~kriz/cifar.html>. Pixels lie as 1024 red, 1024 green, 1024 blue; they become
//! `[32, 32, 3]`. The pickles go through the closed reader of [`super::pickle`], which executes nothing; here just the
//! one array constructor that the published files name is understood.

use super::{
    DataError, Dataset, Progress, Split, ValidationKind,
    archive::{self, Members},
    catalogue::{CIFAR10_CLASSES, Known},
    pickle::{self, Pickle, Value},
};
use std::path::Path;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const IMAGE: usize = 3 * PLANE;

/// Members that any of the four archives may have.
const MEMBERS: [&str; 21] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
    "batches.meta.txt",
    "train.bin",
    "test.bin",
    "fine_label_names.txt",
    "coarse_label_names.txt",
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
    "batches.meta",
    "train",
    "test",
    "meta",
];

/// Folders that the archives unpack to.
pub(super) const FOLDERS: [&str; 4] =
    ["cifar-10-batches-bin", "cifar-10-batches-py", "cifar-100-binary", "cifar-100-python"];

/// Which of the four forms a set of files has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    set: Known,
    pickled: bool,
}

impl Form {
    fn of(has: impl Fn(&str) -> bool) -> Option<Form> {
        let form = |set, pickled| Some(Form { set, pickled });
        if has("data_batch_1.bin") {
            form(Known::Cifar10, false)
        } else if has("data_batch_1") {
            form(Known::Cifar10, true)
        } else if has("train.bin") {
            form(Known::Cifar100, false)
        } else if has("train") && has("meta") {
            form(Known::Cifar100, true)
        } else {
            None
        }
    }

    fn train_files(self) -> Vec<String> {
        let ending = if self.pickled { "" } else { ".bin" };
        match self.set {
            Known::Cifar10 => (1..=5).map(|i| format!("data_batch_{i}{ending}")).collect(),
            _ => vec![format!("train{ending}")],
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
}

/// Whether a file has the name of one of the members.
pub(super) fn is_member(path: &Path) -> bool {
    path.file_name().is_some_and(|name| MEMBERS.iter().any(|member| name == *member))
}

/// Whether a folder holds the files of one of the four archives.
pub(super) fn is_folder(folder: &Path) -> bool {
    Form::of(|name| folder.join(name).is_file()).is_some()
}

pub(super) fn load_folder(folder: &Path, coarse: bool) -> Result<Dataset, DataError> {
    let members = archive::read_folder(folder, &|name| MEMBERS.contains(&name))?;
    load(&members, &folder.display().to_string(), coarse)
}

pub(super) fn load_archive(path: &Path, coarse: bool, progress: &dyn Progress) -> Result<Dataset, DataError> {
    let members = archive::read_archive(path, &|name| MEMBERS.contains(&name), progress)?;
    if Form::of(|name| members.contains_key(name)).is_none() {
        return Err(DataError::Unrecognised(path.to_owned()));
    }
    load(&members, &path.display().to_string(), coarse)
}

/// Reads a data set out of its files. With `coarse`, CIFAR-100's twenty superclasses are the classes.
fn load(members: &Members, place: &str, coarse: bool) -> Result<Dataset, DataError> {
    let form = Form::of(|name| members.contains_key(name))
        .ok_or_else(|| DataError::broken(place, "none of CIFAR's files is here"))?;
    let classes = match (form.set, coarse) {
        (Known::Cifar10, _) => 10,
        (_, true) => 20,
        (_, false) => 100,
    };
    let get = |name: &str| {
        let what = || DataError::broken(place, format!("{name} is missing; download the data set again"));
        members.get(name).map(Vec::as_slice).ok_or_else(what)
    };
    let read = |names: &[String]| {
        let mut batch = Batch::default();
        for name in names {
            let file = format!("{place}: {name}");
            match form.pickled {
                false => batch.add_records(get(name)?, form.set, coarse, &file)?,
                true => batch.add_pickle(get(name)?, form.set, coarse, &file)?,
            }
            if let Some(i) = batch.labels.iter().position(|&label| label >= classes) {
                let what = format!("image {i} has label {}, beyond the {classes} classes", batch.labels[i]);
                return Err(DataError::broken(file, what));
            }
        }
        Ok(batch.into_split())
    };
    let train = read(&form.train_files())?;
    let test = read(&[form.test_file().to_owned()])?;
    if train.is_empty() {
        return Err(DataError::broken(place, "there are no training images"));
    }
    let names = class_names(members, form, coarse, place)?;
    let fallback = || match form.set {
        Known::Cifar10 => CIFAR10_CLASSES.map(String::from).to_vec(),
        _ => (0..classes).map(|i| format!("class {i}")).collect(),
    };
    let names = names.filter(|names| names.len() == classes as usize).unwrap_or_else(fallback);
    Ok(Dataset {
        validation_kind: ValidationKind::Test,
        normalisation: Some(form.set.normalisation()),
        ..Dataset::new(form.set.name(), names, train, test)
    })
}

/// The names that the files give, if they do.
fn class_names(members: &Members, form: Form, coarse: bool, place: &str) -> Result<Option<Vec<String>>, DataError> {
    let (text, meta, key) = match (form.set, coarse) {
        (Known::Cifar10, _) => ("batches.meta.txt", "batches.meta", "label_names"),
        (_, true) => ("coarse_label_names.txt", "meta", "coarse_label_names"),
        (_, false) => ("fine_label_names.txt", "meta", "fine_label_names"),
    };
    if !form.pickled {
        let lines = members.get(text).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        return Ok(
            lines.map(|text| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
        );
    }
    let Some(bytes) = members.get(meta) else { return Ok(None) };
    let pickle = parse(bytes, &format!("{place}: {meta}"))?;
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
}

impl Batch {
    /// Binary records: one label (CIFAR-10) or a coarse and a fine one (CIFAR-100), then the pixels.
    fn add_records(&mut self, bytes: &[u8], set: Known, coarse: bool, file: &str) -> Result<(), DataError> {
        let labels = if set == Known::Cifar10 { 1 } else { 2 };
        let record = labels + IMAGE;
        if !bytes.len().is_multiple_of(record) {
            let what = format!("{} bytes are no whole number of records of {record}; download it again", bytes.len());
            return Err(DataError::broken(file, what));
        }
        for record in bytes.chunks_exact(record) {
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

    fn into_split(self) -> Split {
        Split { height: SIDE, width: SIDE, channels: 3, pixels: self.pixels.into(), labels: self.labels, sources: None }
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
