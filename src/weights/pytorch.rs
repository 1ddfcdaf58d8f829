//! PyTorch's files: the zip archives that `torch.save` writes since 1.6, and the chain of pickles from before.
//!
//! Both hold a pickled tree of tensors, and beside it the storages that the tensors are views of. The bytes of the
//! storages stay in the mapped file; only the archive's directory and the tree are read.

use super::{
    entry::Entry,
    error::Problem,
    torch_storage::{StorageRef, broken},
    torch_tree::{self, Found},
    zip_file,
};
use crate::{
    data::pickle::{Pickle, Value},
    text,
};
use std::{
    collections::HashMap,
    io::{Cursor, Read},
    ops::Range,
};
use zip::{CompressionMethod, ZipArchive};

/// The tree of a network with its optimiser takes about 1 MB.
const LARGEST_TREE: usize = 32 << 20;
/// Far more storages than a network has tensors.
const MOST_MEMBERS: usize = 100_000;

/// What was read from a file.
pub(crate) struct Parsed<'a> {
    pub entries: Vec<Entry<'a>>,
    /// The keys that led to them, where that is one place.
    pub path: Vec<String>,
    /// What training scripts keep beside the weights under `arch`: the network's name.
    pub arch: Option<String>,
}

impl<'a> Parsed<'a> {
    fn new(entries: Vec<Entry<'a>>, found: &[Found<'_, '_>], pickle: &Pickle<'_>) -> Self {
        let path = match found {
            [one] => one.path.iter().map(|&key| text::foreign(key)).collect(),
            _ => Vec::new(),
        };
        let arch = pickle.root().get("arch").and_then(Value::as_str).map(str::to_owned);
        Self { entries, path, arch }
    }
}

/// The tensors of a zip archive.
pub(crate) fn parse_zip(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
    let mut archive = zip_file::open(Cursor::new(bytes))
        .map_err(|_| broken("the archive's directory is missing or damaged; the file is probably cut short"))?;
    if archive.len() > MOST_MEMBERS {
        return Err(broken(format!("the archive has more than {MOST_MEMBERS} members")));
    }
    let mut members = HashMap::new();
    for index in 0..archive.len() {
        let damaged = |_| broken("the archive's directory is damaged");
        let member = archive.by_index_raw(index).map_err(damaged)?;
        let name = member.name().map_err(damaged)?.into_owned();
        let range = || {
            let start = usize::try_from(member.data_start()?).ok()?;
            let end = start.checked_add(usize::try_from(member.compressed_size()).ok()?)?;
            (end <= bytes.len()).then_some(start..end)
        };
        let range = range()
            .ok_or_else(|| broken(format!("`{}` lies outside the file; it is cut short", text::foreign(&name))))?;
        let stored = member.compression() == CompressionMethod::Stored && !member.encrypted();
        members.insert(name, Member { index, range, stored, size: member.size() });
    }
    let root = members
        .keys()
        .find_map(|name| name.strip_suffix("data.pkl").filter(|root| root.is_empty() || root.ends_with('/')))
        .ok_or_else(|| {
            Problem::Unsupported("a zip archive, but not one that `torch.save` wrote: no `data.pkl` in it".into())
        })?
        .to_owned();
    if members.contains_key(&format!("{root}constants.pkl")) {
        return Err(Problem::Unsupported(
            "a TorchScript archive, which holds a program; save only the tensors, with `torch.save(model.state_dict(), …)`"
                .into(),
        ));
    }
    if let Some(order) = members.get(&format!("{root}byteorder"))
        && bytes[order.range.clone()].starts_with(b"big")
    {
        return Err(Problem::Unsupported("written on a big-endian machine, which is not read".into()));
    }
    let tree_member = &members[&format!("{root}data.pkl")];
    let inflated;
    let tree = if tree_member.stored {
        &bytes[tree_member.range.clone()]
    } else {
        inflated = inflate(&mut archive, tree_member)?;
        &inflated
    };
    if tree.len() > LARGEST_TREE {
        return Err(broken("its tree is larger than 32 MiB"));
    }
    let pickle = torch_tree::read(tree)?;
    let found = torch_tree::find(&pickle)?;
    let storage = |reference: StorageRef<'_>| {
        let name = format!("{root}data/{}", reference.key);
        let member = members
            .get(&name)
            .ok_or_else(|| broken(format!("`{}` is missing from the archive", text::foreign(&name))))?;
        if !member.stored {
            return Err(Problem::Unsupported(
                "the archive was compressed by another program; unpack it and pack it again without compression (zip -0)"
                    .into(),
            ));
        }
        bytes[member.range.clone()]
            .get(..reference.size()?)
            .ok_or_else(|| broken(format!("`{}` is too short", text::foreign(&name))))
    };
    let entries = torch_tree::tensors(&found, &storage)?;
    Ok(Parsed::new(entries, &found, &pickle))
}

