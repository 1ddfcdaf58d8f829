//! Resizing row by row.

use super::{
    Filter,
    sums::{Across, down},
    weights::Weights,
};
use std::ops::Range;

/// A part of an image: its rows and columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Part {
    /// All of an image of `[height, width]`.
    pub(crate) fn whole([height, width]: [usize; 2]) -> Self {
        Self { rows: 0..height, columns: 0..width }
    }

    /// Its height and width.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.rows.len(), self.columns.len()]
    }
}

/// Resizes an image whose rows come one after the other, or makes a part of what it becomes. It keeps no more rows than
/// one output row is made of.
pub(crate) struct Resampler {
    /// Of the input, what the part is made of.
    needed: Part,
    channels: usize,
    /// What each of the part's columns, and of its rows, is made of; `None` where that side stays as it is: a pass that
    /// changes nothing is left out, as Pillow leaves it out.
    across: Option<Across>,
    down: Option<Down>,
    /// Whether columns are resized before rows.
    columns_first: bool,
    /// A row on its way.
    between: Vec<u8>,
    done: Vec<u8>,
}

impl Resampler {
    /// For `part` of what becomes of an image of size `from` at size `to`. The filter is any but [`Filter::Nearest`].
    pub(crate) fn new(from: [usize; 2], to: [usize; 2], part: &Part, channels: usize, filter: Filter) -> Self {
        let weights = |axis: usize, range: &Range<usize>| match from[axis] == to[axis] {
            true => (None, range.clone()),
            false => {
                let mut weights = Weights::new(from[axis], to[axis], range.clone(), filter);
                let needed = weights.begin_where_needed();
                (Some(weights), needed)
            }
        };
        let ((down, rows), (across, columns)) = (weights(0, &part.rows), weights(1, &part.columns));
        let dropped = |axis: usize| from[axis] as i64 - to[axis] as i64;
        let columns_first = dropped(0) > 0 && dropped(0) > 2 * dropped(1);
        let between = channels * if columns_first { columns.len() } else { part.columns.len() };
        Self {
            channels,
            across: across.map(|weights| Across::new(weights, channels)),
            down: down.map(|weights| Down::new(weights, between)),
            columns_first,
            between: vec![0; between],
            done: vec![0; channels * part.columns.len()],
            needed: Part { rows, columns },
        }
    }

    /// Of the input, the rows that are to be pushed, and which columns of them.
    pub(crate) fn needed(&self) -> &Part {
        &self.needed
    }

    /// Takes the next row, and hands on each row of the part that is done with it.
    ///
    /// # Panics
    /// If it has not the columns that are needed.
    pub(crate) fn push(&mut self, row: &[u8], take: &mut dyn FnMut(&[u8])) {
        assert_eq!(row.len(), self.needed.columns.len() * self.channels, "the bytes of a row of {:?}", self.needed);
        let Self { across, down, columns_first, between, done, .. } = self;
        match (across, down) {
            (None, None) => take(row),
            (Some(across), None) => {
                across.row(row, done);
                take(done);
            }
            (None, Some(down)) => {
                down.push(|kept| kept.copy_from_slice(row));
                while down.pop(done) {
                    take(done);
                }
            }
            (Some(across), Some(down)) if *columns_first => {
                down.push(|kept| kept.copy_from_slice(row));
                while down.pop(between) {
                    across.row(between, done);
                    take(done);
                }
            }
            (Some(across), Some(down)) => {
                down.push(|kept| across.row(row, kept));
                while down.pop(done) {
                    take(done);
                }
            }
        }
    }
}

/// Resizes columns whose rows come one after the other.
struct Down {
    weights: Weights,
    /// As many of the last rows as an output row needs: each where its number, modulo how many they are, says.
    kept: Vec<u8>,
    /// Bytes of a row.
    row: usize,
    /// Rows that have come, and those that are done.
    came: usize,
    done: usize,
}

impl Down {
    fn new(weights: Weights, row: usize) -> Self {
        Self { kept: vec![0; row * weights.most_used()], weights, row, came: 0, done: 0 }
    }

    fn kept(&self) -> usize {
        self.kept.len() / self.row
    }

    /// Has the next row written.
    fn push(&mut self, write: impl FnOnce(&mut [u8])) {
        let place = self.came % self.kept() * self.row;
        write(&mut self.kept[place..place + self.row]);
        self.came += 1;
    }

    /// Writes the next output row, if all has come that it is made of.
    fn pop(&mut self, out: &mut [u8]) -> bool {
        if self.done == self.weights.len() {
            return false;
        }
        let (first, weights) = self.weights.get(self.done);
        if first + weights.len() > self.came {
            return false;
        }
        down((first..).map(|at| &self.kept[at % self.kept() * self.row..][..self.row]).zip(weights), out);
        self.done += 1;
        true
    }
}
