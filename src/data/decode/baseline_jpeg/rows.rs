//! From the samples of a JPEG's components to rows of pixels: chroma enlarged to luma's size, and colours.
//!
//! All of it as libjpeg-turbo does it by default (`jdsample.c`, `jdcolor.c`), bit for bit: chroma of half the size is
//! enlarged by a triangle filter, whose roundings alternate from pixel to pixel; any other is repeated.

#[cfg(target_arch = "x86_64")]
mod avx2;

/// The samples of a component, of which the rows of the last MCUs are there.
pub(super) struct Samples {
    values: Vec<u8>,
    /// Samples of a row, of the MCUs that are decoded.
    pub stride: usize,
    /// Rows that are there.
    rows: usize,
    /// Those of a row that the picture has, and its rows.
    pub width: usize,
    height: usize,
    enlarged: Enlarged,
}

/// How a component comes to the picture's size.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Enlarged {
    Not,
    /// By a triangle filter to twice the width, height, or both.
    Across,
    Down,
    Both,
    Repeated([usize; 2]),
}

impl Enlarged {
    /// By `ratio` from a width of so many samples.
    fn new(ratio: [usize; 2], width: usize) -> Self {
        match ratio {
            [1, 1] => Self::Not,
            [2, 1] if width > 2 => Self::Across,
            [1, 2] => Self::Down,
            [2, 2] if width > 2 => Self::Both,
            ratio => Self::Repeated(ratio),
        }
    }
}

impl Samples {
    /// Of `stride` samples a row, `rows` of which are kept, of a component that has `[height, width]` of them, of which
    /// those of a row begin at `first`.
    pub(super) fn new(
        stride: usize,
        rows: usize,
        [height, width]: [usize; 2],
        first: usize,
        ratio: [usize; 2],
    ) -> Self {
        let enlarged = Enlarged::new(ratio, width);
        Self { values: vec![0; stride * rows], stride, rows, width: stride.min(width - first), height, enlarged }
    }

    /// From row `y` on, at column `x`.
    #[inline(always)]
    pub(super) fn starting_at(&mut self, y: usize, x: usize) -> &mut [u8] {
        &mut self.values[y % self.rows * self.stride + x..]
    }

    fn row(&self, y: usize) -> &[u8] {
        &self.values[y.min(self.height - 1) % self.rows * self.stride..][..self.width]
    }

    /// Whether a row of the picture needs the rows of samples above and below its own.
    pub(super) fn looks_beyond(&self) -> bool {
        matches!(self.enlarged, Enlarged::Down | Enlarged::Both)
    }

    /// The picture's row `y`, where it is not as it is stored in `into`.
    #[inline(always)]
    fn pixels<'a>(&'a self, y: usize, into: &'a mut Vec<u8>, sums: &mut Vec<u16>) -> &'a [u8] {
        let beyond = |y: usize| if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 };
        match self.enlarged {
            Enlarged::Not => return self.row(y),
            Enlarged::Across => across(self.row(y), into),
            Enlarged::Down => {
                let (near, far, bias) = (self.row(y / 2), self.row(beyond(y)), 1 + (y % 2) as u16);
                into.resize(near.len(), 0);
                for ((into, &near), &far) in into.iter_mut().zip(near).zip(far) {
                    *into = ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8;
                }
            }
            Enlarged::Both => both(self.row(y / 2), self.row(beyond(y)), sums, into),
            Enlarged::Repeated([columns, rows]) => {
                into.clear();
                into.extend(self.row(y / rows).iter().flat_map(|&value| std::iter::repeat_n(value, columns)));
            }
        }
        into
    }
}

