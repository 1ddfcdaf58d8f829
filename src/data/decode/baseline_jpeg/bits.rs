//! The bits of a JPEG's picture, first bit first.

/// Zeros behind the last byte, so that eight bytes can be read at once wherever a picture ends.
const PADDING: usize = 8;

/// Adds a picture's bytes from `at` up to the next marker, without the zeros that follow each 0xff, and tells where that
/// marker is, or the end of the file.
pub(super) fn unstuff(bytes: &[u8], mut at: usize, into: &mut Vec<u8>) -> usize {
    while let Some(rest) = bytes.get(at..) {
        let plain = before_ff(rest);
        into.extend_from_slice(&rest[..plain]);
        at += plain;
        let [0xff, 0, ..] = rest[plain..] else { break };
        into.push(0xff);
        at += 2;
    }
    into.extend([0; PADDING]);
    at
}

/// How many bytes there are before the first 0xff.
fn before_ff(bytes: &[u8]) -> usize {
    let eights = bytes.as_chunks::<8>().0;
    let plain = 8 * eights.iter().take_while(|&&eight| !has_ff(u64::from_ne_bytes(eight))).count();
    plain + bytes[plain..].iter().take_while(|&&byte| byte != 0xff).count()
}

/// Whether one of eight bytes is 0xff.
fn has_ff(bytes: u64) -> bool {
    let inverse = !bytes;
    inverse.wrapping_sub(0x0101_0101_0101_0101) & bytes & 0x8080_8080_8080_8080 != 0
}

/// Reads the bits of what [`unstuff`] has added. What lies behind the end reads as zeros.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    /// Bytes that are still to be read, some of which are in `next` already.
    rest: &'a [u8],
    /// Bits that come next, the first one at the top. Below those that count there may be more, which are read again.
    next: u64,
    /// How many of them count.
    count: u32,
    /// Zeros that were made up behind the end.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest, next: 0, count: 0, made_up: 0 }
    }

    /// Makes sure that there are 32 bits at least.
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        // Not for every code: from what is read here it is a long way to the next code.
        if self.count >= 32 {
            return;
        }
        if let Some(&eight) = self.rest.first_chunk::<8>() {
            // As many whole bytes as there is room for count; the rest comes again, as the same bits.
            self.next |= u64::from_be_bytes(eight) >> self.count;
            self.rest = &self.rest[((63 - self.count) >> 3) as usize..];
            self.count |= 56;
        } else {
            self.made_up = self.made_up.saturating_add(32);
            self.count += 32;
        }
    }

    /// The next bits, up to 16.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> usize {
        (self.next >> (64 - count)) as usize
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.next <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// As many as the lowest six bits of `count` say: a processor's shift looks at no others.
    #[inline(always)]
    pub(super) fn skip_low(&mut self, count: u32) {
        self.next = self.next.wrapping_shl(count);
        self.count = self.count.wrapping_sub(count & 63);
    }

    /// A number of so many bits, up to 15, as JPEG writes them: those that begin with a zero are negative.
    #[inline(always)]
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        let value = extended((self.next >> (64 - count)) as u32, count);
        self.skip(count);
        value
    }

    /// Whether bits were taken that are not there.
    pub(super) fn has_run_out(&self) -> bool {
        // Bits of zeros that were put behind the end, and of those that were made up, less those that are left.
        let padding = 8 * PADDING.saturating_sub(self.rest.len()) as u32;
        padding.saturating_add(self.made_up) > self.count
    }
}

/// A number of `count` bits, 1 at least, as JPEG writes them.
#[inline(always)]
pub(super) fn extended(bits: u32, count: u32) -> i32 {
    let negative = bits >> (count - 1) == 0;
    if negative { bits as i32 - (1 << count) + 1 } else { bits as i32 }
}
