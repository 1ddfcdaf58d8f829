//! What the markers before a JPEG's picture say.

use super::{
    ZIGZAG,
    huffman::{Step, Table},
};
use std::ops::Range;

/// What a block of EXIF begins with.
const EXIF: &[u8] = b"Exif\0\0";

pub(super) struct Header {
    /// Height and width.
    pub size: [usize; 2],
    /// One, gray, or three: luma and two of chroma.
    pub components: Vec<Component>,
    /// Blocks of an MCU that each side of the picture has, of the component with the most: across, and down.
    pub most: [usize; 2],
    /// MCUs between two restarts; 0 for none.
    pub restart_interval: usize,
    pub dc: [Option<Table>; 4],
    pub ac: [Option<Table>; 4],
    /// Where the picture's bits begin.
    pub start: usize,
    /// Where a camera's block of facts is.
    pub exif: Option<Range<usize>>,
}

pub(super) struct Component {
    id: u8,
    /// Blocks of an MCU: across, and down.
    pub blocks: [usize; 2],
    /// How often each of its samples shows, across and down.
    pub ratio: [usize; 2],
    quantisation: usize,
    /// Which Huffman tables.
    pub dc: usize,
    pub ac: usize,
    /// What its coefficients are multiplied with, and where they belong.
    pub steps: [Step; 128],
}

impl Header {
    /// `None` for whatever is not baseline, or looks broken.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut header = Self {
            size: [0; 2],
            components: Vec::new(),
            most: [1; 2],
            restart_interval: 0,
            dc: Default::default(),
            ac: Default::default(),
            start: 0,
            exif: None,
        };
        let mut quantisation: [Option<[u16; 64]>; 4] = Default::default();
        let mut at = 2;
        loop {
            while bytes.get(at..at + 2)? == [0xff, 0xff] {
                at += 1;
            }
            let &[0xff, marker, high, low] = bytes.get(at..at + 4)? else { return None };
            let next = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let contents = bytes.get(at + 4..next)?;
            match marker {
                0xdb => read_quantisation(contents, &mut quantisation)?,
                0xc4 => read_huffman(contents, &mut header.dc, &mut header.ac)?,
                0xc0 | 0xc1 if header.components.is_empty() => header.read_frame(contents)?,
                0xdd => header.restart_interval = usize::from(u16::from_be_bytes(contents.try_into().ok()?)),
                // Adobe's marker, of colours that are not YCbCr.
                0xee if contents.starts_with(b"Adobe") && contents.get(11) == Some(&0) => return None,
                0xda => {
                    header.start = next;
                    header.read_scan(contents, &quantisation)?;
                    return Some(header);
                }
                0xe1 if contents.starts_with(EXIF) => {
                    header.exif.get_or_insert(at + 4 + EXIF.len()..next);
                }
                0xe0..=0xef | 0xfe => {}
                _ => return None,
            }
            at = next;
        }
    }

    fn read_frame(&mut self, contents: &[u8]) -> Option<()> {
        let &[8, h1, h0, w1, w0, count, ref components @ ..] = contents else { return None };
        self.size = [[h1, h0], [w1, w0]].map(|side| usize::from(u16::from_be_bytes(side)));
        let components = components.as_chunks::<3>().0;
        if self.size.contains(&0) || components.len() != usize::from(count) || !matches!(count, 1 | 3) {
            return None;
        }
        self.components = components
            .iter()
            .map(|&[id, blocks, quantisation]| Component {
                id,
                // A single component has no MCUs of several blocks.
                blocks: if count == 1 { [1; 2] } else { [blocks >> 4, blocks & 15].map(usize::from) },
                ratio: [1; 2],
                quantisation: usize::from(quantisation),
                dc: 0,
                ac: 0,
                steps: [Step::default(); 128],
            })
            .collect();
        let ids: Vec<u8> = self.components.iter().map(|component| component.id).collect();
        self.most =
            [0, 1].map(|axis| self.components.iter().map(|component| component.blocks[axis]).max().unwrap_or(1));
        let most = self.most;
        for Component { blocks, ratio, .. } in &mut self.components {
            if !blocks.iter().all(|blocks| (1..=4).contains(blocks)) {
                return None;
            }
            *ratio = [0, 1].map(|axis| most[axis] / blocks[axis]);
            if [0, 1].iter().any(|&axis| ratio[axis] * blocks[axis] != most[axis]) {
                return None;
            }
        }
        (ids != *b"RGB").then_some(())
    }

    fn read_scan(&mut self, contents: &[u8], quantisation: &[Option<[u16; 64]>; 4]) -> Option<()> {
        let (&count, rest) = contents.split_first()?;
        let (tables, rest) = rest.split_at_checked(usize::from(count) * 2)?;
        if self.components.is_empty() || usize::from(count) != self.components.len() || rest != [0, 63, 0] {
            return None;
        }
        for (component, &[id, tables]) in self.components.iter_mut().zip(tables.as_chunks::<2>().0) {
            (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            let known = self.dc.get(component.dc)?.is_some() && self.ac.get(component.ac)?.is_some();
            if component.id != id || !known {
                return None;
            }
            let factors = quantisation.get(component.quantisation)?.as_ref()?;
            for (step, (&place, &factor)) in component.steps.iter_mut().zip(ZIGZAG.iter().zip(factors)) {
                *step = Step { place, factor };
            }
        }
        Some(())
    }

    /// MCUs across, and down.
    pub(super) fn mcus(&self) -> [usize; 2] {
        [self.size[1].div_ceil(8 * self.most[0]), self.size[0].div_ceil(8 * self.most[1])]
    }
}

fn read_quantisation(mut contents: &[u8], tables: &mut [Option<[u16; 64]>; 4]) -> Option<()> {
    while let Some((&first, rest)) = contents.split_first() {
        let (deep, table) = (first >> 4 == 1, tables.get_mut(usize::from(first & 15))?);
        let (values, rest) = rest.split_at_checked(if deep { 128 } else { 64 })?;
        let value = |i: usize| match deep {
            true => u16::from_be_bytes([values[2 * i], values[2 * i + 1]]),
            false => u16::from(values[i]),
        };
        *table = Some(std::array::from_fn(value));
        contents = rest;
    }
    Some(())
}

fn read_huffman(mut contents: &[u8], dc: &mut [Option<Table>; 4], ac: &mut [Option<Table>; 4]) -> Option<()> {
    while let Some((&first, rest)) = contents.split_first() {
        let (lengths, rest) = rest.split_first_chunk::<16>()?;
        let count = lengths.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(count)?;
        let tables = if first >> 4 == 0 { &mut *dc } else { &mut *ac };
        *tables.get_mut(usize::from(first & 15))? = Some(Table::new(lengths, symbols)?);
        contents = rest;
    }
    Some(())
}
