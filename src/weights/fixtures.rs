//! What the tests of this module share: networks filled by the formula, and small writers of other programs' files.

use super::{
    HostTensor, ImportOptions, Imported, ModelCard, Problem, StateDict, default_preprocessing, foreign::Source,
    formula, import::pretrained, write_safetensors,
};
use crate::model::{Block, ModelSpec, Stem};
use std::{
    io::{Cursor, Write},
    path::Path,
};

/// [`super::read`] for a file that is in memory.
pub(crate) fn from_bytes(bytes: &[u8], options: &ImportOptions) -> Result<Imported, Problem> {
    pretrained(bytes, options, &Source::default())?.whole()
}

/// A whole network with the formula's values.
pub(crate) fn network(spec: &ModelSpec) -> StateDict {
    let tensor = |name: &str, shape: &[usize]| HostTensor { shape: shape.to_vec(), data: formula::tensor(name, shape) };
    spec.tensors().iter().map(|info| (info.name.clone(), tensor(&info.name, &info.shape))).collect()
}

/// A tensor as PyTorch would store it, in a storage of its own.
#[derive(Clone)]
pub(crate) struct Stored {
    pub name: String,
    /// PyTorch's name of the storage's type.
    pub storage: &'static str,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
    pub count: usize,
    pub bytes: Vec<u8>,
}

/// Row-major strides of a shape.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    (1..=shape.len()).map(|i| shape[i..].iter().product()).collect()
}

