//! Colours on AVX2, 16 pixels at once.

use std::arch::x86_64::*;

/// [`super::to_rgb`].
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], pixels: &mut [u8]) {
    let (whole, rest) = pixels.as_chunks_mut::<48>();
    let done = 16 * whole.len();
    let groups = luma.as_chunks::<16>().0.iter().zip(blue.as_chunks::<16>().0).zip(red.as_chunks::<16>().0);
    for (((luma, blue), red), out) in groups.zip(whole) {
        let middle = _mm256_set1_epi16(128);
        let (cb, cr) = (_mm256_sub_epi16(widen(blue), middle), _mm256_sub_epi16(widen(red), middle));
        let y = widen(luma);
        // The factors less a whole number, as they have to go into 16 bits; that is added apart.
        let r = _mm256_add_epi16(_mm256_add_epi16(y, cr), scaled(cr, cr, [26_345, 0]));
        let g = _mm256_sub_epi16(_mm256_add_epi16(y, scaled(cb, cr, [-22_554, 18_734])), cr);
        let b = _mm256_add_epi16(_mm256_add_epi16(y, _mm256_add_epi16(cb, cb)), scaled(cb, cb, [-14_942, 0]));
        interleave(narrow(r), narrow(g), narrow(b), out);
    }
    super::to_rgb(&luma[done..], &blue[done..], &red[done..], rest);
}

#[target_feature(enable = "avx2")]
#[inline]
fn widen(bytes: &[u8; 16]) -> __m256i {
    _mm256_cvtepu8_epi16(bytemuck::cast(*bytes))
}

/// `a * by[0] + b * by[1]` over 2^16, to the nearest whole number, halves up.
#[target_feature(enable = "avx2")]
#[inline]
fn scaled(a: __m256i, b: __m256i, by: [i16; 2]) -> __m256i {
    let factors = _mm256_set1_epi32(i32::from(by[0] as u16) | i32::from(by[1]) << 16);
    let half = _mm256_set1_epi32(1 << 15);
    let sum = |pairs: __m256i| _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_madd_epi16(pairs, factors), half));
    // Within each half of the vector the numbers come apart and together again in their order.
    _mm256_packs_epi32(sum(_mm256_unpacklo_epi16(a, b)), sum(_mm256_unpackhi_epi16(a, b)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn narrow(values: __m256i) -> __m128i {
    _mm_packus_epi16(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values))
}

/// Three times 16 bytes, in turn.
#[target_feature(enable = "avx2")]
#[inline]
fn interleave(r: __m128i, g: __m128i, b: __m128i, out: &mut [u8; 48]) {
    for (third, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let place = |channel: usize| bytemuck::cast::<[u8; 16], __m128i>(PLACES[third][channel]);
        let (r, g) = (_mm_shuffle_epi8(r, place(0)), _mm_shuffle_epi8(g, place(1)));
        *out = bytemuck::cast(_mm_or_si128(_mm_or_si128(r, g), _mm_shuffle_epi8(b, place(2))));
    }
}

/// For each third of 48 bytes and each channel, which of its 16 bytes comes where; nothing where the highest bit is set.
const PLACES: [[[u8; 16]; 3]; 3] = {
    let mut places = [[[0x80; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        places[at / 16][at % 3][at % 16] = (at / 3) as u8;
        at += 1;
    }
    places
};
