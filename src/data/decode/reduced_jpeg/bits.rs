//! The bits of a JPEG's picture, first bit first.

/// Reads bits. What lies behind the picture's end reads as zeros.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits that come next, the first one at the top. Below those that count there may be more, which are read again.
    next: u64,
    /// How many of them count.
    count: u32,
    /// Zeros that were put behind the end.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, next: 0, count: 0, made_up: 0 }
    }

    /// The next 16 bits; there are 32 at least that may be skipped then.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> usize {
        if self.count < 32 {
            self.fill();
        }
        (self.next >> 48) as usize
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.next <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// A number of so many bits, up to 15, as JPEG writes them: those that begin with a zero are negative.
    #[inline(always)]
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        if self.count < 16 {
            self.fill();
        }
        let value = (self.next >> (64 - count)) as i32;
        let negative = (self.next >> 63) == 0;
        self.skip(count);
        if negative { value - (1 << count) + 1 } else { value }
    }

    #[inline]
    fn fill(&mut self) {
        if let Some(&eight) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>)
            && !has_ff(u64::from_ne_bytes(eight))
        {
            // As many whole bytes as there is room for count; the rest comes again, as the same bits.
            self.next |= u64::from_be_bytes(eight) >> self.count;
            self.at += ((63 - self.count) >> 3) as usize;
            self.count |= 56;
            return;
        }
        while self.count <= 56 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xff, 0, ..]) => {
                    self.at += 2;
                    0xff
                }
                None | Some([] | [0xff, ..]) => {
                    self.made_up += 8;
                    0
                }
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.next |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Goes on behind the restart marker that comes next.
    pub(super) fn restart(&mut self) -> Option<()> {
        // What is left of the last byte is filling.
        if self.has_run_out() {
            return None;
        }
        // Nothing behind a marker has been read ahead.
        let [0xff, 0xd0..=0xd7, ..] = self.bytes.get(self.at..)? else { return None };
        *self = Self::new(self.bytes, self.at + 2);
        Some(())
    }

    /// Whether bits were taken that are not there.
    pub(super) fn has_run_out(&self) -> bool {
        self.made_up > self.count
    }
}

/// Whether one of eight bytes is 0xff.
fn has_ff(bytes: u64) -> bool {
    let inverse = !bytes;
    inverse.wrapping_sub(0x0101_0101_0101_0101) & bytes & 0x8080_8080_8080_8080 != 0
}
