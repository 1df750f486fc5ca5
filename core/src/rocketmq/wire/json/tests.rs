extern crate std;

use super::value::parse_integer;
use super::*;
use crate::rocketmq::wire::text::TextBuffer;

fn problem(text: &str) -> (usize, JsonProblem) {
    let mut reader = Reader::new(text.as_bytes());
    let error = reader.skip().and_then(|_| reader.end()).expect_err(text);
    (error.position, error.problem)
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    assert_eq!(problem(""), (0, JsonProblem::Truncated));
    assert_eq!(problem(r#"{"a":1,"#), (7, JsonProblem::Truncated));
    assert_eq!(problem(r#"{"a":"\u12"#), (6, JsonProblem::Truncated));
    assert_eq!(problem(r#"{"a":"\u12x4"}"#), (6, JsonProblem::Escape));
    assert_eq!(problem(r#"{"a":"\q"}"#), (6, JsonProblem::Escape));
    assert_eq!(problem(r#"{"a":-}"#), (5, JsonProblem::Literal));
    assert_eq!(problem(r#"{"a":1.}"#), (5, JsonProblem::Literal));
    assert_eq!(problem(r#"{"a":1}}"#), (7, JsonProblem::Trailing));
    assert_eq!(
        problem(r#"{"a" 1}"#),
        (5, JsonProblem::Unexpected { expected: "a colon", found: b'1' })
    );
    assert_eq!(
        problem(r#"[1 2]"#),
        (3, JsonProblem::Unexpected { expected: "a comma or the end", found: b'2' })
    );
    assert_eq!(
        problem(r#"[1,]"#),
        (3, JsonProblem::Unexpected { expected: "a value", found: b']' })
    );
}

#[test]
fn depth_is_bounded() {
    let mut open = [b'['; 64];
    let mut reader = Reader::new(&open);
    let error = reader.skip().unwrap_err();
    assert_eq!(error.problem, JsonProblem::TooDeep { depth_max: DEPTH_MAX });
    assert_eq!(error.position, usize::from(DEPTH_MAX) + 1);
    open[usize::from(DEPTH_MAX)..].fill(b']');
    assert!(Reader::new(&open).skip().is_ok());
}

#[test]
fn what_fastjson_writes_is_read() {
    let text = r#" { {"topic":"T", 'queueId' : 3} : { 0 : [ 1.5E+3 , "7" , null ] } , x:true } "#;
    let mut reader = Reader::new(text.as_bytes());
    reader.begin_object().unwrap();
    let key = reader.next_key().unwrap().unwrap();
    let mut inner = key.object().unwrap().reader();
    inner.begin_object().unwrap();
    assert!(inner.next_key().unwrap().unwrap().is("topic"));
    assert_eq!(inner.text().unwrap(), "T");
    assert!(inner.next_key().unwrap().unwrap().is("queueId"));
    assert_eq!(inner.i32(), Ok(3));
    assert!(inner.next_key().unwrap().is_none());
    reader.begin_object().unwrap();
    assert_eq!(reader.next_key().unwrap().unwrap().raw().i64(), Ok(0));
    reader.begin_array().unwrap();
    assert!(reader.next_item().unwrap());
    assert_eq!(reader.f64(), Ok(1500.0));
    assert!(reader.next_item().unwrap());
    assert_eq!(reader.i64(), Ok(7));
    assert!(reader.next_item().unwrap());
    assert!(reader.null().unwrap());
    assert!(!reader.next_item().unwrap());
    assert!(reader.next_key().unwrap().is_none());
    assert!(reader.next_key().unwrap().unwrap().is("x"));
    assert_eq!(reader.bool(), Ok(true));
    assert!(reader.next_key().unwrap().is_none());
    reader.end().unwrap();
}

#[test]
fn escapes_are_undone() {
    let text = r#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\ud83dx\uDE00\u4e3bé""#;
    let text = Reader::new(text.as_bytes()).text().unwrap();
    assert_eq!(text, "\"\\/\u{8}\u{c}\n\r\té😀\u{fffd}x\u{fffd}主é");
    assert_eq!(text.copy_to(&mut [0; 8]), Err(CopyError { room_bytes: 8 }));
    assert_eq!(text.copy_to(&mut [0; 64]).map(str::len), Ok(26));
    let plain = Text::plain(r"no \n escape");
    assert_eq!(plain.as_str(), Some(r"no \n escape"));
    assert!(plain.chars().eq(r"no \n escape".chars()));
}

#[test]
fn keys_with_escapes_have_a_name() {
    let mut reader = Reader::new(br#"{"t\u006fpic":1}"#);
    reader.begin_object().unwrap();
    let key = reader.next_key().unwrap().unwrap();
    assert!(key.is("topic"));
    assert_eq!(key.name(&mut [0; 64]), b"topic");
}

#[test]
fn integers_have_their_whole_range() {
    let parse = |text: &str| parse_integer(text.as_bytes());
    assert_eq!(parse("-9223372036854775808"), Some(i64::MIN));
    assert_eq!(parse("9223372036854775807"), Some(i64::MAX));
    assert_eq!(parse("9223372036854775808"), None);
    assert_eq!(parse("000000000000000000000000007"), Some(7));
    assert_eq!(parse("+5"), Some(5));
    for number in [0, 7, 12_345_678, 99_999_999, 100_000_000, 123_456_789_012_345_678_i64] {
        assert_eq!(parse(&std::format!("{number}")), Some(number));
        assert_eq!(parse(&std::format!("-{number}")), Some(-number));
    }
    for at in 0..8 {
        for byte in 0..=u8::MAX {
            let mut digits = *b"12345678";
            digits[at] = byte;
            let expected = digits.iter().try_fold(0, |value, digit| {
                digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
            });
            if at > 0 || !matches!(byte, b'+' | b'-') {
                assert_eq!(parse_integer(&digits), expected, "{digits:?}");
            }
        }
    }
    for wrong in ["", "-", "1x", "1 ", "0x1", "1.0"] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
    assert!(Reader::new(b"2147483648").i32().is_err());
    assert_eq!(Reader::new(b"\"-2147483648\"").i32(), Ok(i32::MIN));
}

#[test]
fn numbers_are_written_as_java_does() {
    for (value, expected) in [
        (0.0, "0.0"),
        (1.5, "1.5"),
        (-0.001, "-0.001"),
        (9_999_999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (1.25e-4, "1.25E-4"),
        (-1e10, "-1.0E10"),
        (f64::MAX, "1.7976931348623157E308"),
        (f64::NAN, "null"),
    ] {
        let mut memory = [0; 32];
        let mut text = TextBuffer::new(&mut memory);
        Writer::new(&mut text, Dialect::Fastjson).number(value).unwrap();
        assert_eq!(text.as_str(), expected);
        assert!(value.is_nan() || Reader::new(text.as_bytes()).f64() == Ok(value));
    }
}