/// A state dictionary as float32 storages, with the counters that PyTorch keeps.
pub(crate) fn stored(tensors: &StateDict) -> Vec<Stored> {
    let mut stored = Vec::new();
    for (name, HostTensor { shape, data }) in tensors {
        stored.push(Stored {
            name: name.clone(),
            storage: "FloatStorage",
            shape: shape.clone(),
            strides: strides(shape),
            count: data.len(),
            bytes: data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        if let Some(bn) = name.strip_suffix(".running_var") {
            stored.push(Stored {
                name: format!("{bn}.num_batches_tracked"),
                storage: "LongStorage",
                shape: vec![],
                strides: vec![],
                count: 1,
                bytes: 7i64.to_le_bytes().into(),
            });
        }
    }
    stored
}

/// The pickle of a state dictionary, under nested keys with an epoch and an accuracy beside it.
pub(crate) fn pickle(tensors: &[Stored], protocol: u8, nest: &[&str]) -> Vec<u8> {
    pickle_beside(tensors, protocol, nest, b"")
}

/// [`pickle`] with more keys and values, as instructions, beside each nested key.
pub(crate) fn pickle_beside(tensors: &[Stored], protocol: u8, nest: &[&str], beside: &[u8]) -> Vec<u8> {
    let mut out = Pickler { out: vec![0x80, protocol], protocol };
    for key in nest {
        out.op(b"}(");
        out.text("epoch");
        out.op(b"K\x03");
        out.op(beside);
        out.text(key);
    }
    out.global("collections", "OrderedDict");
    out.op(b")R(");
    for (key, tensor) in tensors.iter().enumerate() {
        out.text(&tensor.name);
        out.tensor(key, tensor);
    }
    out.op(b"u");
    for _ in nest {
        out.text("acc");
        out.op(b"G");
        out.op(&92.1f64.to_be_bytes());
        out.op(b"u");
    }
    out.op(b".");
    out.out
}

/// The pickle of a module that was saved as a whole, its parameters being these tensors.
pub(crate) fn module_pickle(tensors: &[Stored]) -> Vec<u8> {
    let mut out = Pickler { out: vec![0x80, 2], protocol: 2 };
    let named: Vec<_> = tensors.iter().enumerate().map(|(key, tensor)| (tensor.name.as_str(), key, tensor)).collect();
    out.module(&named);
    out.op(b".");
    out.out
}

struct Pickler {
    out: Vec<u8>,
    protocol: u8,
}

impl Pickler {
    fn tensor(&mut self, key: usize, tensor: &Stored) {
        // PyTorch has no storage type for what is newer than its storages: the tensor then says what it is.
        let typed = tensor.storage.starts_with("float8");
        self.global(
            "torch._utils",
            match tensor.storage {
                "QInt8Storage" => "_rebuild_qtensor",
                _ if typed => "_rebuild_tensor_v3",
                _ => "_rebuild_tensor_v2",
            },
        );
        self.op(b"((");
        self.text("storage");
        if typed {
            self.global("torch.storage", "UntypedStorage");
        } else {
            self.global("torch", tensor.storage);
        }
        self.text(&key.to_string());
        self.text("cuda:0");
        self.int(tensor.count);
        self.op(b"tQK\x00");
        self.ints(&tensor.shape);
        self.ints(&tensor.strides);
        self.op(b"\x89");
        self.global("collections", "OrderedDict");
        self.op(b")R");
        if typed {
            self.global("torch", tensor.storage);
        }
        self.op(b"tR");
    }

    fn module(&mut self, tensors: &[(&str, usize, &Stored)]) {
        self.global("torch.nn.modules.module", "Module");
        self.op(b")\x81}(");
        self.text("training");
        self.op(b"\x88");
        self.text("_parameters");
        self.op(b"}(");
        for (name, key, tensor) in tensors.iter().filter(|(name, ..)| !name.contains('.')) {
            self.text(name);
            self.tensor(*key, tensor);
        }
        self.op(b"u");
        self.text("_modules");
        self.op(b"}(");
        let mut children: Vec<&str> = tensors.iter().filter_map(|(name, ..)| Some(name.split_once('.')?.0)).collect();
        children.dedup();
        for child in children {
            let mut inner = Vec::new();
            for &(name, key, tensor) in tensors {
                if let Some((_, rest)) = name.split_once('.').filter(|(first, _)| *first == child) {
                    inner.push((rest, key, tensor));
                }
            }
            self.text(child);
            self.module(&inner);
        }
        self.op(b"uub");
    }

    fn op(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        if self.protocol < 4 {
            self.op(b"X");
            self.op(&(text.len() as u32).to_le_bytes());
        } else {
            self.op(&[0x8c, text.len() as u8]);
        }
        self.op(text.as_bytes());
        if self.protocol >= 4 {
            self.op(b"\x94");
        }
    }

    fn global(&mut self, module: &str, name: &str) {
        if self.protocol < 4 {
            self.op(format!("c{module}\n{name}\n").as_bytes());
        } else {
            self.text(module);
            self.text(name);
            self.op(b"\x93\x94");
        }
    }

    fn int(&mut self, value: usize) {
        self.op(b"J");
        self.op(&(value as i32).to_le_bytes());
    }

    fn ints(&mut self, values: &[usize]) {
        self.op(b"(");
        values.iter().for_each(|&value| self.int(value));
        self.op(b"t");
    }
}

/// What `torch.save` writes since 1.6.
pub(crate) fn torch_zip(tensors: &[Stored], protocol: u8, nest: &[&str]) -> Vec<u8> {
    torch_zip_of("archive", tensors, pickle(tensors, protocol, nest))
}

/// [`torch_zip`] under another inner name and with another tree.
pub(crate) fn torch_zip_of(root: &str, tensors: &[Stored], tree: Vec<u8>) -> Vec<u8> {
    let storages = tensors.iter().enumerate().map(|(key, tensor)| (format!("data/{key}"), tensor.bytes.clone()));
    let mut members = vec![("data.pkl".to_owned(), tree), ("byteorder".into(), b"little".into())];
    members.extend(storages);
    members.push(("version".into(), b"3\n".into()));
    with_large_end(zip_archive_of(root, &members, false))
}

/// What PyTorch writes before the end of every archive: the end once more in the form for large archives.
fn with_large_end(mut archive: Vec<u8>) -> Vec<u8> {
    const END: usize = 22;
    let end = archive.split_off(archive.len() - END);
    let place = archive.len() as u64;
    let field = |at: usize, size: usize| {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(&end[at..at + size]);
        u64::from_le_bytes(wide)
    };
    archive.extend(b"PK\x06\x06");
    archive.extend(44u64.to_le_bytes());
    archive.extend([0x1e, 3, 0x2d, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Members on this disk and all, the directory's size and place.
    for (at, size) in [(8, 2), (10, 2), (12, 4), (16, 4)] {
        archive.extend(field(at, size).to_le_bytes());
    }
    archive.extend(b"PK\x06\x07\0\0\0\0");
    archive.extend(place.to_le_bytes());
    archive.extend(1u32.to_le_bytes());
    archive.extend(end);
    archive
}

/// A zip archive of these members under a folder.
pub(crate) fn zip_archive(members: &[(String, Vec<u8>)], compressed: bool) -> Vec<u8> {
    zip_archive_of("archive", members, compressed)
}

fn zip_archive_of(root: &str, members: &[(String, Vec<u8>)], compressed: bool) -> Vec<u8> {
    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};
    let method = if compressed { CompressionMethod::Deflated } else { CompressionMethod::Stored };
    let options = SimpleFileOptions::default().compression_method(method);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(format!("{root}/{name}"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// What `torch.save` wrote before 1.6.
pub(crate) fn torch_legacy(tensors: &[Stored], protocol: u8, nest: &[&str]) -> Vec<u8> {
    let mut out = vec![0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
    out.extend(b"\x80\x02M\xe9\x03.");
    out.extend(b"\x80\x02}(X\x0d\0\0\0little_endian\x88u.");
    out.extend(pickle(tensors, protocol, nest));
    let mut keys = Pickler { out: vec![0x80, 2], protocol: 2 };
    keys.op(b"](");
    (0..tensors.len()).rev().for_each(|key| keys.text(&key.to_string()));
    keys.op(b"e.");
    out.extend(keys.out);
    for tensor in tensors.iter().rev() {
        out.extend((tensor.count as u64).to_le_bytes());
        out.extend(&tensor.bytes);
    }
    out
}

/// One tensor of a MindSpore checkpoint: name, type, dimensions, bytes.
pub(crate) type MindSporeTensor<'a> = (&'a str, &'a str, &'a [usize], &'a [u8]);

/// A MindSpore checkpoint, with tensors cut into pieces of at most `piece` bytes, and a checksum if asked for.
pub(crate) fn mindspore(tensors: &[MindSporeTensor<'_>], piece: usize, checksum: bool) -> Vec<u8> {
    fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
        out.push(number << 3 | 2);
        varint(out, bytes.len());
        out.extend(bytes);
    }
    fn varint(out: &mut Vec<u8>, mut value: usize) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
    let mut out = Vec::new();
    for &(tag, kind, dims, bytes) in tensors {
        for bytes in bytes.chunks(piece) {
            let (mut tensor, mut value) = (Vec::new(), Vec::new());
            for &side in dims {
                tensor.push(1 << 3);
                varint(&mut tensor, side);
            }
            field(&mut tensor, 2, kind.as_bytes());
            field(&mut tensor, 3, bytes);
            field(&mut value, 1, tag.as_bytes());
            field(&mut value, 2, &tensor);
            field(&mut out, 1, &value);
        }
    }
    if checksum {
        let mut crc = flate2::Crc::new();
        crc.update(&out);
        out.extend(b"crc_num\0\0\0\0\0\0");
        out.extend(crc.sum().to_be_bytes());
    }
    out
}

/// mindvision's name for one of torchvision's.
pub(crate) fn mindvision_name(name: &str) -> String {
    let (place, leaf) = name.rsplit_once('.').unwrap();
    if place == "fc" {
        return format!("head.dense.{leaf}");
    }
    let (block, last) = place.rsplit_once('.').map_or(("", place), |(block, last)| (block, last));
    let dot = if block.is_empty() { "" } else { "." };
    match last.strip_prefix("bn") {
        Some(k) => format!("backbone.{block}{dot}conv{k}.features.1.{}", mindspore_leaf(leaf)),
        None if last.starts_with("conv") => format!("backbone.{place}.features.0.{leaf}"),
        None => {
            let block = block.strip_suffix(".downsample").unwrap();
            let leaf = if last == "1" { mindspore_leaf(leaf) } else { leaf };
            format!("backbone.{block}.down_sample.features.{last}.{leaf}")
        }
    }
}

/// MindSpore's name, with these words for shortcut, normalisation and head.
pub(crate) fn mindspore_name(name: &str, shortcut: &str, norm: &str, head: &str) -> String {
    let (place, leaf) = name.rsplit_once('.').unwrap();
    let is_norm = place.contains("bn") || place.ends_with("downsample.1");
    let leaf = if is_norm { mindspore_leaf(leaf) } else { leaf };
    let place = if place == "bn1" && norm == "norm" { "norm".to_owned() } else { place.replace("bn", norm) };
    format!("{}.{leaf}", place.replace("downsample", shortcut).replace("fc", head))
}

fn mindspore_leaf(leaf: &str) -> &str {
    match leaf {
        "weight" => "gamma",
        "bias" => "beta",
        "running_mean" => "moving_mean",
        "running_var" => "moving_variance",
        other => other,
    }
}

/// What is said of a network with numbered classes.
pub(crate) fn card(spec: ModelSpec) -> ModelCard {
    let classes = (0..spec.classes).map(|class| format!("class {class}")).collect();
    ModelCard { classes, preprocessing: default_preprocessing(&spec), spec, validation_share: None, head: None }
}

/// Writes the weights of a very small network with two classes.
pub(crate) fn write_small_network(path: &Path) {
    let spec = ModelSpec::custom(Block::Basic, Stem::Cifar, vec![1], vec![2], 1, 2).unwrap();
    let tensors = network(&spec);
    write_safetensors(path, &card(spec), &tensors).unwrap();
}
