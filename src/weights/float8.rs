//! Floats of eight bits, in which some networks are kept: one of 256 values each.
//!
//! The names are PyTorch's. E4M3 and E5M2 are described in <https://arxiv.org/abs/2209.05433>, those with `uz` (no
//! infinity, no negative zero) in <https://arxiv.org/abs/2206.02915>.

/// Which of the formats, by PyTorch's name without `torch.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
pub(crate) enum Float8 {
    #[strum(serialize = "float8_e4m3fn")]
    E4m3fn,
    #[strum(serialize = "float8_e5m2")]
    E5m2,
    #[strum(serialize = "float8_e4m3fnuz")]
    E4m3fnuz,
    #[strum(serialize = "float8_e5m2fnuz")]
    E5m2fnuz,
    /// Powers of two alone, the scales of other formats.
    #[strum(serialize = "float8_e8m0fnu")]
    E8m0fnu,
}

impl Float8 {
    pub(crate) fn to_f32(self, bits: u8) -> f32 {
        let (mantissa_bits, bias) = match self {
            Float8::E4m3fn => (3, 7),
            Float8::E5m2 => (2, 15),
            Float8::E4m3fnuz => (3, 8),
            Float8::E5m2fnuz => (2, 16),
            Float8::E8m0fnu => return if bits == 0xff { f32::NAN } else { 2f32.powi(i32::from(bits) - 127) },
        };
        let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
        let magnitude = bits & 0x7f;
        match self {
            Float8::E4m3fn if magnitude == 0x7f => return f32::NAN,
            Float8::E5m2 if magnitude == 0x7c => return sign * f32::INFINITY,
            Float8::E5m2 if magnitude > 0x7c => return f32::NAN,
            Float8::E4m3fnuz | Float8::E5m2fnuz if bits == 0x80 => return f32::NAN,
            _ => {}
        }
        let exponent = i32::from(magnitude >> mantissa_bits);
        let fraction = f32::from(magnitude & ((1 << mantissa_bits) - 1)) / f32::from(1u8 << mantissa_bits);
        let (whole, exponent) = if exponent == 0 { (0.0, 1) } else { (1.0, exponent) };
        sign * (whole + fraction) * 2f32.powi(exponent - bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_pytorchs() {
        // (bits, value) as `torch.tensor([bits], dtype=torch.uint8).view(dtype).float()` gives them.
        let table: [(Float8, &[(u8, f32)]); 5] = [
            (Float8::E4m3fn, &[(0x00, 0.0), (0x01, 2f32.powi(-9)), (0x38, 1.0), (0x7e, 448.0), (0xb9, -1.125)]),
            (Float8::E5m2, &[(0x01, 2f32.powi(-16)), (0x3c, 1.0), (0x7b, 57344.0), (0x7c, f32::INFINITY)]),
            (Float8::E4m3fnuz, &[(0x01, 2f32.powi(-10)), (0x40, 1.0), (0x7f, 240.0), (0xc1, -1.125)]),
            (Float8::E5m2fnuz, &[(0x01, 2f32.powi(-17)), (0x40, 1.0), (0x7f, 57344.0)]),
            (Float8::E8m0fnu, &[(0x7f, 1.0), (0x80, 2.0), (0x7e, 0.5)]),
        ];
        for (kind, values) in table {
            for &(bits, value) in values {
                assert_eq!(kind.to_f32(bits), value, "{kind:?} {bits:#x}");
            }
        }
        for (kind, bits) in [
            (Float8::E4m3fn, 0x7f),
            (Float8::E5m2, 0xfd),
            (Float8::E4m3fnuz, 0x80),
            (Float8::E5m2fnuz, 0x80),
            (Float8::E8m0fnu, 0xff),
        ] {
            assert!(kind.to_f32(bits).is_nan(), "{kind:?}");
        }
    }
}
