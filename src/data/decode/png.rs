//! PNGs that lack their end: as Pillow has it, one is whole when all its pixels are there.

const SIGNATURE: usize = 8;
const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

/// The chunks that are there, the last as far as it goes, and an end behind them. A decoder can tell from that whether
/// all pixels are.
pub(super) fn ended(bytes: &[u8]) -> Vec<u8> {
    let mut at = SIGNATURE;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let next = at.saturating_add(length).saturating_add(12);
        if head[4..] == *b"IEND" {
            break;
        }
        if next > bytes.len() {
            // Of its checksum, too, there may be a part.
            let there = &bytes[at + 4..bytes.len().min(next - 4)];
            let mut checksum = flate2::Crc::new();
            checksum.update(there);
            let length = (there.len() - 4) as u32;
            let parts: [&[u8]; 5] = [&bytes[..at], &length.to_be_bytes(), there, &checksum.sum().to_be_bytes(), &END];
            return parts.concat();
        }
        at = next;
    }
    [&bytes[..at.min(bytes.len())], &END[..]].concat()
}
