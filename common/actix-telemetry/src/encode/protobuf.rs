//! Fields of a protobuf message, appended to a buffer in one pass.
//!
//! As in every proto3 encoder, a field with the default of its type is left out.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// A key, and the integer that follows: a value or a length. Nearly always both have one
/// byte, which `prost` writes more slowly.
#[inline]
fn key_and_varint(out: &mut Vec<u8>, tag: u32, wire_type: WireType, value: u64) {
    if tag < 16 && value < 0x80 {
        out.extend_from_slice(&[(tag as u8) << 3 | wire_type as u8, value as u8]);
    } else {
        encode_key(tag, wire_type, out);
        encode_varint(value, out);
    }
}

/// A key and the bytes that follow.
#[inline]
fn key_and_bytes<const N: usize>(out: &mut Vec<u8>, tag: u32, wire_type: WireType, value: [u8; N]) {
    encode_key(tag, wire_type, out);
    out.extend_from_slice(&value);
}

/// A text, bytes or a message that is encoded already; left out if it is empty.
pub(super) fn bytes(out: &mut Vec<u8>, tag: u32, value: impl AsRef<[u8]>) {
    let value = value.as_ref();
    if !value.is_empty() {
        length_delimited(out, tag, value);
    }
}

/// As [`bytes`], and not left out.
#[inline]
pub(super) fn length_delimited(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    key_and_varint(out, tag, WireType::LengthDelimited, value.len() as u64);
    out.extend_from_slice(value);
}

/// A message, whose fields `write` appends. Not left out, since a message that is empty
/// differs from one that is absent.
pub(super) fn message(out: &mut Vec<u8>, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
    // The length comes first and is known last. It usually fits into one byte.
    key_and_varint(out, tag, WireType::LengthDelimited, 0);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    let more = encoded_len_varint(length as u64) - 1;
    out.resize(out.len() + more, 0);
    out.copy_within(start..start + length, start + more);
    encode_varint(length as u64, &mut &mut out[start - 1..start + more]);
}

/// An integer or an enum; left out if it is 0.
pub(super) fn varint(out: &mut Vec<u8>, tag: u32, value: u64) {
    if value != 0 {
        member_varint(out, tag, value);
    }
}

/// As [`varint`], for a member of a `oneof`: not left out.
pub(super) fn member_varint(out: &mut Vec<u8>, tag: u32, value: u64) {
    key_and_varint(out, tag, WireType::Varint, value);
}

/// A `fixed64` field; left out if it is 0.
pub(super) fn fixed64(out: &mut Vec<u8>, tag: u32, value: u64) {
    if value != 0 {
        key_and_bytes(out, tag, WireType::SixtyFourBit, value.to_le_bytes());
    }
}

/// A `double` member of a `oneof`: not left out.
pub(super) fn member_double(out: &mut Vec<u8>, tag: u32, value: f64) {
    key_and_bytes(out, tag, WireType::SixtyFourBit, value.to_le_bytes());
}

/// A `fixed32` field; left out if it is 0.
pub(super) fn fixed32(out: &mut Vec<u8>, tag: u32, value: u32) {
    if value != 0 {
        key_and_bytes(out, tag, WireType::ThirtyTwoBit, value.to_le_bytes());
    }
}
