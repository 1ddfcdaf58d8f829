//! Dense matrices of 64-bit floats, row by row, and the three products that a fit needs.
//!
//! Every product runs on one thread and in one order: folds are what is shared out among threads, and the same images
//! give the same weights, bit for bit.

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

/// `[rows, cols]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Matrix {
    pub rows: usize,
    pub cols: usize,
    pub values: Vec<f64>,
}

/// How a product reads one of its sides: its numbers, and how far apart neighbours in a column and in a row are.
#[derive(Clone, Copy)]
struct Side<'a> {
    values: &'a [f64],
    shape: [usize; 2],
    strides: [isize; 2],
}

impl Matrix {
    pub(crate) fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, values: vec![0.0; rows * cols] }
    }

    /// From 32-bit rows of `cols` values.
    pub(crate) fn from_rows<'a>(cols: usize, rows: impl Iterator<Item = &'a [f32]>) -> Self {
        let values: Vec<f64> = rows.flat_map(|row| row.iter().map(|&value| f64::from(value))).collect();
        Self { rows: values.len() / cols.max(1), cols, values }
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.cols..][..self.cols]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.cols..][..self.cols]
    }

    /// The rows at `indices`, in that order.
    pub(crate) fn pick(&self, indices: &[usize]) -> Self {
        let values = indices.iter().flat_map(|&row| self.row(row)).copied().collect();
        Self { rows: indices.len(), cols: self.cols, values }
    }

    fn plain(&self) -> Side<'_> {
        Side { values: &self.values, shape: [self.rows, self.cols], strides: [self.cols as isize, 1] }
    }

    fn turned(&self) -> Side<'_> {
        Side { values: &self.values, shape: [self.cols, self.rows], strides: [1, self.cols as isize] }
    }

    /// `self · other`.
    pub(crate) fn times(&self, other: &Self) -> Self {
        product(self.plain(), other.plain())
    }

    /// `selfᵀ · other`.
    pub(crate) fn turned_times(&self, other: &Self) -> Self {
        product(self.turned(), other.plain())
    }

    /// `self · otherᵀ`.
    pub(crate) fn times_turned(&self, other: &Self) -> Self {
        product(self.plain(), other.turned())
    }

    /// The lower triangle `L` with `L · Lᵀ = self`, of a symmetric matrix without negative directions. What rounding has
    /// left of a direction that is none is taken as `least`.
    pub(crate) fn cholesky(&self, least: f64) -> Self {
        let mut lower = Self::zeros(self.rows, self.rows);
        for row in 0..self.rows {
            let (above, below) = lower.values.split_at_mut(row * self.rows);
            let below = &mut below[..self.rows];
            for col in 0..row {
                let other = &above[col * self.rows..];
                below[col] = (self.row(row)[col] - dot(&below[..col], &other[..col])) / other[col];
            }
            below[row] = (self.row(row)[row] - dot(&below[..row], &below[..row])).max(least).sqrt();
        }
        lower
    }

    /// `X` with `selfᵀ · X = right`, where `self` is a lower triangle.
    pub(crate) fn solve_turned(&self, right: &Self) -> Self {
        let mut solved = right.clone();
        for row in (0..self.rows).rev() {
            let (before, from_here) = solved.values.split_at_mut(row * solved.cols);
            let own = &mut from_here[..right.cols];
            own.iter_mut().for_each(|value| *value /= self.row(row)[row]);
            for (other, factor) in before.chunks_exact_mut(right.cols.max(1)).zip(self.row(row)) {
                other.iter_mut().zip(&*own).for_each(|(value, own)| *value -= factor * own);
            }
        }
        solved
    }
}

/// Of two vectors of one length, in eight sums side by side, so that a vector unit can make them.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

fn product(left: Side, right: Side) -> Matrix {
    let ([m, k], [inner, n]) = (left.shape, right.shape);
    assert_eq!(k, inner, "the sides of a product fit together");
    let mut out = Matrix::zeros(m, n);
    if m * n * k > 0 {
        let [left_down, left_along] = left.strides;
        let [right_down, right_along] = right.strides;
        // SAFETY: each side has `shape[0] * shape[1]` values at these strides, as `plain` and `turned` say; `out` is
        // `[m, n]` row by row, and nobody else's.
        unsafe {
            gemm(
                m,
                n,
                k,
                out.values.as_mut_ptr(),
                1,
                n as isize,
                false,
                left.values.as_ptr(),
                left_along,
                left_down,
                right.values.as_ptr(),
                right_along,
                right_down,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
    out
}

/// `rows · rowsᵀ`, on all cores: the one large product of a fit, made once.
pub(crate) fn gram(rows: &Matrix) -> Matrix {
    /// Rows of the result that are made at a time.
    const BAND: usize = 64;
    let starts: Vec<usize> = (0..rows.rows).step_by(BAND).collect();
    let band = |&start: &usize| {
        let own: Vec<usize> = (start..(start + BAND).min(rows.rows)).collect();
        rows.pick(&own).times_turned(rows).values
    };
    let values = starts.par_iter().map(band).collect::<Vec<_>>().concat();
    Matrix { rows: rows.rows, cols: rows.rows, values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rng::Rng;

    fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
        let mut rng = Rng::new(&[seed]);
        Matrix { rows, cols, values: (0..rows * cols).map(|_| rng.unit_f64() - 0.5).collect() }
    }

    fn close(a: &Matrix, b: &Matrix) {
        assert_eq!([a.rows, a.cols], [b.rows, b.cols]);
        assert!(a.values.iter().zip(&b.values).all(|(a, b)| (a - b).abs() < 1e-9), "{a:?} {b:?}");
    }

    #[test]
    fn products_are_those_of_three_loops() {
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [17, 9, 4], [0, 3, 2]] {
            let (a, b) = (random(m, k, 1), random(k, n, 2));
            let mut expected = Matrix::zeros(m, n);
            for i in 0..m {
                for j in 0..n {
                    expected.values[i * n + j] = (0..k).map(|l| a.row(i)[l] * b.row(l)[j]).sum();
                }
            }
            close(&a.times(&b), &expected);
            let turn = |x: &Matrix| {
                let values = (0..x.cols).flat_map(|j| (0..x.rows).map(move |i| x.row(i)[j])).collect();
                Matrix { rows: x.cols, cols: x.rows, values }
            };
            close(&turn(&a).turned_times(&b), &expected);
            close(&a.times_turned(&turn(&b)), &expected);
        }
        let tall = random(150, 7, 3);
        close(&gram(&tall), &tall.times_turned(&tall));
    }

    #[test]
    fn a_triangle_gives_back_its_matrix_and_solves() {
        let rows = random(20, 30, 4);
        let square = rows.times_turned(&rows);
        let lower = square.cholesky(1e-12);
        close(&lower.times_turned(&lower), &square);
        let right = random(20, 3, 5);
        close(&lower.turned_times(&lower.solve_turned(&right)), &right);
    }
}
