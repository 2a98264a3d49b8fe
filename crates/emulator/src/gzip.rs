//! Gzip without compression (RFC 1952, stored blocks of RFC 1951), for responses encoded without a request for it.

/// Wraps bytes as a gzip member.
pub(crate) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut pieces = bytes.chunks(0xffff).peekable();
    if pieces.peek().is_none() {
        block(&mut out, &[], true);
    }
    while let Some(piece) = pieces.next() {
        block(&mut out, piece, pieces.peek().is_none());
    }
    out.extend(crc32(bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

fn block(out: &mut Vec<u8>, piece: &[u8], last: bool) {
    let length = piece.len() as u16;
    out.push(u8::from(last));
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(piece);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_member_holds_its_bytes_in_blocks_of_at_most_65535() {
        let bytes = vec![b'x'; 0x1_0002];
        let packed = pack(&bytes);
        assert_eq!(packed.len(), 10 + 5 + 0xffff + 5 + 3 + 8);
        assert_eq!(packed[10..15], [0, 0xff, 0xff, 0, 0]);
        assert_eq!(packed[15 + 0xffff..][..5], [1, 3, 0, 0xfc, 0xff]);
    }
}
