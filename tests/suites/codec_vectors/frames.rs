//! Frames and headers, raw and typed.

use std::collections::BTreeMap;

use serde_json::Value;
use turbopump_core::rocketmq::wire::acl::Credentials;
use turbopump_core::rocketmq::wire::command::*;
use turbopump_core::rocketmq::wire::frame::{Frame, encode};
use turbopump_core::rocketmq::wire::header::{
    Absent, EncodeError, ExtFields, ExtSource, Header, HeaderProblem, Language, Serialization,
};
use turbopump_core::rocketmq::wire::json::Text;

use crate::loose::pairs;
use crate::{Check, Checker, bytes, flag, from_hex, same, small, text};

/// The kinds that are checked here.
pub(crate) const KINDS: &[(&str, Checker)] = &[
    ("frame-json", frame_json),
    ("frame-rocketmq", frame_rocketmq),
    ("frame-invalid", frame_invalid),
    ("header-json", header),
    ("header-rocketmq", header),
    ("acl-signature", acl_signature),
];

/// Names and values; `None` for `null`.
type Fields = BTreeMap<String, Option<String>>;

/// `None` where there is no table of fields.
fn fields_of(value: &Value) -> Option<Fields> {
    let fields = value.as_object()?.iter();
    Some(fields.map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned))).collect())
}

fn fields_in(ext: &ExtFields<'_>) -> Option<Fields> {
    let text = |text: Text<'_>| text.to_string();
    let field = |(name, value): (Text<'_>, Option<Text<'_>>)| (text(name), value.map(text));
    let fields = ext.iter().map(|one| (one.name().expect("UTF-8"), one.value().expect("UTF-8")));
    ext.is_present().then(|| fields.map(field).collect())
}

fn optional_bytes(value: &Value) -> Vec<u8> {
    value.as_str().map(from_hex).unwrap_or_default()
}

fn frame_json(input: &Value, output: &Value) -> Check {
    let encoded = raw_frame(Serialization::Json, input, output)?;
    let frame = Frame::decode(&encoded).map_err(|error| error.to_string())?;
    decoded("our frame", &frame, &output["javaDecoded"])
}

fn frame_rocketmq(input: &Value, output: &Value) -> Check {
    let encoded = raw_frame(Serialization::Rocketmq, input, output)?;
    same("the frame", encoded, bytes(output, "frameHex"))
}

/// Decodes Java's frame and encodes the same.
fn raw_frame(
    serialization: Serialization,
    input: &Value,
    output: &Value,
) -> Result<Vec<u8>, String> {
    let wire = bytes(output, "frameHex");
    let frame = Frame::decode(&wire).map_err(|error| error.to_string())?;
    same("the serialization", frame.serialization, serialization)?;
    decoded("their frame", &frame, &output["javaDecoded"])?;

    let language = Language::from_name(text(input, "language"));
    same("the language", language.map(Language::code), Some(small(input, "languageCode") as u8))?;
    let header = Header {
        code: small(input, "code"),
        language,
        version: small(input, "version"),
        opaque: small(input, "opaque"),
        flag: small(input, "flag"),
        remark: input["remark"].as_str().map(Text::from),
    };
    let fields = Ordered(pairs(input, "extFields"));
    match input["extFields"].is_object() {
        true => encoded(&header, serialization, &fields, &input["bodyHex"]),
        false => encoded(&header, serialization, &Absent, &input["bodyHex"]),
    }
}

/// What is `null` is not written.
struct Ordered<'v>(Vec<(&'v str, Option<&'v str>)>);

impl ExtSource for Ordered<'_> {
    fn visit(
        &self,
        visitor: &mut impl turbopump_core::rocketmq::wire::header::FieldVisitor,
    ) -> Result<(), EncodeError> {
        for (name, value) in &self.0 {
            if let Some(value) = value {
                visitor.text(Text::plain(name), Text::plain(value))?;
            }
        }
        Ok(())
    }
}

fn encoded(
    header: &Header<'_>,
    serialization: Serialization,
    ext: &impl ExtSource,
    body: &Value,
) -> Result<Vec<u8>, String> {
    let body = optional_bytes(body);
    let mut memory = vec![0; 64 * 1024];
    let written = encode(header, serialization, ext, &body, &mut memory);
    let len = written.map_err(|error| error.to_string())?;
    memory.truncate(len);
    Ok(memory)
}

fn decoded(what: &str, frame: &Frame<'_>, java: &Value) -> Check {
    let header = &frame.header;
    same(&format!("{what}'s code"), header.code, small(java, "code"))?;
    let language = java["language"].as_str();
    same(&format!("{what}'s language"), header.language.map(Language::name), language)?;
    same(&format!("{what}'s version"), header.version, small(java, "version"))?;
    if !java["opaque"].is_null() {
        same(&format!("{what}'s opaque"), header.opaque, small(java, "opaque"))?;
    }
    same(&format!("{what}'s flag"), header.flag, small(java, "flag"))?;
    let remark = header.remark.map(|remark| remark.to_string());
    same(&format!("{what}'s remark"), remark.as_deref(), java["remark"].as_str())?;
    same(&format!("{what}'s fields"), fields_in(&frame.ext), fields_of(&java["extFields"]))?;
    same(&format!("{what}'s body"), frame.body, &optional_bytes(&java["bodyHex"])[..])
}

