//! What a head knows that was found at once on a trained network's features: which images it has learned from, so to
//! speak, and what is like none of them.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Of a head that has learned from all images of its data, so that none of them is a test of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadCard {
    /// By what an image is told that is of none of the classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown: Option<Unknown>,
}

/// Photographs that new ones are compared with, as what the network sees in them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unknown {
    /// An image that is less alike to the photographs is of none of the classes.
    pub threshold: f32,
    /// The share of real photographs that fell below.
    pub rate: f64,
    /// Mean of each feature.
    #[serde(serialize_with = "write_floats", deserialize_with = "read_floats")]
    pub mean: Vec<f32>,
    /// One over the deviation of each feature; 0 where it never varies.
    #[serde(serialize_with = "write_floats", deserialize_with = "read_floats")]
    pub scale: Vec<f32>,
    /// `[photographs, features]`, in steps of a 127th of the largest feature of each photograph.
    #[serde(serialize_with = "write_bytes", deserialize_with = "read_bytes")]
    pub photographs: Vec<i8>,
    /// The length of a step, for each photograph.
    #[serde(serialize_with = "write_floats", deserialize_with = "read_floats")]
    pub steps: Vec<f32>,
}

impl Unknown {
    /// Whether the numbers belong to a network with so many features.
    pub(super) fn fits(&self, features: usize) -> bool {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let numbers =
            [&self.mean, &self.scale, &self.steps, &vec![self.threshold]].into_iter().all(|list| finite(list));
        let lengths = [self.mean.len(), self.scale.len()] == [features; 2];
        numbers
            && lengths
            && !self.steps.is_empty()
            && self.steps.len().checked_mul(features) == Some(self.photographs.len())
    }

    /// Photographs `rows` in the form in which they are kept, and the length of a step in each.
    pub(crate) fn rounded<'a>(rows: impl Iterator<Item = &'a [f64]>) -> (Vec<i8>, Vec<f32>) {
        let (mut photographs, mut steps) = (Vec::new(), Vec::new());
        for row in rows {
            let step = row.iter().fold(0.0f64, |largest, value| largest.max(value.abs())) / 127.0;
            photographs.extend(row.iter().map(|value| (value / step.max(f64::MIN_POSITIVE)).round() as i8));
            steps.push(step as f32);
        }
        (photographs, steps)
    }
}

fn write_bytes<S: Serializer>(bytes: &[i8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytemuck::cast_slice::<i8, u8>(bytes)))
}

fn read_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i8>, D::Error> {
    let bytes = BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)?;
    Ok(bytes.into_iter().map(u8::cast_signed).collect())
}

fn write_floats<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

fn read_floats<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let bytes = BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)?;
    let (values, rest) = bytes.as_chunks::<4>();
    match rest {
        [] => Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect()),
        _ => Err(de::Error::custom("its floats are cut short")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown() -> Unknown {
        let (photographs, steps) = Unknown::rounded([&[0.0, 0.5, -2.0][..], &[0.0; 3]].into_iter());
        Unknown { threshold: 0.5, rate: 0.05, mean: vec![0.1; 3], scale: vec![1.0, 0.0, 3.5], photographs, steps }
    }

    #[test]
    fn what_is_written_reads_back_and_fits_its_network() {
        let unknown = unknown();
        assert_eq!(unknown.photographs, [0, 32, -127, 0, 0, 0]);
        let json = serde_json::to_string(&unknown).unwrap();
        let back: Unknown = serde_json::from_str(&json).unwrap();
        assert_eq!(back, unknown);
        assert!(back.fits(3) && !back.fits(2) && !back.fits(0) && !back.fits(6));
    }

    #[test]
    fn rubbish_is_refused() {
        let json = serde_json::to_string(&unknown()).unwrap();
        for (from, to) in [("ACCB", "AC"), ("ACCB", "!!!!"), ("0.5", "\"x\"")] {
            let broken = json.replacen(from, to, 1);
            assert!(broken != json && serde_json::from_str::<Unknown>(&broken).is_err(), "{broken}");
        }
        assert!(!Unknown { threshold: f32::NAN, ..unknown() }.fits(3));
        assert!(!Unknown { photographs: Vec::new(), steps: Vec::new(), ..unknown() }.fits(3));
        assert!(!Unknown { steps: vec![1.0], ..unknown() }.fits(3));
        assert!(!Unknown { mean: vec![f32::INFINITY; 3], ..unknown() }.fits(3));
    }
}
