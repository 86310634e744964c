//! Known messages with their JSON, and hostile input. `tests/tests/core/json.rs` holds the same rules
//! against the official types and random messages.

use super::*;
use std::string::String;
use std::vec::Vec;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .map(|b| crate::id::hex_value(b).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn json(
    function: fn(&[u8], &mut String) -> Result<(), JsonError>,
    bytes: &[u8],
) -> Result<String, JsonError> {
    let mut out = String::new();
    function(bytes, &mut out).map(|()| out)
}

/// A length-prefixed field with a one-byte tag.
fn nest(field: u8, content: &[u8]) -> Vec<u8> {
    let mut message = std::vec![0; crate::wire::field_len(content.len())];
    let mut writer = crate::wire::Writer::new(&mut message);
    writer.put_bytes_field(field, content);
    assert_eq!(writer.finish(), Some(message.len()));
    message
}

#[test]
fn golden_mini() {
    let bytes = unhex(
        "0a3d123b12390a105b8efff798038103d269b633813fc60c1208eee19b7ec3c1b1742a016130013901000000\
         00000000410200000000000000850101010000",
    );
    assert_eq!(
        json(export_request, &bytes).unwrap(),
        concat!(
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"#,
            r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","#,
            r#""flags":257,"name":"a","kind":1,"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}"#
        )
    );
}

/// A span with every field, with the keys in the order of the schema.
#[test]
fn every_field_of_a_span_is_written() {
    let bytes = unhex(concat!(
        "0a86030a170a150a0c736572766963652e6e616d6512050a0373766312c1020a130a036c69621203312e301a",
        "070a01731202100112a6020a105b8efff798038103d269b633813fc60c1208eee19b7ec3c1b1741a076f743d",
        "74683a632208eee19b7ec3c1b1732a016e300239004859e3faeb6f15410012f41efbeb6f154a070a01731202",
        "0a004a070a0162120210004a100a0169120b18ffffffffffffffffff014a0e0a016412092100000000000000",
        "004a090a017912043a0200ff4a050a016512004a100a0161120b2a090a0218010a030a01784a080a02656112",
        "022a004a100a016d120b32090a070a016b1202180050015a190900ad2601fbeb6f15120265761a080a016b12",
        "030a0176200260036a390a100102030405060708090a0b0c0d0e0f10120801020304050607081a03613d6222",
        "0f0a016c120a18ffffffffffffffff7f2804350101000070057a081204626f6f6d18028501030300001a0175",
        "1a2768747470733a2f2f6f70656e74656c656d657472792e696f2f736368656d61732f312e34342e30",
    ));
    assert_eq!(bytes.len(), 393);
    assert_eq!(
        json(export_request, &bytes).unwrap(),
        concat!(
            r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","#,
            r#""value":{"stringValue":"svc"}}]},"scopeSpans":[{"scope":{"name":"lib","#,
            r#""version":"1.0","attributes":[{"key":"s","value":{"boolValue":true}}]},"spans":[{"#,
            r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","#,
            r#""traceState":"ot=th:c","parentSpanId":"eee19b7ec3c1b173","flags":771,"name":"n","#,
            r#""kind":2,"startTimeUnixNano":"1544712660000000000","#,
            r#""endTimeUnixNano":"1544712661000000000","attributes":["#,
            r#"{"key":"s","value":{"stringValue":""}},{"key":"b","value":{"boolValue":false}},"#,
            r#"{"key":"i","value":{"intValue":"-1"}},{"key":"d","value":{"doubleValue":0.0}},"#,
            r#"{"key":"y","value":{"bytesValue":"AP8="}},{"key":"e","value":{}},"#,
            r#"{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"},"#,
            r#"{"stringValue":"x"}]}}},{"key":"ea","value":{"arrayValue":{}}},"#,
            r#"{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","#,
            r#""value":{"intValue":"0"}}]}}}],"droppedAttributesCount":1,"#,
            r#""events":[{"timeUnixNano":"1544712660500000000","name":"ev","#,
            r#""attributes":[{"key":"k","value":{"stringValue":"v"}}],"#,
            r#""droppedAttributesCount":2}],"droppedEventsCount":3,"#,
            r#""links":[{"traceId":"0102030405060708090a0b0c0d0e0f10","#,
            r#""spanId":"0102030405060708","traceState":"a=b","#,
            r#""attributes":[{"key":"l","value":{"intValue":"9223372036854775807"}}],"#,
            r#""droppedAttributesCount":4,"flags":257}],"droppedLinksCount":5,"#,
            r#""status":{"message":"boom","code":2}}],"schemaUrl":"u"}],"#,
            r#""schemaUrl":"https://opentelemetry.io/schemas/1.44.0"}]}"#
        )
    );
}

#[test]
fn interleaved_repeated_fields_are_gathered_in_their_order() {
    // attribute a, event x, attribute b, link, event y, status, attribute c
    let mut bytes = nest(9, b"\x0a\x01a");
    bytes.extend(nest(11, b"\x12\x01x"));
    bytes.extend(nest(9, b"\x0a\x01b"));
    bytes.extend(nest(13, b"\x12\x01\x07"));
    bytes.extend(nest(11, b"\x12\x01y"));
    bytes.extend(nest(15, b"\x18\x01"));
    bytes.extend(nest(9, b"\x0a\x01c"));
    assert_eq!(
        json(span, &bytes).unwrap(),
        concat!(
            r#"{"attributes":[{"key":"a"},{"key":"b"},{"key":"c"}],"#,
            r#""events":[{"name":"x"},{"name":"y"}],"links":[{"spanId":"07"}],"#,
            r#""status":{"code":1}}"#
        )
    );
}

#[test]
fn the_last_occurrence_of_a_singular_field_counts() {
    // name a, name b, kind 2, kind 0: a zero that comes last is left out.
    assert_eq!(
        json(span, b"\x2a\x01a\x2a\x01b\x30\x02\x30\x00").unwrap(),
        r#"{"name":"b"}"#
    );
    // An AnyValue with an int and then a bool is the bool, though false.
    assert_eq!(
        json(resource, &nest(1, &nest(2, b"\x18\x05\x10\x00"))).unwrap(),
        r#"{"attributes":[{"value":{"boolValue":false}}]}"#
    );
}

#[test]
fn unknown_fields_and_wrong_wire_types_are_ignored() {
    // 1000: varint, 17: text, a group, name as varint, attributes as fixed32, then a real name.
    let bytes = b"\xc0\x3e\x01\x8a\x01\x01x\xa3\x01\xa4\x01\x28\x07\x4d\x01\0\0\0\x2a\x01n";
    assert_eq!(json(span, bytes).unwrap(), r#"{"name":"n"}"#);
    // The string-table references of profiles (spec F-060, F-068).
    assert_eq!(
        json(resource, &nest(1, b"\x0a\x01k\x18\x05\x12\x02\x40\x07")).unwrap(),
        r#"{"attributes":[{"key":"k","value":{}}]}"#
    );
}

#[test]
fn empty_messages_are_empty_objects() {
    for function in [span, resource, scope, export_request] {
        assert_eq!(json(function, b"").unwrap(), "{}");
    }
    assert_eq!(json(span, b"\x7a\x00").unwrap(), r#"{"status":{}}"#);
}

#[test]
fn entity_references_are_shown() {
    let entity = b"\x0a\x01u\x12\x07service\x1a\x01a\x1a\x01b\x22\x01c";
    assert_eq!(
        json(resource, &nest(3, entity)).unwrap(),
        concat!(
            r#"{"entityRefs":[{"schemaUrl":"u","type":"service","#,
            r#""idKeys":["a","b"],"descriptionKeys":["c"]}]}"#
        )
    );
}

/// An attribute whose value is `levels` maps deep, with an empty value in the innermost.
fn nested_maps(levels: usize) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..levels {
        value = nest(6, &nest(1, &nest(2, &value)));
    }
    nest(2, &value)
}

#[test]
fn everything_that_the_depth_limit_of_values_allows_is_written() {
    let event = nest(11, &nest(3, &nested_maps(64)));
    let request = nest(1, &nest(2, &nest(2, &event)));
    let text = json(export_request, &request).unwrap();
    assert_eq!(text.matches("kvlistValue").count(), 64);
    assert_eq!(text.matches('{').count(), text.matches('}').count());
}

#[test]
fn deeper_nesting_is_an_error_and_not_an_overflow() {
    for levels in [67, 500, 5_000] {
        let attribute = nest(1, &nested_maps(levels));
        assert_eq!(json(resource, &attribute), Err(JsonError::TooDeep));
    }
}

#[test]
fn every_truncation_of_a_message_is_an_error_or_shorter_json() {
    let attribute = nest(9, b"\x0a\x01k\x12\x03\x0a\x01v");
    let whole = json(span, &attribute).unwrap();
    for len in 0..attribute.len() {
        match json(span, &attribute[..len]) {
            Ok(text) => assert!(len == 0 && text.len() < whole.len()),
            Err(error) => assert_eq!(error, JsonError::Wire(WireError::Truncated)),
        }
    }
    assert_eq!(
        json(span, &nest(9, b"\x0a\x05k")),
        Err(JsonError::Wire(WireError::Truncated))
    );
}

#[test]
fn any_two_bytes_in_any_message_do_no_harm() {
    for pair in 0..=u16::MAX {
        let [a, b] = pair.to_le_bytes();
        for tail in [&[][..], &[0x0a, 0x00], &[0xff; 10]] {
            let mut bytes = std::vec![a, b];
            bytes.extend(tail);
            let _ = json(span, &bytes);
            let _ = json(resource, &nest(1, &nest(2, &bytes)));
        }
    }
}

#[test]
fn a_writer_that_refuses_ends_the_work() {
    struct Full(usize);
    impl fmt::Write for Full {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let bytes = b"\x2a\x01n\x30\x02";
    let len = json(span, bytes).unwrap().len();
    for room in 0..len {
        assert_eq!(span(bytes, &mut Full(room)), Err(JsonError::Write));
    }
    assert_eq!(span(bytes, &mut Full(len)), Ok(()));
}