/// What Java refuses is refused. What it takes is read the same; only where it reads beyond the
/// ends of fields and header, into bytes of the next part, we refuse.
fn frame_invalid(input: &Value, output: &Value) -> Check {
    let wire = bytes(input, "frameHex");
    let frame = Frame::decode(&wire);
    if flag(output, "throws") {
        return match frame {
            Err(error) if error.position <= wire.len() => Ok(()),
            other => Err(format!("should be refused, is {other:?}")),
        };
    }
    match frame {
        Ok(frame) => decoded("the frame", &frame, output),
        Err(error) => {
            let misread = matches!(
                error.problem,
                HeaderProblem::Trailing { .. } | HeaderProblem::Truncated { .. }
            );
            // By the frame's own lengths the body is another one than Java got.
            let header_bytes = u32::from_be_bytes([0, wire[5], wire[6], wire[7]]) as usize;
            let body = wire.get(8 + header_bytes..).unwrap_or_default();
            let same_body = optional_bytes(&output["bodyHex"]) == body;
            if misread && !same_body {
                return Ok(());
            }
            Err(format!("should be read, but: {error}"))
        }
    }
}

fn header(input: &Value, output: &Value) -> Check {
    type Typed<'a> = fn(&Value, &Frame<'a>, Option<&Fields>) -> Check;
    macro_rules! by_name {
        ($($command:ty,)*) => { [$((<$command as Command<'_>>::NAME, again::<$command>),)*] };
    }
    let commands: &[(&str, Typed<'_>)] = &turbopump_tests::with_all_commands!(by_name);
    let class = text(input, "headerClass");
    let Some((_, typed)) = commands.iter().find(|(name, _)| *name == class) else {
        return Err(format!("no type is known for {class}"));
    };
    let wire = bytes(output, "frameHex");
    let frame = Frame::decode(&wire).map_err(|error| error.to_string())?;
    let code = match frame.serialization {
        Serialization::Json => small(input, "code"),
        // Java keeps the low half of codes that the binary header has no room for.
        _ => i32::from(small(input, "code") as i16),
    };
    same("the code", frame.header.code, code)?;
    same("the opaque", frame.header.opaque, small(input, "opaque"))?;
    same("the version", frame.header.version, small(input, "version"))?;
    same("whether it is a response", frame.header.is_response(), flag(input, "response"))?;
    same("the body", frame.body, &optional_bytes(&input["bodyHex"])[..])?;
    typed(input, &frame, fields_of(&output["extFields"]).as_ref())
}

/// Picks the fields, writes them, and finds the same fields in what was written.
fn again<'a, C: Command<'a>>(input: &Value, frame: &Frame<'a>, fields: Option<&Fields>) -> Check {
    let command = C::decode(&frame.ext).map_err(|error| error.to_string())?;
    let mut header = frame.header;
    header.code = small(input, "code");
    if frame.serialization == Serialization::Rocketmq && header.code > 0x7fff {
        let refused = encode(&header, frame.serialization, &command, b"", &mut [0; 4096]);
        let value = header.code;
        same("the frame", refused, Err(EncodeError::OutOfRange { part: "code", value }))?;
        // Java sends the low half.
        header.code = frame.header.code;
    }
    let wire = encoded(&header, frame.serialization, &command, &input["bodyHex"])?;
    let written = Frame::decode(&wire).map_err(|error| error.to_string())?;
    same("the header", written.header, header)?;
    same("the body", written.body, frame.body)?;
    same("the fields", fields_in(&written.ext).as_ref(), fields)
}

/// In both serializations: signed, sent, and verified.
fn acl_signature(input: &Value, output: &Value) -> Check {
    let credentials = Credentials {
        access_key: text(input, "accessKey"),
        secret_key: text(input, "secretKey"),
        security_token: input["securityToken"].as_str(),
    };
    let fields = pairs(input, "extFields").into_iter();
    let fields: Vec<(&str, &str)> =
        fields.map(|(name, value)| (name, value.expect("a text"))).collect();
    let body = optional_bytes(&input["bodyHex"]);
    let signed = credentials.sign(&fields[..], &body).map_err(|error| error.to_string())?;
    same("the signature", signed.signature().as_str(), text(output, "signature"))?;
    for serialization in [Serialization::Json, Serialization::Rocketmq] {
        let header = Header::request(10, 1);
        let wire = encoded(&header, serialization, &signed, &input["bodyHex"])?;
        let frame = Frame::decode(&wire).map_err(|error| error.to_string())?;
        let verified = credentials.verify(&frame).map_err(|error| error.to_string())?;
        same("whether it is verified", verified, true)?;
        if serialization == Serialization::Json {
            let after = fields_of(&output["extFieldsAfter"]);
            same("the fields", fields_in(&frame.ext), after)?;
        }
    }
    Ok(())
}
