//! The wire format: a sequence of numbered fields.

use super::DecodeError;

/// Reads the fields of one message.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// One field as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Wire<'a>,
}

/// A value on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads the next field; nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed(self.fixed(8)?),
            2 => {
                let length =
                    usize::try_from(self.varint()?).map_err(|_| DecodeError::Malformed("a length"))?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed(self.fixed(4)?),
            _ => return Err(DecodeError::Malformed("a wire type")),
        };
        Ok(Some(Field { number: key >> 3, value }))
    }

    /// Reads a number of 7 bits a byte, the lowest first.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed("a number"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn fixed(&mut self, length: usize) -> Result<u64, DecodeError> {
        Ok(self.take(length)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Malformed("it ends too early"));
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Wire::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::Malformed("a field has a number where it should have bytes")),
        }
    }

    pub(crate) fn text(&self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Malformed("a text is not UTF-8"))
    }

    pub(crate) fn number(&self) -> Result<u64, DecodeError> {
        match self.value {
            Wire::Varint(number) | Wire::Fixed(number) => Ok(number),
            Wire::Bytes(_) => Err(DecodeError::Malformed("a field has bytes where it should have a number")),
        }
    }
}

/// Writes a number of 7 bits a byte, the lowest first.
pub(crate) fn put_varint(out: &mut Vec<u8>, number: u64) {
    let (bytes, length) = varint(number);
    out.extend_from_slice(&bytes[..length]);
}

fn varint(mut number: u64) -> ([u8; 10], usize) {
    let (mut bytes, mut length) = ([0; 10], 1);
    while number >= 0x80 {
        bytes[length - 1] = number as u8 & 0x7f | 0x80;
        number >>= 7;
        length += 1;
    }
    bytes[length - 1] = number as u8;
    (bytes, length)
}

/// Writes a field that holds a number.
pub(crate) fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

/// Writes a field that holds eight bytes.
pub(crate) fn put_fixed(out: &mut Vec<u8>, field: u64, bits: u64) {
    put_varint(out, field << 3 | 1);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Writes a field that holds bytes or a text.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a field that holds what `content` writes.
pub(crate) fn put_field(out: &mut Vec<u8>, field: u64, content: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, field << 3 | 2);
    let start = out.len();
    content(out);
    let (bytes, length) = varint((out.len() - start) as u64);
    out.splice(start..start, bytes[..length].iter().copied());
}
