//! The binary layout: 21 fixed bytes, with the remark and the fields in between and behind.

use super::{
    EncodeError, ExtFields, ExtSource, FieldVisitor, Header, HeaderError, HeaderProblem, Language,
    Output,
};
use crate::rocketmq::wire::json::{Raw, RawKind, Text};

/// Code, language, version, opaque, flag and the remark's length.
const HEAD_BYTES: usize = 17;

#[inline]
pub(super) fn decode(bytes: &[u8]) -> Result<(Header<'_>, ExtFields<'_>), HeaderError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(truncated(0, "the fixed part", HEAD_BYTES, bytes.len()));
    };
    let &[c0, c1, language, v0, v1, o0, o1, o2, o3, f0, f1, f2, f3, r0, r1, r2, r3] = head;
    let remark_bytes = i32::from_be_bytes([r0, r1, r2, r3]);
    let Ok(remark_len) = usize::try_from(remark_bytes) else {
        let problem = HeaderProblem::Negative { part: "the remark", value: remark_bytes };
        return Err(HeaderError { position: 13, problem });
    };
    let Some((remark, rest)) = rest.split_at_checked(remark_len) else {
        return Err(truncated(HEAD_BYTES, "the remark", remark_len, rest.len()));
    };
    let remark = match remark {
        [] => None,
        remark => Some(Raw::new(remark, HEAD_BYTES, RawKind::Plain).text()?),
    };
    let header = Header {
        code: i16::from_be_bytes([c0, c1]).into(),
        language: Language::from_code(language),
        version: i16::from_be_bytes([v0, v1]).into(),
        opaque: i32::from_be_bytes([o0, o1, o2, o3]),
        flag: i32::from_be_bytes([f0, f1, f2, f3]),
        remark,
    };
    let at = HEAD_BYTES.saturating_add(remark_len);
    let Some((ext_bytes, rest)) = rest.split_first_chunk() else {
        return Err(truncated(at, "the length of the fields", 4, rest.len()));
    };
    let at = at.saturating_add(4);
    // Java takes a negative length for none.
    let ext_bytes = usize::try_from(i32::from_be_bytes(*ext_bytes)).unwrap_or(0);
    let Some((ext, rest)) = rest.split_at_checked(ext_bytes) else {
        return Err(truncated(at, "the table of fields", ext_bytes, rest.len()));
    };
    if !rest.is_empty() {
        let problem = HeaderProblem::Trailing { left_bytes: rest.len() };
        return Err(HeaderError { position: at.saturating_add(ext_bytes), problem });
    }
    Ok((header, ExtFields::binary(ext, at)?))
}

#[cold]
const fn truncated(
    position: usize,
    part: &'static str,
    needed_bytes: usize,
    left_bytes: usize,
) -> HeaderError {
    let problem = HeaderProblem::Truncated { part, needed_bytes, left_bytes };
    HeaderError { position, problem }
}

pub(super) fn encode(
    header: &Header<'_>,
    ext: &(impl ExtSource + ?Sized),
    output: &mut Output<'_>,
) -> Result<(), EncodeError> {
    output.put(&short("code", header.code)?.to_be_bytes());
    output.put(&[header.language.unwrap_or(Language::Other).code()]);
    output.put(&short("version", header.version)?.to_be_bytes());
    output.put(&header.opaque.to_be_bytes());
    output.put(&header.flag.to_be_bytes());
    let remark = header.remark.unwrap_or_default();
    counted(output, 4, "the remark", |output| put_text(output, remark))?;
    counted(output, 4, "the table of fields", |output| ext.visit(&mut Entries { output }))
}

fn short(part: &'static str, value: i32) -> Result<i16, EncodeError> {
    i16::try_from(value).map_err(|_| EncodeError::OutOfRange { part, value })
}

/// Puts a signed length of `width` bytes in front of what `write` writes.
#[inline]
fn counted(
    output: &mut Output<'_>,
    width: usize,
    part: &'static str,
    write: impl FnOnce(&mut Output<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let at = output.len();
    output.put(if width == 2 { &[0; 2] } else { &[0; 4] });
    write(output)?;
    let len_bytes = output.len().saturating_sub(at).saturating_sub(width);
    let len_bytes_max = if width == 2 { 0x7fff } else { 0x7fff_ffff };
    if len_bytes > len_bytes_max {
        return Err(EncodeError::TooLong { part, len_bytes, len_bytes_max });
    }
    match width {
        2 => output.patch(at, &(len_bytes as u16).to_be_bytes()),
        _ => output.patch(at, &(len_bytes as u32).to_be_bytes()),
    }
    Ok(())
}

fn put_text(output: &mut Output<'_>, text: Text<'_>) -> Result<(), EncodeError> {
    match text.as_str() {
        Some(text) => output.put(text.as_bytes()),
        None => {
            let mut utf8 = [0; 4];
            text.chars().for_each(|one| output.put(one.encode_utf8(&mut utf8).as_bytes()));
        }
    }
    Ok(())
}

struct Entries<'o, 'm> {
    output: &'o mut Output<'m>,
}

impl FieldVisitor for Entries<'_, '_> {
    fn text(&mut self, name: Text<'_>, value: Text<'_>) -> Result<(), EncodeError> {
        counted(self.output, 2, "a field's name", |output| put_text(output, name))?;
        counted(self.output, 4, "a field's value", |output| put_text(output, value))
    }

    fn integer(&mut self, name: &str, value: i64) -> Result<(), EncodeError> {
        counted(self.output, 2, "a field's name", |output| put_text(output, name.into()))?;
        counted(self.output, 4, "a field's value", |output| {
            output.put(decimal(value, &mut [0; 20]));
            Ok(())
        })
    }

    fn keeps_empty(&self) -> bool {
        false
    }
}

/// The digits of `value` at the end of `memory`.
fn decimal(value: i64, memory: &mut [u8; 20]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut start = memory.len();
    for place in memory.iter_mut().rev() {
        *place = b'0'.saturating_add((rest % 10) as u8);
        rest /= 10;
        start = start.saturating_sub(1);
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        start = start.saturating_sub(1);
        if let Some(sign) = memory.get_mut(start) {
            *sign = b'-';
        }
    }
    memory.get(start..).unwrap_or_default()
}