/// Where a member of an archive lies.
struct Member {
    index: usize,
    range: Range<usize>,
    /// Neither compressed nor encrypted.
    stored: bool,
    size: u64,
}

/// A compressed tree, to the size that its directory entry claims at most.
fn inflate(archive: &mut ZipArchive<Cursor<&[u8]>>, member: &Member) -> Result<Vec<u8>, Problem> {
    let damaged = || broken("its tree can't be decompressed");
    if member.size > LARGEST_TREE as u64 {
        return Err(broken("its tree is larger than 32 MiB"));
    }
    let mut tree = Vec::new();
    let file = archive.by_index(member.index).map_err(|_| damaged())?;
    file.take(member.size).read_to_end(&mut tree).map_err(|_| damaged())?;
    Ok(tree)
}

/// Begins every file of PyTorch's old format, as a pickled integer of protocol 2.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The tensors of a file from before PyTorch 1.6: pickles of a magic number, a version, the machine, the tree and the
/// list of storages, and then each storage's length and bytes in the order of the list.
pub(crate) fn parse_legacy(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
    let mut at = 0;
    let magic = torch_tree::read(bytes)?;
    if !bytes[..magic.length()].ends_with(LEGACY_MAGIC) {
        return Err(Problem::Unsupported("a pickle, but not one that `torch.save` wrote".into()));
    }
    at += magic.length();
    let version = torch_tree::read(&bytes[at..])?;
    if version.root().as_int() != Some(1001) {
        return Err(Problem::Unsupported("a version of PyTorch's old format that is not read".into()));
    }
    at += version.length();
    let machine = torch_tree::read(&bytes[at..])?;
    if machine.root().get("little_endian").and_then(|v| v.as_bool()) == Some(false) {
        return Err(Problem::Unsupported("written on a big-endian machine, which is not read".into()));
    }
    at += machine.length();
    let pickle = torch_tree::read(&bytes[at..])?;
    at += pickle.length();
    let keys = torch_tree::read(&bytes[at..])?;
    at += keys.length();

    let mut references = HashMap::new();
    for id in pickle.values().filter_map(Value::persistent_id).filter(|&id| StorageRef::is_one(id)) {
        let reference = StorageRef::from_persistent(id)?;
        references.insert(reference.key, reference);
    }
    let keys = keys.root().items().ok_or_else(|| broken("the list of its storages is none"))?;
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    let mut rest = &bytes[at..];
    for key in keys {
        let reference = key.as_str().and_then(|key| references.get(key));
        let reference = reference.ok_or_else(|| broken("it holds a storage that no tensor uses"))?;
        let cut_short = || broken(format!("storage {} is not all there; the file is cut short", reference.name()));
        let (count, tail) = rest.split_first_chunk::<8>().ok_or_else(cut_short)?;
        if u64::from_le_bytes(*count) != reference.count as u64 {
            return Err(broken(format!("storage {} has another length than its tensor says", reference.name())));
        }
        let (storage, tail) = tail.split_at_checked(reference.size()?).ok_or_else(cut_short)?;
        storages.insert(reference.key, storage);
        rest = tail;
    }
    let found = torch_tree::find(&pickle)?;
    let storage = |reference: StorageRef<'_>| {
        let bytes = storages.get(reference.key).copied().and_then(|storage| storage.get(..reference.size().ok()?));
        bytes.ok_or_else(|| broken(format!("storage {} is missing or too short", reference.name())))
    };
    let entries = torch_tree::tensors(&found, &storage)?;
    Ok(Parsed::new(entries, &found, &pickle))
}
