//! The messages of version 3.

use serde_json::Value;

use super::Shape::{Any, Each, Flag, Message as One, Number, OneOf, Real, Text, Truth, Whole, Word, Wrapped};
use super::{Choice, Message, Shape, is_reference, otherwise};

/// A document.
pub(in crate::openapi) static DOCUMENT: Message = Message::of(
    &[
        (1, "openapi", Text),
        (2, "info", One(&INFO)),
        (4, "paths", One(&PATHS)),
        (5, "components", One(&COMPONENTS)),
        (6, "security", Each(&One(&REQUIREMENT))),
    ],
    9,
);

static INFO: Message = Message::of(
    &[(1, "title", Text), (2, "description", Text), (3, "termsOfService", Text), (6, "version", Text)],
    7,
);
static REQUIREMENT: Message = Message::map(&Wrapped(1, &Each(&Word)));
static COMPONENTS: Message =
    Message::of(&[(1, "schemas", One(&SCHEMAS)), (7, "securitySchemes", One(&SECURITY))], 10);
static SECURITY: Message =
    Message::map(&OneOf(&[(is_reference, 2, One(&REFERENCE)), (otherwise, 1, One(&SCHEME))]));
static SCHEME: Message = Message::of(
    &[
        (1, "type", Text),
        (2, "description", Text),
        (3, "name", Text),
        (4, "in", Text),
        (5, "scheme", Text),
        (6, "bearerFormat", Text),
    ],
    9,
);
static REFERENCE: Message = Message {
    fields: &[(1, "$ref", Text), (2, "summary", Text), (3, "description", Text)],
    extensions: None,
    entries: None,
};

static PATHS: Message = Message { fields: &[], extensions: Some(2), entries: Some((1, &One(&PATH))) };
static PATH: Message = Message::of(
    &[
        (1, "$ref", Text),
        (2, "summary", Text),
        (3, "description", Text),
        (4, "get", One(&OPERATION)),
        (5, "put", One(&OPERATION)),
        (6, "post", One(&OPERATION)),
        (7, "delete", One(&OPERATION)),
        (8, "options", One(&OPERATION)),
        (9, "head", One(&OPERATION)),
        (10, "patch", One(&OPERATION)),
        (11, "trace", One(&OPERATION)),
        (13, "parameters", PARAMETERS),
    ],
    14,
);
static OPERATION: Message = Message::of(
    &[
        (1, "tags", Each(&Word)),
        (2, "summary", Text),
        (3, "description", Text),
        (5, "operationId", Text),
        (6, "parameters", PARAMETERS),
        (7, "requestBody", OneOf(&[(is_reference, 2, One(&REFERENCE)), (otherwise, 1, One(&BODY))])),
        (8, "responses", One(&RESPONSES)),
        (10, "deprecated", Flag),
        (11, "security", Each(&One(&REQUIREMENT))),
    ],
    13,
);
const PARAMETERS: Shape =
    Each(&OneOf(&[(is_reference, 2, One(&REFERENCE)), (otherwise, 1, One(&PARAMETER))]));
static PARAMETER: Message = Message::of(
    &[
        (1, "name", Text),
        (2, "in", Text),
        (3, "description", Text),
        (4, "required", Flag),
        (5, "deprecated", Flag),
        (6, "allowEmptyValue", Flag),
        (7, "style", Text),
        (8, "explode", Flag),
        (9, "allowReserved", Flag),
        (10, "schema", OneOf(&EITHER)),
        (11, "example", Any),
        (13, "content", One(&CONTENT)),
    ],
    14,
);
static BODY: Message =
    Message::of(&[(1, "description", Text), (2, "content", One(&CONTENT)), (3, "required", Flag)], 4);
static CONTENT: Message = Message::map(&One(&MEDIA_TYPE));
static MEDIA_TYPE: Message = Message::of(&[(1, "schema", OneOf(&EITHER)), (2, "example", Any)], 5);
static RESPONSES: Message = Message {
    fields: &[(1, "default", RESPONSE_OR_REFERENCE)],
    extensions: Some(3),
    entries: Some((2, &RESPONSE_OR_REFERENCE)),
};
const RESPONSE_OR_REFERENCE: Shape =
    OneOf(&[(is_reference, 2, One(&REFERENCE)), (otherwise, 1, One(&RESPONSE))]);
static RESPONSE: Message = Message::of(&[(1, "description", Text), (3, "content", One(&CONTENT))], 5);

static SCHEMAS: Message = Message::map(&OneOf(&EITHER));
static EITHER: [Choice; 2] = [(is_reference, 2, One(&REFERENCE)), (otherwise, 1, One(&SCHEMA))];
static SCHEMA: Message = Message::of(
    &[
        (1, "nullable", Flag),
        (3, "readOnly", Flag),
        (4, "writeOnly", Flag),
        (6, "externalDocs", One(&EXTERNAL)),
        (7, "example", Any),
        (8, "deprecated", Flag),
        (9, "title", Text),
        (10, "multipleOf", Real),
        (11, "maximum", Real),
        (12, "exclusiveMaximum", Flag),
        (13, "minimum", Real),
        (14, "exclusiveMinimum", Flag),
        (15, "maxLength", Whole),
        (16, "minLength", Whole),
        (17, "pattern", Text),
        (18, "maxItems", Whole),
        (19, "minItems", Whole),
        (20, "uniqueItems", Flag),
        (21, "maxProperties", Whole),
        (22, "minProperties", Whole),
        (23, "required", Each(&Word)),
        (24, "enum", Each(&Any)),
        (25, "type", Text),
        (26, "allOf", Each(&OneOf(&EITHER))),
        (27, "oneOf", Each(&OneOf(&EITHER))),
        (28, "anyOf", Each(&OneOf(&EITHER))),
        (29, "not", One(&SCHEMA)),
        (30, "items", Wrapped(1, &Each(&OneOf(&EITHER)))),
        (31, "properties", One(&SCHEMAS)),
        (32, "additionalProperties", OneOf(&[(Value::is_boolean, 2, Truth), (otherwise, 1, OneOf(&EITHER))])),
        // Defaults that are lists or objects have no form in this message.
        (
            33,
            "default",
            OneOf(&[
                (Value::is_number, 1, Number),
                (Value::is_boolean, 2, Truth),
                (Value::is_string, 3, Word),
            ]),
        ),
        (34, "description", Text),
        (35, "format", Text),
    ],
    36,
);
static EXTERNAL: Message = Message::of(&[(1, "description", Text), (2, "url", Text)], 3);
