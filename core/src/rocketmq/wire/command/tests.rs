use super::*;
use crate::rocketmq::wire::header::{Header, HeaderProblem, Serialization};
use crate::rocketmq::wire::json::JsonProblem;

fn decode<'a, C: Command<'a>>(json: &'a str) -> Result<C, CommandError> {
    let (_, ext) = Header::decode(Serialization::Json, json.as_bytes()).expect("a header");
    C::decode(&ext)
}

#[test]
fn missing_and_invalid_fields_are_named() {
    let json = r#"{"extFields":{"topic":"T","queueId":1}}"#;
    let error = decode::<UpdateConsumerOffsetRequestHeader<'_>>(json).unwrap_err();
    assert_eq!(error, CommandError::Missing { field: "consumerGroup" });
    let json = r#"{"extFields":{"topic":"T","queueId":"x"}}"#;
    let Err(CommandError::Invalid { field, error }) = decode::<GetMinOffsetRequestHeader<'_>>(json)
    else {
        panic!("x is no number");
    };
    let expected = "a whole number of 32 bits";
    let problem = HeaderProblem::Json(JsonProblem::Value { expected });
    assert_eq!((field, error.position, error.problem), ("queueId", 37, problem));
}

#[test]
fn defaults_and_the_base_are_read() {
    let json = r#"{"extFields":{"topic":"T","queueId":"1","bname":"b","LO":"x","lo":"TRUE",
        "what":"ever"}}"#;
    let header = decode::<GetMaxOffsetRequestHeader<'_>>(json).unwrap();
    assert!(header.committed);
    assert_eq!(header.base.broker_name, Some("b".into()));
    assert_eq!((header.base.logical, header.base.oneway), (Some(true), None));
}

#[test]
fn an_empty_text_is_missing_in_a_binary_header_only() {
    let fields = GetRouteInfoRequestHeader::default();
    for serialization in [Serialization::Json, Serialization::Rocketmq] {
        let mut memory = [0; 128];
        let len = Header::request(105, 1).encode(serialization, &fields, &mut memory).unwrap();
        let (_, ext) = Header::decode(serialization, &memory[..len]).unwrap();
        let again = GetRouteInfoRequestHeader::decode(&ext);
        match serialization {
            Serialization::Json => assert_eq!(again, Ok(fields)),
            _ => assert_eq!(again, Err(CommandError::Missing { field: "topic" })),
        }
    }
}
