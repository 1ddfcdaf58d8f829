//! Huffman codes of a JPEG, and the coefficients that they stand for.

use super::bits::{Bits, extended};

/// Bits that are looked up at once: most codes together with the number that follows them. Longer ones are rare.
const QUICK: u32 = 10;

/// What comes next: a code, and the number behind it.
///
/// From the lowest bit: bits of both (6), of the code alone (6; 0 where there is no such code, or a longer one), how many
/// coefficients further the number belongs (7), whether the number is known (1), and the number (12).
#[derive(Clone, Copy, Default)]
struct Entry(u32);

impl Entry {
    const KNOWN: u32 = 1 << 19;

    /// For a code of `length` bits; `bits` are the [`QUICK`] ones that begin with it.
    fn new(symbol: u8, length: u32, bits: u32) -> Self {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        // Without a number only sixteen zeros go on; anything else is the end.
        let advance = if size == 0 && run < 15 { END } else { run + 1 };
        let all = length + size;
        let known = match size > 0 && all <= QUICK {
            true => Self::KNOWN | (extended((bits >> (QUICK - all)) & ((1 << size) - 1), size) as u32) << 20,
            false => 0,
        };
        Self(all | length << 6 | advance << 12 | known)
    }

    #[inline(always)]
    fn length(self) -> u32 {
        self.0 >> 6 & 63
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.0 & 63
    }

    /// Skips the code and the number.
    #[inline(always)]
    fn skip(self, bits: &mut Bits) {
        bits.skip_low(self.0);
    }

    #[inline(always)]
    fn advance(self) -> usize {
        (self.0 >> 12 & 127) as usize
    }

    #[inline(always)]
    fn is_known(self) -> bool {
        self.0 & Self::KNOWN != 0
    }

    #[inline(always)]
    fn value(self) -> i32 {
        self.0 as i32 >> 20
    }
}

/// Beyond any block.
const END: u32 = 64;

pub(super) struct Table {
    quick: Box<[Entry; 1 << QUICK]>,
    /// For each length, the first 16 bits that no code up to it has, and the place of a code's symbol less the code.
    ends: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// Of the number of codes of each length, and their symbols; `None` where there can't be so many.
    pub(super) fn new(lengths: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut quick = Box::new([Entry::default(); 1 << QUICK]);
        let (mut code, mut place, mut ends) = (0u32, 0usize, [(0, 0); 17]);
        for (length, &count) in (1u32..).zip(lengths) {
            let first = place as i32 - code as i32;
            for _ in 0..count {
                if code >> length != 0 {
                    return None;
                }
                if length <= QUICK {
                    let start = code << (QUICK - length);
                    let entries = &mut quick[start as usize..][..1 << (QUICK - length)];
                    let numbered = (start..).zip(entries);
                    numbered.for_each(|(bits, entry)| *entry = Entry::new(symbols[place], length, bits));
                }
                (code, place) = (code + 1, place + 1);
            }
            ends[length as usize] = (code << (16 - length), first);
            code <<= 1;
        }
        Some(Self { quick, ends, symbols: symbols.to_vec() })
    }

    #[inline(always)]
    fn peek(&self, bits: &Bits) -> Entry {
        self.quick[bits.peek(QUICK)]
    }

    /// The same where that says too little: with its code.
    #[inline(always)]
    fn whole(&self, entry: Entry, bits: &Bits) -> Option<Entry> {
        if entry.length() > 0 { Some(entry) } else { self.long(bits.peek(16) as u32) }
    }

    #[cold]
    fn long(&self, next: u32) -> Option<Entry> {
        let (length, &(_, first)) = (0u32..).zip(&self.ends).skip(1).find(|&(_, &(end, _))| next < end)?;
        let place = first + (next >> (16 - length)) as i32;
        let symbol = *self.symbols.get(usize::try_from(place).ok()?)?;
        // Too long to have its number among the bits that are looked up.
        Some(Entry::new(symbol, length, 0))
    }

    /// Takes a number.
    #[inline(always)]
    fn number(&self, bits: &mut Bits) -> Option<i32> {
        bits.fill();
        let entry = self.peek(bits);
        if entry.is_known() {
            entry.skip(bits);
            return Some(entry.value());
        }
        let entry = self.whole(entry, bits)?;
        bits.skip(entry.length());
        Some(bits.signed(entry.bits() - entry.length()))
    }
}

/// Where a coefficient belongs in a block, row by row, and what it is multiplied with.
#[derive(Clone, Copy, Default)]
pub(super) struct Step {
    pub place: u8,
    pub factor: u16,
}

/// The tables by which a component's blocks are read.
pub(super) struct Coding<'a> {
    pub dc: &'a Table,
    pub ac: &'a Table,
    /// Of the coefficients in the order in which they come; those beyond 63 are never used.
    pub steps: &'a [Step; 128],
    /// The last of them that is used; those behind it are passed over.
    pub last_used: usize,
}

impl Coding<'_> {
    /// Reads a block's coefficients into zeros, and tells which was the last that is not one. `mean` is the first
    /// coefficient of the block before.
    #[inline(always)]
    pub(super) fn read(&self, bits: &mut Bits, mean: &mut i32, block: &mut [i16; 64]) -> Option<usize> {
        *mean = mean.wrapping_add(self.dc.number(bits)?);
        block[0] = mean.wrapping_mul(self.steps[0].factor.into()) as i16;
        let mut at = 0;
        while at < self.last_used {
            bits.fill();
            let mut entry = self.ac.peek(bits);
            let mut value = entry.value();
            if entry.is_known() {
                entry.skip(bits);
            } else {
                entry = self.ac.whole(entry, bits)?;
                bits.skip(entry.length());
                let size = entry.bits() - entry.length();
                if size == 0 && entry.advance() == END as usize {
                    return Some(at);
                }
                value = bits.signed(size);
            }
            at += entry.advance();
            let step = self.steps[at & 127];
            block[usize::from(step.place & 63)] = value.wrapping_mul(step.factor.into()) as i16;
        }
        self.pass_from(bits, at)?;
        Some(at)
    }

    /// Passes over a block, but for what the next one needs.
    #[inline(always)]
    pub(super) fn pass(&self, bits: &mut Bits, mean: &mut i32) -> Option<()> {
        *mean = mean.wrapping_add(self.dc.number(bits)?);
        self.pass_from(bits, 0)
    }

    #[inline(always)]
    fn pass_from(&self, bits: &mut Bits, mut at: usize) -> Option<()> {
        while at < 63 {
            bits.fill();
            let entry = self.ac.whole(self.ac.peek(bits), bits)?;
            entry.skip(bits);
            if entry.advance() == END as usize {
                return Some(());
            }
            at += entry.advance();
        }
        // No block has more.
        (at == 63).then_some(())
    }
}
