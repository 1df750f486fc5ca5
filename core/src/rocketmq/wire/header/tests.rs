use super::*;
use crate::rocketmq::wire::json::JsonProblem;

#[test]
fn lengths_in_binary_headers_are_checked() {
    let mut header = [0; 64];
    let fields = [("topic", "T"), ("k", "v")];
    let len = Header::request(11, 5).encode(Serialization::Rocketmq, &fields, &mut header).unwrap();
    assert_eq!(len, 21 + 12 + 8);
    let problem = |at: usize, byte: u8| {
        let mut damaged = header;
        damaged[at] = byte;
        let error = Header::decode(Serialization::Rocketmq, &damaged[..len]).unwrap_err();
        (error.position, error.problem)
    };
    let truncated = |part, needed_bytes, left_bytes| HeaderProblem::Truncated {
        part,
        needed_bytes,
        left_bytes,
    };
    assert_eq!(problem(16, 25), (17, truncated("the remark", 25, 24)));
    let negative = HeaderProblem::Negative { part: "the remark", value: -0x0100_0000 };
    assert_eq!(problem(13, 0xff), (13, negative));
    assert_eq!(problem(20, 21), (21, truncated("the table of fields", 21, 20)));
    assert_eq!(problem(20, 12), (33, HeaderProblem::Trailing { left_bytes: 8 }));
    assert_eq!(problem(20, 19), (40, HeaderProblem::Trailing { left_bytes: 1 }));
    assert_eq!(problem(22, 19), (23, truncated("a field's name", 19, 18)));
    assert_eq!(problem(31, 10), (32, truncated("a field's value", 10, 9)));
    let negative = HeaderProblem::Negative { part: "a field's name", value: -32_763 };
    assert_eq!(problem(21, 0x80), (21, negative));
    for cut in 0..len {
        assert!(Header::decode(Serialization::Rocketmq, &header[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn a_negative_table_is_none() {
    let mut header = [0; 21];
    header[17..].fill(0xff);
    let (_, fields) = Header::decode(Serialization::Rocketmq, &header).unwrap();
    assert!(!fields.is_present());
}

#[test]
fn json_headers_are_read_as_java_does() {
    let json = br#" {'opaque':"-8", flag : 1, "code":"11","unknown":[1,{}],"language":"kotlin",
        "extFields":{"n":5,"b":true,"z":null,"t\u006fpic":"a\nb","n":6}, "remark":7} "#;
    let (header, fields) = Header::decode(Serialization::Json, json).unwrap();
    assert_eq!((header.code, header.opaque, header.flag, header.version), (11, -8, 1, 0));
    assert_eq!(header.language, None);
    assert_eq!(header.remark, Some("7".into()));
    assert_eq!(fields.get("n"), Ok(Some("6".into())));
    assert_eq!(fields.get("b"), Ok(Some("true".into())));
    assert_eq!(fields.get("z"), Ok(None));
    assert_eq!(fields.get("topic"), Ok(Some("a\nb".into())));
    assert_eq!(fields.iter().count(), 5);
}

#[test]
fn what_is_wrong_in_json_is_said_where_it_is() {
    let problem = |json: &[u8]| {
        let error = Header::decode(Serialization::Json, json).unwrap_err();
        (error.position, error.problem)
    };
    let value = |expected| HeaderProblem::Json(JsonProblem::Value { expected });
    assert_eq!(problem(br#"{"code":2147483648}"#), (8, value("a whole number of 32 bits")));
    assert_eq!(problem(br#"{"extFields":[1]}"#), (13, value("an object of fields")));
    assert_eq!(problem(b"{}x"), (2, HeaderProblem::Json(JsonProblem::Trailing)));
    assert_eq!(problem(b"{\"remark\":\"a\xff\"}"), (12, HeaderProblem::NotUtf8));
    let json = b"{\"extFields\":{\"a\":\"\xff\"}}";
    let (_, fields) = Header::decode(Serialization::Json, json).unwrap();
    let error = HeaderError { position: 19, problem: HeaderProblem::NotUtf8 };
    assert_eq!(fields.get("a"), Err(error));
}

#[test]
fn what_a_header_can_not_carry_is_refused() {
    let memory = &mut [0; 256];
    let pop = Header::request(request_code::POP_MESSAGE, 1);
    let refused = pop.encode(Serialization::Rocketmq, &Absent, memory);
    assert_eq!(refused, Err(EncodeError::OutOfRange { part: "code", value: 200_050 }));
    assert!(pop.encode(Serialization::Json, &Absent, memory).is_ok());
    for serialization in [Serialization::Json, Serialization::Rocketmq] {
        let header = Header::response(1, 2, Some("why".into()));
        let len = header.encode(serialization, &[("a", "b")], memory).unwrap();
        let error = header.encode(serialization, &[("a", "b")], &mut memory[..len - 1]);
        let needed = EncodeError::NoRoom { needed_bytes: len, room_bytes: len - 1 };
        assert_eq!(error, Err(needed));
    }
}

#[test]
fn codes_have_names() {
    assert_eq!(request_code::name(310), Some("SEND_MESSAGE_V2"));
    assert_eq!(response_code::name(-1000), Some("RPC_UNKNOWN"));
    assert_eq!(request_code::name(5), None);
}
