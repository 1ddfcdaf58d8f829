//! Huffman codes of a JPEG.

use super::bits::Bits;

/// Bits that are looked up at once; longer codes are rare.
const QUICK: u32 = 10;

/// What a code stands for, and how long it is.
#[derive(Clone, Copy, Default)]
struct Entry {
    symbol: u8,
    /// 0 where there is no such code, or a longer one.
    length: u8,
    /// As a coefficient's: how many bits it takes in all, and by how many coefficients it goes on.
    bits: u8,
    advance: u8,
}

impl Entry {
    fn new(symbol: u8, length: u32) -> Self {
        let (run, size) = (symbol >> 4, symbol & 15);
        // Without a value only sixteen zeros go on; anything else is the end.
        let advance = if size == 0 && run < 15 { 64 } else { run + 1 };
        Self { symbol, length: length as u8, bits: length as u8 + size, advance }
    }
}

pub(super) struct Table {
    quick: Vec<Entry>,
    /// For each length, the first 16 bits that no code up to it has, and the place of a code's symbol less the code.
    ends: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// Of the number of codes of each length, and their symbols; `None` where there can't be so many.
    pub(super) fn new(lengths: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut quick = vec![Entry::default(); 1 << QUICK];
        let (mut code, mut place, mut ends) = (0u32, 0usize, [(0, 0); 17]);
        for (length, &count) in (1u32..).zip(lengths) {
            let first = place as i32 - code as i32;
            for _ in 0..count {
                if code >> length != 0 {
                    return None;
                }
                if length <= QUICK {
                    let start = (code << (QUICK - length)) as usize;
                    quick[start..start + (1 << (QUICK - length))].fill(Entry::new(symbols[place], length));
                }
                (code, place) = (code + 1, place + 1);
            }
            ends[length as usize] = (code << (16 - length), first);
            code <<= 1;
        }
        Some(Self { quick, ends, symbols: symbols.to_vec() })
    }

    /// The symbol that comes next, and the length of its code, which is still to be skipped.
    #[inline(always)]
    pub(super) fn peek(&self, bits: &mut Bits) -> Option<(u8, u32)> {
        let next = bits.peek();
        let Entry { symbol, length, .. } = self.quick[next >> (16 - QUICK)];
        if length > 0 { Some((symbol, u32::from(length))) } else { self.long(next as u32) }
    }

    #[cold]
    fn long(&self, next: u32) -> Option<(u8, u32)> {
        let (length, &(_, first)) = (0u32..).zip(&self.ends).skip(1).find(|&(_, &(end, _))| next < end)?;
        let place = first + (next >> (16 - length)) as i32;
        Some((*self.symbols.get(usize::try_from(place).ok()?)?, length))
    }

    /// Passes over a block's coefficients from `k` on.
    #[inline(always)]
    pub(super) fn pass_over(&self, bits: &mut Bits, mut k: usize) -> Option<()> {
        while k < 64 {
            let next = bits.peek();
            let mut entry = self.quick[next >> (16 - QUICK)];
            if entry.length == 0 {
                let (symbol, length) = self.long(next as u32)?;
                entry = Entry::new(symbol, length);
            }
            bits.skip(entry.bits.into());
            k += usize::from(entry.advance);
        }
        Some(())
    }

    /// Takes the symbol that comes next.
    pub(super) fn symbol(&self, bits: &mut Bits) -> Option<(u8, u32)> {
        let found = self.peek(bits)?;
        bits.skip(found.1);
        Some(found)
    }
}
