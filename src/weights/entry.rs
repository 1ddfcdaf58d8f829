//! A tensor as it lies in a weight file: a view of the file's bytes that is converted to float32 only when it is
//! wanted, so that an import never holds a tensor twice.

use super::{error::is_plain_name, float8::Float8, tensor::element_count};
use half::{bf16, f16};
use std::{borrow::Cow, fmt};

/// What the elements of a stored tensor are. Little-endian throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtype {
    F8(Float8),
    F16,
    Bf16,
    F32,
    F64,
    /// An integer or boolean of this many bytes: counters beside the weights, never weights.
    Integer(usize),
    /// Something else than plain values, such as `qint8` or `sparse`. Its bytes are not looked at.
    Unread(&'static str),
}

impl Dtype {
    /// Bytes an element takes.
    pub(crate) fn size(self) -> usize {
        match self {
            Dtype::F8(_) => 1,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F32 => 4,
            Dtype::F64 => 8,
            Dtype::Integer(size) => size,
            Dtype::Unread(_) => 0,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        !matches!(self, Dtype::Integer(_) | Dtype::Unread(_))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dtype::F8(kind) => f.write_str(kind.into()),
            Dtype::F16 => f.write_str("float16"),
            Dtype::Bf16 => f.write_str("bfloat16"),
            Dtype::F32 => f.write_str("float32"),
            Dtype::F64 => f.write_str("float64"),
            Dtype::Integer(size) => write!(f, "int{}", size * 8),
            Dtype::Unread(name) => f.write_str(name),
        }
    }
}

/// One tensor of a file. Its bytes are known to hold every element.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// The name that the file gives it.
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Distance of neighbours along each dimension, in elements; `None` for contiguous.
    strides: Option<Vec<usize>>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Entry<'a> {
    /// A contiguous tensor, which fills `bytes` exactly.
    ///
    /// # Errors
    /// When the shape and the number of bytes do not agree.
    pub(crate) fn contiguous(
        name: String,
        dtype: Dtype,
        shape: Vec<usize>,
        bytes: Cow<'a, [u8]>,
    ) -> Result<Self, String> {
        let name = checked(name)?;
        let needed = element_count(&shape).and_then(|count| count.checked_mul(dtype.size()));
        if needed != Some(bytes.len()) {
            return Err(format!("`{name}` of shape {shape:?} and type {dtype} can't have {} bytes", bytes.len()));
        }
        Ok(Self { name, dtype, shape, strides: None, bytes })
    }

    /// A tensor that is no array of plain values; its kind, such as `qint8`, is all that is known of it.
    ///
    /// # Errors
    /// When its name can't be shown.
    pub(crate) fn unread(name: String, kind: &'static str, shape: Vec<usize>) -> Result<Self, String> {
        Ok(Self { name: checked(name)?, dtype: Dtype::Unread(kind), shape, strides: None, bytes: Cow::Borrowed(&[]) })
    }

    /// A view of a storage, `offset` elements into it.
    ///
    /// # Errors
    /// When the view reaches beyond the storage.
    pub(crate) fn strided(
        name: String,
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: &'a [u8],
    ) -> Result<Self, String> {
        let name = checked(name)?;
        let outside = || format!("`{name}` of shape {shape:?} reaches beyond its storage");
        if strides.len() != shape.len() {
            return Err(format!("`{name}` has {} dimensions and {} strides", shape.len(), strides.len()));
        }
        let count = element_count(&shape).ok_or_else(outside)?;
        let reach = if count == 0 {
            Some(0)
        } else {
            shape.iter().zip(&strides).try_fold(1usize, |reach, (&side, &stride)| {
                (side - 1).checked_mul(stride).and_then(|distance| reach.checked_add(distance))
            })
        };
        let span = |elements: usize| elements.checked_mul(dtype.size());
        let start = span(offset).ok_or_else(outside)?;
        let length = reach.and_then(span).ok_or_else(outside)?;
        let bytes = start.checked_add(length).and_then(|end| storage.get(start..end)).ok_or_else(outside)?;
        let contiguous = is_contiguous(&shape, &strides);
        Ok(Self { name, dtype, shape, strides: (!contiguous).then_some(strides), bytes: bytes.into() })
    }

    /// Number of elements of a tensor that is read.
    pub(crate) fn count(&self) -> usize {
        // The constructors checked that the product fits.
        self.shape.iter().product()
    }

    /// The values as float32, row-major; float64 is rounded. `None` for a type that no weight has.
    pub(crate) fn to_f32(&self) -> Option<Vec<f32>> {
        let values = match self.dtype {
            Dtype::F32 => self.gather(f32::from_le_bytes, |bytes, out| {
                out.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)));
            }),
            Dtype::F64 => self.gather(
                |b| f64::from_le_bytes(b) as f32,
                |bytes, out| out.extend(bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32)),
            ),
            Dtype::F16 => self.gather(|b| f16::from_le_bytes(b).to_f32(), widen_f16),
            Dtype::Bf16 => self.gather(
                |b| bf16::from_le_bytes(b).to_f32(),
                |bytes, out| out.extend(bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32())),
            ),
            Dtype::F8(kind) => {
                self.gather(|[b]| kind.to_f32(b), |bytes, out| out.extend(bytes.iter().map(|&b| kind.to_f32(b))))
            }
            Dtype::Integer(_) | Dtype::Unread(_) => return None,
        };
        Some(values)
    }

    /// All elements in row-major order: `run` where they lie so in the file, `one` at a time where they do not.
    fn gather<const N: usize>(&self, one: impl Fn([u8; N]) -> f32, run: impl Fn(&[u8], &mut Vec<f32>)) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.count());
        let Some(strides) = &self.strides else {
            run(&self.bytes, &mut out);
            return out;
        };
        let (elements, _) = self.bytes.as_chunks::<N>();
        // A scalar is contiguous, so there is a last dimension, and no dimension is empty.
        let last = self.shape.len() - 1;
        let (side, stride) = (self.shape[last], strides[last]);
        let mut index = vec![0; last];
        let mut start = 0;
        loop {
            out.extend((0..side).map(|i| one(elements[start + i * stride])));
            // Count up like an odometer, the innermost dimension first.
            let mut dimension = last;
            loop {
                let Some(next) = dimension.checked_sub(1) else { return out };
                dimension = next;
                index[dimension] += 1;
                start += strides[dimension];
                if index[dimension] < self.shape[dimension] {
                    break;
                }
                start -= index[dimension] * strides[dimension];
                index[dimension] = 0;
            }
        }
    }
}

