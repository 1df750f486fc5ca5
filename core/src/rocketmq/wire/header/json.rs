//! The JSON layout: one object, with the fields as an object within.

use core::fmt;

use super::{
    EncodeError, ExtFields, ExtSource, FieldVisitor, Header, HeaderError, Language, Output,
};
use crate::rocketmq::wire::json::{
    Dialect, JsonError, JsonProblem, Raw, RawKind, Reader, Text, Writer,
};

#[inline]
pub(super) fn decode(bytes: &[u8]) -> Result<(Header<'_>, ExtFields<'_>), HeaderError> {
    let mut header = Header {
        code: 0,
        language: Some(Language::Java),
        version: 0,
        opaque: 0,
        flag: 0,
        remark: None,
    };
    let mut ext = ExtFields::default();
    let mut reader = Reader::new(bytes);
    let mut memory = [0; 64];
    reader.begin_object()?;
    in_order(&mut reader, &mut header, &mut ext)?;
    loop {
        if let Some((name, value)) = reader.plain_member() {
            Member::of(name.as_bytes()).read(value, &mut header)?;
            continue;
        }
        let Some(key) = reader.next_key()? else { break };
        match key.name(&mut memory) {
            b"extFields" => {
                if !reader.null()? {
                    ext = ext_fields(&mut reader)?;
                }
            }
            name => {
                let name = Member::of(name);
                if let Some(raw) = reader.raw()? {
                    name.read(raw, &mut header)?;
                }
            }
        }
    }
    reader.end()?;
    Ok((header, ext))
}

/// Members in the order in which Java writes them; what is left then is looked up by name.
#[inline]
fn in_order<'a>(
    reader: &mut Reader<'a>,
    header: &mut Header<'a>,
    ext: &mut ExtFields<'a>,
) -> Result<(), JsonError> {
    if let Some(raw) = reader.number_called("\"code\":") {
        header.code = raw.i32()?;
    }
    if reader.is_called("\"extFields\":") && !reader.null()? {
        *ext = ext_fields(reader)?;
    }
    if let Some(raw) = reader.number_called("\"flag\":") {
        header.flag = raw.i32()?;
    }
    if let Some(raw) = reader.text_called("\"language\":\"") {
        header.language = language(raw);
    }
    if let Some(raw) = reader.number_called("\"opaque\":") {
        header.opaque = raw.i32()?;
    }
    if let Some(raw) = reader.text_called("\"remark\":\"") {
        header.remark = Some(raw.text()?);
    }
    let _ = reader.text_called("\"serializeTypeCurrentRPC\":\"");
    if let Some(raw) = reader.number_called("\"version\":") {
        header.version = raw.i32()?;
    }
    Ok(())
}

fn ext_fields<'a>(reader: &mut Reader<'a>) -> Result<ExtFields<'a>, JsonError> {
    let value = reader.skip_object()?;
    match value.as_bytes() {
        [b'{', ..] => Ok(ExtFields::json(value)),
        _ => Err(JsonError {
            position: value.position(),
            problem: JsonProblem::Value { expected: "an object of fields" },
        }),
    }
}

/// What a member of the object says.
enum Member {
    Code,
    Language,
    Version,
    Opaque,
    Flag,
    Remark,
    Unknown,
}

impl Member {
    #[inline]
    fn of(name: &[u8]) -> Self {
        match name {
            b"code" => Self::Code,
            b"language" => Self::Language,
            b"version" => Self::Version,
            b"opaque" => Self::Opaque,
            b"flag" => Self::Flag,
            b"remark" => Self::Remark,
            _ => Self::Unknown,
        }
    }

    #[inline]
    fn read<'a>(self, raw: Raw<'a>, header: &mut Header<'a>) -> Result<(), JsonError> {
        match self {
            Self::Code => header.code = raw.i32()?,
            Self::Language => header.language = language(raw),
            Self::Version => header.version = raw.i32()?,
            Self::Opaque => header.opaque = raw.i32()?,
            Self::Flag => header.flag = raw.i32()?,
            Self::Remark => header.remark = Some(raw.text()?),
            Self::Unknown => {}
        }
        Ok(())
    }
}

/// By name or, as fastjson takes any enumeration, by number.
fn language(raw: Raw<'_>) -> Option<Language> {
    if raw.kind() == RawKind::Escaped {
        return None;
    }
    Language::from_name_bytes(raw.as_bytes()).or_else(|| {
        let code = u8::try_from(raw.i32().ok()?).ok()?;
        Language::from_code(code)
    })
}

pub(super) fn encode(
    header: &Header<'_>,
    ext: &(impl ExtSource + ?Sized),
    output: &mut Output<'_>,
) -> Result<(), EncodeError> {
    let mut writer = Writer::new(output, Dialect::Fastjson);
    let mut visited = Ok(());
    // Writing counts what has no room instead of failing.
    let written = members(header, ext, &mut writer, &mut visited);
    visited?;
    written.map_err(|fmt::Error| EncodeError::NoRoom { needed_bytes: usize::MAX, room_bytes: 0 })
}

/// In the order in which Java writes them.
fn members(
    header: &Header<'_>,
    ext: &(impl ExtSource + ?Sized),
    writer: &mut Writer<&mut Output<'_>>,
    visited: &mut Result<(), EncodeError>,
) -> fmt::Result {
    writer.begin_object()?;
    writer.key("code")?;
    writer.integer(header.code.into())?;
    if ext.is_present() {
        writer.key("extFields")?;
        writer.begin_object()?;
        *visited = ext.visit(&mut Members { writer });
        writer.end_object()?;
    }
    writer.key("flag")?;
    writer.integer(header.flag.into())?;
    writer.key("language")?;
    writer.text(header.language.unwrap_or(Language::Other).name().into())?;
    writer.key("opaque")?;
    writer.integer(header.opaque.into())?;
    if let Some(remark) = header.remark {
        writer.key("remark")?;
        writer.text(remark)?;
    }
    writer.key("serializeTypeCurrentRPC")?;
    writer.text("JSON".into())?;
    writer.key("version")?;
    writer.integer(header.version.into())?;
    writer.end_object()
}

struct Members<'w, 'o, 'm> {
    writer: &'w mut Writer<&'o mut Output<'m>>,
}

impl Members<'_, '_, '_> {
    fn member(
        &mut self,
        name: Text<'_>,
        value: impl FnOnce(&mut Writer<&mut Output<'_>>) -> fmt::Result,
    ) -> Result<(), EncodeError> {
        let written = self.writer.text(name).and_then(|()| self.writer.colon());
        let written = written.and_then(|()| value(self.writer));
        // The output counts what has no room and never fails.
        written
            .map_err(|fmt::Error| EncodeError::NoRoom { needed_bytes: usize::MAX, room_bytes: 0 })
    }
}

impl FieldVisitor for Members<'_, '_, '_> {
    fn text(&mut self, name: Text<'_>, value: Text<'_>) -> Result<(), EncodeError> {
        self.member(name, |writer| writer.text(value))
    }

    fn integer(&mut self, name: &str, value: i64) -> Result<(), EncodeError> {
        self.member(name.into(), |writer| writer.integer_text(value))
    }
}
