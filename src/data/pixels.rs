//! The bytes of a split's images, wherever they are.

use super::photographs::{Photographs, Whereabouts};
use memmap2::Mmap;
use std::{borrow::Cow, fmt, sync::Arc};

/// The bytes of many images of one size. Cloning is cheap.
#[derive(Clone)]
pub struct Pixels {
    held: Held,
    /// Height and width that each image had before it was squeezed whole into the split's size.
    squeezed_from: Option<Arc<[[u32; 2]]>>,
}

#[derive(Clone)]
enum Held {
    Memory(Arc<Vec<u8>>),
    Mapped(Arc<Mmap>),
    /// Decoded when they are needed.
    Photographs(Arc<Photographs>),
}

impl Pixels {
    pub(super) fn mapped(map: Mmap) -> Self {
        Self { held: Held::Mapped(Arc::new(map)), squeezed_from: None }
    }

    pub(super) fn photographs(photographs: Photographs) -> Self {
        Self { held: Held::Photographs(Arc::new(photographs)), squeezed_from: None }
    }

    /// Those that may still have to be decoded.
    pub(super) fn as_photographs(&self) -> Option<&Photographs> {
        match &self.held {
            Held::Photographs(photographs) => Some(photographs),
            Held::Memory(_) | Held::Mapped(_) => None,
        }
    }

    pub(crate) fn whereabouts(&self) -> Whereabouts {
        match &self.held {
            Held::Memory(_) => Whereabouts::Memory,
            Held::Mapped(_) => Whereabouts::TemporaryFile,
            Held::Photographs(photographs) => photographs.whereabouts(),
        }
    }

    /// The same, of images that were squeezed from these sizes.
    pub(crate) fn squeezed_from(self, sizes: Vec<[u32; 2]>) -> Self {
        Self { squeezed_from: Some(sizes.into()), ..self }
    }

    /// Whether the images are whole pictures that were squeezed into one shape.
    pub(super) fn are_squeezed(&self) -> bool {
        self.squeezed_from.is_some()
    }

    /// Height and width that image `index` had, where it was squeezed.
    pub(super) fn original_size(&self, index: usize) -> Option<[usize; 2]> {
        self.squeezed_from.as_ref()?.get(index).map(|size| size.map(|side| side as usize))
    }

    /// All bytes in a row.
    pub(super) fn all(&self) -> Option<&[u8]> {
        match &self.held {
            Held::Memory(bytes) => Some(bytes),
            Held::Mapped(map) => Some(map),
            Held::Photographs(_) => None,
        }
    }

    /// Image `index` of images of `len` bytes.
    ///
    /// # Panics
    /// If there is none, as a slice would.
    pub(super) fn image(&self, index: usize, len: usize) -> Cow<'_, [u8]> {
        let place = index * len..(index + 1) * len;
        match &self.held {
            Held::Memory(bytes) => Cow::Borrowed(&bytes[place]),
            Held::Mapped(map) => Cow::Borrowed(&map[place]),
            Held::Photographs(photographs) => photographs.image(index),
        }
    }
}

impl From<Vec<u8>> for Pixels {
    /// Without a copy: a data set is in memory once.
    fn from(bytes: Vec<u8>) -> Self {
        Self { held: Held::Memory(Arc::new(bytes)), squeezed_from: None }
    }
}

impl fmt::Debug for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.held {
            Held::Memory(bytes) => write!(f, "{} bytes in memory", bytes.len()),
            Held::Mapped(map) => write!(f, "{} bytes in a mapped file", map.len()),
            Held::Photographs(photographs) => write!(f, "{} photographs", photographs.len()),
        }
    }
}