/// A name that reports may show.
fn checked(name: String) -> Result<String, String> {
    match is_plain_name(&name) {
        true => Ok(name),
        false => Err("a tensor's name is overlong or has control characters".into()),
    }
}

/// Whether a view lies in row-major order without gaps; a dimension of one element may have any stride.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    for (&side, &stride) in shape.iter().zip(strides).rev() {
        if side == 0 {
            return true;
        }
        if side > 1 && stride != expected {
            return false;
        }
        expected *= side;
    }
    true
}

/// float16 → float32 in pieces that `half` converts with the processor's own instruction.
fn widen_f16(bytes: &[u8], out: &mut Vec<f32>) {
    use half::slice::HalfFloatSliceExt;
    const PIECE: usize = 1024;
    let (mut halves, mut floats) = ([f16::ZERO; PIECE], [0.0; PIECE]);
    for piece in bytes.as_chunks().0.chunks(PIECE) {
        for (half, &bytes) in halves.iter_mut().zip(piece) {
            *half = f16::from_le_bytes(bytes);
        }
        halves[..piece.len()].convert_to_f32_slice(&mut floats[..piece.len()]);
        out.extend_from_slice(&floats[..piece.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn channels_last_views_come_out_row_major() {
        // [2, 3, 2, 2] whose memory is [2, 2, 2, 3].
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let storage = bytes(&values);
        let shape = vec![2, 3, 2, 2];
        let entry = Entry::strided("w".into(), Dtype::F32, shape, vec![12, 1, 6, 3], 0, &storage).unwrap();
        let mut expected = Vec::new();
        for o in 0..2 {
            for i in 0..3 {
                for y in 0..2 {
                    for x in 0..2 {
                        expected.push((o * 12 + y * 6 + x * 3 + i) as f32);
                    }
                }
            }
        }
        assert_eq!(entry.to_f32().unwrap(), expected);
    }

    #[test]
    fn offsets_count_in_elements_and_unit_dimensions_may_have_any_stride() {
        let storage = bytes(&[9.0, 1.0, 2.0, 3.0]);
        let entry = Entry::strided("w".into(), Dtype::F32, vec![3, 1, 1], vec![1, 7, 99], 1, &storage).unwrap();
        assert!(entry.strides.is_none());
        assert_eq!(entry.to_f32().unwrap(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn views_beyond_their_storage_are_refused() {
        let storage = bytes(&[0.0; 4]);
        for (shape, strides, offset) in [
            (vec![5], vec![1], 0),
            (vec![4], vec![1], 1),
            (vec![2, 2], vec![3, 1], 0),
            (vec![usize::MAX, 2], vec![0, 0], 0),
            (vec![2], vec![usize::MAX], 0),
            (vec![1], vec![1], usize::MAX),
            (vec![1], vec![], 0),
        ] {
            let entry = Entry::strided("w".into(), Dtype::F32, shape.clone(), strides, offset, &storage);
            assert!(entry.is_err(), "{shape:?}");
        }
        assert!(Entry::contiguous("w".into(), Dtype::F32, vec![3], storage.into()).is_err());
    }

    #[test]
    fn every_float_type_is_widened_or_rounded() {
        let values = [1.5f32, -0.25, 65504.0, 0.0];
        let convert = |dtype, bytes: Vec<u8>| {
            Entry::contiguous("w".into(), dtype, vec![4], bytes.into()).unwrap().to_f32().unwrap()
        };
        assert_eq!(convert(Dtype::F32, bytes(&values)), values);
        assert_eq!(convert(Dtype::F64, values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect()), values);
        assert_eq!(convert(Dtype::F16, values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()), values);
        let rounded = [1.5, -0.25, 65536.0, 0.0]; // bfloat16 has 8 bits of precision
        assert_eq!(
            convert(Dtype::Bf16, values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()),
            rounded
        );
    }
}
