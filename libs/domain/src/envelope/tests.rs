use super::*;

/// What consumers outside hatch rely on, text for text.
const GOLDEN: &str = concat!(
    r#"{"specversion":"1.0","id":"0198c0de-0000-7000-8000-000000000002","#,
    r#""source":"/hatch/00000000-0000-0000-0000-000000000001","type":"hatch.MessageRequested.v1","#,
    r#""subject":"0198c0de-0000-7000-8000-000000000003","time":"2025-10-09T08:53:20.123456Z","#,
    r#""datacontenttype":"application/json","position":4711,"streamversion":1,"#,
    r#""tenantid":"00000000-0000-0000-0000-000000000001","epoch":2,"aggregate":"message","#,
    r#""conversationid":"9a2476e4-4694-8b3f-8121-f933c8b3c73b","channel":"sms","#,
    r#""priority":"normal","correlationid":"0198c0de-0000-7000-8000-000000000004","#,
    r#""causationid":"0198c0de-0000-7000-8000-000000000005","actor":"api","#,
    r#""traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","#,
    r#""data":{ "body": "H\u00e9llo",  "cost":1.10 }}"#
);

fn example() -> Envelope {
    let id = |n: u128| Uuid::from_u128(n);
    Envelope {
        position: 4_711,
        event_id: id(0x0198_c0de_0000_7000_8000_0000_0000_0002),
        tenant_id: id(1),
        event_type: "MessageRequested".to_owned(),
        schema_version: 1,
        stream_id: id(0x0198_c0de_0000_7000_8000_0000_0000_0003),
        stream_version: 1,
        epoch: 2,
        recorded_at: DateTime::from_timestamp_micros(1_760_000_000_123_456).expect("in range"),
        aggregate: "message".to_owned(),
        conversation_id: Some(id(0x9a24_76e4_4694_8b3f_8121_f933_c8b3_c73b)),
        channel: Some("sms".to_owned()),
        priority: Some("normal".to_owned()),
        correlation_id: id(0x0198_c0de_0000_7000_8000_0000_0000_0004),
        causation_id: Some(id(0x0198_c0de_0000_7000_8000_0000_0000_0005)),
        actor: "api".to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        data: Some(
            RawValue::from_string(r#"{ "body": "H\u00e9llo",  "cost":1.10 }"#.to_owned())
                .expect("JSON"),
        ),
    }
}

fn text(envelope: &Envelope) -> String {
    envelope.travelling().to_json()
}

#[test]
fn the_text_of_an_envelope_does_not_change() {
    assert_eq!(text(&example()), GOLDEN);
}

#[test]
fn decoding_gives_back_what_was_encoded_and_the_data_byte_for_byte() {
    let bare = Envelope {
        conversation_id: None,
        channel: None,
        priority: None,
        causation_id: None,
        traceparent: None,
        actor: "webhook:\"odd\"\n".to_owned(),
        data: Some(RawValue::NULL.to_owned()),
        ..example()
    };
    for envelope in [example(), bare] {
        let decoded = Envelope::decode(text(&envelope).as_bytes()).expect("just encoded");
        assert_eq!(format!("{decoded:?}"), format!("{envelope:?}"));
    }
}

#[test]
fn data_over_the_limit_stays_in_the_log_and_is_referred_to() {
    let of_size = |bytes: usize| {
        let data = format!("\"{}\"", "x".repeat(bytes - 2));
        Envelope { data: RawValue::from_string(data).ok(), ..example() }
    };
    let at_limit = of_size(DATA_BYTES_MAX);
    assert!(Envelope::decode(text(&at_limit).as_bytes()).expect("valid").data.is_some());

    let large = of_size(DATA_BYTES_MAX + 1);
    assert!(!large.whole().to_json().contains("dataref"), "an answer has it all");
    let over = text(&large);
    assert!(over.ends_with(r#""dataref":"/api/v1/events/4711"}"#), "{over}");
    let decoded = Envelope::decode(over.as_bytes()).expect("valid");
    assert!(decoded.data.is_none());
    assert_eq!(text(&decoded), over);
}

#[test]
fn what_hatch_did_not_write_is_refused() {
    let decode = |text: &str| Envelope::decode(text.as_bytes());
    assert!(matches!(decode("{}"), Err(EnvelopeError::Json(_))));
    assert!(matches!(decode("hello"), Err(EnvelopeError::Json(_))));
    for r#type in ["hatch.MessageRequested", "other.MessageRequested.v1", "hatch.X.vy"] {
        let text = GOLDEN.replace("hatch.MessageRequested.v1", r#type);
        assert!(matches!(decode(&text), Err(EnvelopeError::Type(_))), "{type}");
    }
    let (head, _) = GOLDEN.split_once(r#","data":"#).expect("has data");
    assert!(matches!(decode(&format!("{head}}}")), Err(EnvelopeError::NoData)));
}
