//! The messages of OTLP traces as tables: field number, JSON name, kind.

/// A message type.
pub(super) struct Message {
    /// Its fields, in the order in which JSON shows them.
    pub(super) fields: &'static [Field],
    /// True if at most one field is set, zero or not.
    pub(super) one_of: bool,
}

/// A field of a message. Numbers are below 32, so that a `u32` can hold a set of them.
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// The type of a field, as far as it matters for JSON.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `string`.
    Text,
    /// `bytes` that are an id: hexadecimal.
    Id,
    /// Any other `bytes`: base64.
    Bytes,
    /// `bool`.
    Bool,
    /// `enum`: a number, never a name.
    Enum,
    /// `uint32`: a number.
    Uint32,
    /// `int64`: text.
    Int64,
    /// `fixed32`: a number.
    Fixed32,
    /// `fixed64`: text.
    Fixed64,
    /// `double`.
    Double,
    /// A nested message.
    Message(&'static Message),
}

impl Message {
    const fn new(fields: &'static [Field]) -> Self {
        Self {
            fields,
            one_of: false,
        }
    }
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        repeated: false,
    }
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        repeated: true,
    }
}

pub(super) static EXPORT_REQUEST: Message =
    Message::new(&[many(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: Message = Message::new(&[
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
    one(3, "schemaUrl", Kind::Text),
]);

pub(super) static RESOURCE: Message = Message::new(&[
    many(1, "attributes", Kind::Message(&KEY_VALUE)),
    one(2, "droppedAttributesCount", Kind::Uint32),
    many(3, "entityRefs", Kind::Message(&ENTITY_REF)),
]);

static ENTITY_REF: Message = Message::new(&[
    one(1, "schemaUrl", Kind::Text),
    one(2, "type", Kind::Text),
    many(3, "idKeys", Kind::Text),
    many(4, "descriptionKeys", Kind::Text),
]);

static SCOPE_SPANS: Message = Message::new(&[
    one(1, "scope", Kind::Message(&SCOPE)),
    many(2, "spans", Kind::Message(&SPAN)),
    one(3, "schemaUrl", Kind::Text),
]);

pub(super) static SCOPE: Message = Message::new(&[
    one(1, "name", Kind::Text),
    one(2, "version", Kind::Text),
    many(3, "attributes", Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Kind::Uint32),
]);

pub(super) static SPAN: Message = Message::new(&[
    one(1, "traceId", Kind::Id),
    one(2, "spanId", Kind::Id),
    one(3, "traceState", Kind::Text),
    one(4, "parentSpanId", Kind::Id),
    one(16, "flags", Kind::Fixed32),
    one(5, "name", Kind::Text),
    one(6, "kind", Kind::Enum),
    one(7, "startTimeUnixNano", Kind::Fixed64),
    one(8, "endTimeUnixNano", Kind::Fixed64),
    many(9, "attributes", Kind::Message(&KEY_VALUE)),
    one(10, "droppedAttributesCount", Kind::Uint32),
    many(11, "events", Kind::Message(&EVENT)),
    one(12, "droppedEventsCount", Kind::Uint32),
    many(13, "links", Kind::Message(&LINK)),
    one(14, "droppedLinksCount", Kind::Uint32),
    one(15, "status", Kind::Message(&STATUS)),
]);

static EVENT: Message = Message::new(&[
    one(1, "timeUnixNano", Kind::Fixed64),
    one(2, "name", Kind::Text),
    many(3, "attributes", Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Kind::Uint32),
]);

static LINK: Message = Message::new(&[
    one(1, "traceId", Kind::Id),
    one(2, "spanId", Kind::Id),
    one(3, "traceState", Kind::Text),
    many(4, "attributes", Kind::Message(&KEY_VALUE)),
    one(5, "droppedAttributesCount", Kind::Uint32),
    one(6, "flags", Kind::Fixed32),
]);

static STATUS: Message = Message::new(&[one(2, "message", Kind::Text), one(3, "code", Kind::Enum)]);

// The string-table references of KeyValue and AnyValue belong to profiles and count as absent
// here (spec F-060, F-068).
static KEY_VALUE: Message = Message::new(&[
    one(1, "key", Kind::Text),
    one(2, "value", Kind::Message(&ANY_VALUE)),
]);

static ANY_VALUE: Message = Message {
    fields: &[
        one(1, "stringValue", Kind::Text),
        one(2, "boolValue", Kind::Bool),
        one(3, "intValue", Kind::Int64),
        one(4, "doubleValue", Kind::Double),
        one(5, "arrayValue", Kind::Message(&ARRAY_VALUE)),
        one(6, "kvlistValue", Kind::Message(&KEY_VALUE_LIST)),
        one(7, "bytesValue", Kind::Bytes),
    ],
    one_of: true,
};

static ARRAY_VALUE: Message = Message::new(&[many(1, "values", Kind::Message(&ANY_VALUE))]);

static KEY_VALUE_LIST: Message = Message::new(&[many(1, "values", Kind::Message(&KEY_VALUE))]);