/// Each sample twice, three quarters of it and a quarter of its neighbour's.
#[inline(always)]
fn across(row: &[u8], into: &mut Vec<u8>) {
    into.resize(2 * row.len(), 0);
    let pairs = into.as_chunks_mut::<2>().0;
    for ((pair, &[before, own]), &after) in pairs.iter_mut().skip(1).zip(row.array_windows()).zip(row.iter().skip(2)) {
        let [before, own, after] = [before, own, after].map(u16::from);
        *pair = [(own * 3 + before + 1) >> 2, (own * 3 + after + 2) >> 2].map(|value| value as u8);
    }
    if let ([first, second, ..], [.., almost, last]) = (row, row) {
        let ends = [[*first, *second], [*last, *almost]].map(|ends| ends.map(u16::from));
        let near = |[own, other]: [u16; 2], bias: u16| ((own * 3 + other + bias) >> 2) as u8;
        let end = pairs.len() - 1;
        pairs[0] = [*first, near(ends[0], 2)];
        pairs[end] = [near(ends[1], 1), *last];
    }
}

/// The same in both directions, of a row and the one above or below it.
#[inline(always)]
fn both(row: &[u8], beyond: &[u8], sums: &mut Vec<u16>, into: &mut Vec<u8>) {
    sums.resize(row.len(), 0);
    for ((sum, &near), &far) in sums.iter_mut().zip(row).zip(beyond) {
        *sum = u16::from(near) * 3 + u16::from(far);
    }
    into.resize(2 * sums.len(), 0);
    let pairs = into.as_chunks_mut::<2>().0;
    for ((pair, &[before, own]), &after) in pairs.iter_mut().skip(1).zip(sums.array_windows()).zip(sums.iter().skip(2))
    {
        *pair = [(own * 3 + before + 8) >> 4, (own * 3 + after + 7) >> 4].map(|value| value as u8);
    }
    if let (&[first, second, ..], &[.., almost, last]) = (&sums[..], &sums[..]) {
        let end = pairs.len() - 1;
        pairs[0] = [(first * 4 + 8) >> 4, (first * 3 + second + 7) >> 4].map(|value| value as u8);
        pairs[end] = [(last * 3 + almost + 8) >> 4, (last * 4 + 7) >> 4].map(|value| value as u8);
    }
}

/// Memory for rows on their way.
#[derive(Default)]
pub(super) struct Rows {
    enlarged: [Vec<u8>; 3],
    sums: Vec<u16>,
    pixels: Vec<u8>,
}

impl Rows {
    /// The picture's row `y`, `columns` of those that the samples have: gray, or red, green and blue.
    #[inline(always)]
    pub(super) fn make<'a, const AVX2: bool>(
        &'a mut self,
        samples: &'a [Samples],
        y: usize,
        columns: std::ops::Range<usize>,
    ) -> &'a [u8] {
        let Self { enlarged: [a, b, c], sums, pixels } = self;
        match samples {
            [luma, blue, red] => {
                let luma = &luma.pixels(y, a, sums)[columns.clone()];
                let blue = &blue.pixels(y, b, sums)[columns.clone()];
                let red = &red.pixels(y, c, sums)[columns];
                pixels.resize(3 * luma.len(), 0);
                #[cfg(target_arch = "x86_64")]
                if AVX2 {
                    // SAFETY: the processor has AVX2.
                    unsafe { avx2::to_rgb(luma, blue, red, pixels) };
                    return pixels;
                }
                to_rgb(luma, blue, red, pixels);
                pixels
            }
            [gray, ..] => &gray.row(y)[columns],
            [] => &[],
        }
    }
}

/// JFIF's YCbCr, in 16 bits of fraction.
#[inline(always)]
fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], pixels: &mut [u8]) {
    for (((pixel, &y), &cb), &cr) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(blue).zip(red) {
        let (y, cb, cr) = ((i32::from(y) << 16) + (1 << 15), i32::from(cb) - 128, i32::from(cr) - 128);
        let value = |value: i32| (value >> 16).clamp(0, 255) as u8;
        *pixel = [value(y + 91_881 * cr), value(y - 22_554 * cb - 46_802 * cr), value(y + 116_130 * cb)];
    }
}
