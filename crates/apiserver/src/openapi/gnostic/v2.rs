//! The messages of version 2.

use serde_json::Value;

use super::Shape::{Any, Each, Flag, Message as One, OneOf, Real, Text, Truth, Whole, Word, Wrapped};
use super::{Message, Shape, is_reference, otherwise};

/// A document.
pub(in crate::openapi) static DOCUMENT: Message = Message::of(
    &[
        (1, "swagger", Text),
        (2, "info", One(&INFO)),
        (3, "host", Text),
        (4, "basePath", Text),
        (5, "schemes", Each(&Word)),
        (6, "consumes", Each(&Word)),
        (7, "produces", Each(&Word)),
        (8, "paths", One(&PATHS)),
        (9, "definitions", One(&SCHEMAS)),
        (10, "parameters", One(&PARAMETERS)),
        (11, "responses", One(&RESPONSES_BY_NAME)),
        (12, "security", Each(&One(&REQUIREMENT))),
        (13, "securityDefinitions", One(&SECURITY)),
        (14, "tags", Each(&One(&TAG))),
        (15, "externalDocs", One(&EXTERNAL)),
    ],
    16,
);

static INFO: Message = Message::of(
    &[(1, "title", Text), (2, "version", Text), (3, "description", Text), (4, "termsOfService", Text)],
    7,
);
static TAG: Message = Message::of(&[(1, "name", Text), (2, "description", Text)], 4);
static EXTERNAL: Message = Message::of(&[(1, "description", Text), (2, "url", Text)], 3);
static REQUIREMENT: Message = Message::map(&Wrapped(1, &Each(&Word)));
static SECURITY: Message = Message::map(&OneOf(&[
    (|scheme| scheme["type"] == "basic", 1, One(&BASIC)),
    (|scheme| scheme["type"] == "apiKey", 2, One(&API_KEY)),
]));
static BASIC: Message = Message::of(&[(1, "type", Text), (2, "description", Text)], 3);
static API_KEY: Message =
    Message::of(&[(1, "type", Text), (2, "name", Text), (3, "in", Text), (4, "description", Text)], 5);

static PATHS: Message = Message { fields: &[], extensions: Some(1), entries: Some((2, &One(&PATH))) };
static PATH: Message = Message::of(
    &[
        (1, "$ref", Text),
        (2, "get", One(&OPERATION)),
        (3, "put", One(&OPERATION)),
        (4, "post", One(&OPERATION)),
        (5, "delete", One(&OPERATION)),
        (6, "options", One(&OPERATION)),
        (7, "head", One(&OPERATION)),
        (8, "patch", One(&OPERATION)),
        (9, "parameters", PARAMETER_ITEMS),
    ],
    10,
);
static OPERATION: Message = Message::of(
    &[
        (1, "tags", Each(&Word)),
        (2, "summary", Text),
        (3, "description", Text),
        (4, "externalDocs", One(&EXTERNAL)),
        (5, "operationId", Text),
        (6, "produces", Each(&Word)),
        (7, "consumes", Each(&Word)),
        (8, "parameters", PARAMETER_ITEMS),
        (9, "responses", One(&RESPONSES)),
        (10, "schemes", Each(&Word)),
        (11, "deprecated", Flag),
        (12, "security", Each(&One(&REQUIREMENT))),
    ],
    13,
);

static REFERENCE: Message =
    Message { fields: &[(1, "$ref", Text), (2, "description", Text)], extensions: None, entries: None };
static PARAMETERS: Message = Message::map(&PARAMETER);
const PARAMETER_ITEMS: Shape = Each(&OneOf(&[(is_reference, 2, One(&REFERENCE)), (otherwise, 1, PARAMETER)]));
const PARAMETER: Shape =
    OneOf(&[(|parameter| parameter["in"] == "body", 1, One(&BODY)), (otherwise, 2, NON_BODY)]);
const NON_BODY: Shape = OneOf(&[
    (|parameter| parameter["in"] == "header", 1, One(&HEADER_OR_PATH)),
    (|parameter| parameter["in"] == "formData", 2, One(&QUERY_OR_FORM)),
    (|parameter| parameter["in"] == "query", 3, One(&QUERY_OR_FORM)),
    (|parameter| parameter["in"] == "path", 4, One(&HEADER_OR_PATH)),
]);
static BODY: Message = Message::of(
    &[
        (1, "description", Text),
        (2, "name", Text),
        (3, "in", Text),
        (4, "required", Flag),
        (5, "schema", One(&SCHEMA)),
    ],
    6,
);
static QUERY_OR_FORM: Message = Message::of(
    &[
        (1, "required", Flag),
        (2, "in", Text),
        (3, "description", Text),
        (4, "name", Text),
        (5, "allowEmptyValue", Flag),
        (6, "type", Text),
        (7, "format", Text),
        (8, "items", One(&ITEMS)),
        (9, "collectionFormat", Text),
        (10, "default", Any),
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
        (21, "enum", Each(&Any)),
        (22, "multipleOf", Real),
    ],
    23,
);
static HEADER_OR_PATH: Message = Message::of(
    &[
        (1, "required", Flag),
        (2, "in", Text),
        (3, "description", Text),
        (4, "name", Text),
        (5, "type", Text),
        (6, "format", Text),
        (7, "items", One(&ITEMS)),
        (8, "collectionFormat", Text),
        (9, "default", Any),
        (10, "maximum", Real),
        (11, "exclusiveMaximum", Flag),
        (12, "minimum", Real),
        (13, "exclusiveMinimum", Flag),
        (14, "maxLength", Whole),
        (15, "minLength", Whole),
        (16, "pattern", Text),
        (17, "maxItems", Whole),
        (18, "minItems", Whole),
        (19, "uniqueItems", Flag),
        (20, "enum", Each(&Any)),
        (21, "multipleOf", Real),
    ],
    22,
);
static ITEMS: Message = Message::of(
    &[
        (1, "type", Text),
        (2, "format", Text),
        (3, "items", One(&ITEMS)),
        (4, "collectionFormat", Text),
        (5, "default", Any),
        (12, "pattern", Text),
        (16, "enum", Each(&Any)),
    ],
    18,
);

static RESPONSES: Message = Message {
    fields: &[],
    extensions: Some(2),
    entries: Some((1, &OneOf(&[(is_reference, 2, One(&REFERENCE)), (otherwise, 1, One(&RESPONSE))]))),
};
static RESPONSES_BY_NAME: Message = Message::map(&One(&RESPONSE));
static RESPONSE: Message = Message::of(
    &[
        (1, "description", Text),
        (
            2,
            "schema",
            OneOf(&[(|schema| schema["type"] == "file", 2, One(&FILE)), (otherwise, 1, One(&SCHEMA))]),
        ),
    ],
    5,
);
static FILE: Message =
    Message::of(&[(1, "format", Text), (2, "title", Text), (3, "description", Text), (6, "type", Text)], 10);

static SCHEMAS: Message = Message::map(&One(&SCHEMA));
static SCHEMA: Message = Message::of(
    &[
        (1, "$ref", Text),
        (2, "format", Text),
        (3, "title", Text),
        (4, "description", Text),
        (5, "default", Any),
        (6, "multipleOf", Real),
        (7, "maximum", Real),
        (8, "exclusiveMaximum", Flag),
        (9, "minimum", Real),
        (10, "exclusiveMinimum", Flag),
        (11, "maxLength", Whole),
        (12, "minLength", Whole),
        (13, "pattern", Text),
        (14, "maxItems", Whole),
        (15, "minItems", Whole),
        (16, "uniqueItems", Flag),
        (17, "maxProperties", Whole),
        (18, "minProperties", Whole),
        (19, "required", Each(&Word)),
        (20, "enum", Each(&Any)),
        (21, "additionalProperties", OneOf(&[(Value::is_boolean, 2, Truth), (otherwise, 1, One(&SCHEMA))])),
        (22, "type", Wrapped(1, &Each(&Word))),
        (23, "items", Wrapped(1, &Each(&One(&SCHEMA)))),
        (24, "allOf", Each(&One(&SCHEMA))),
        (25, "properties", One(&SCHEMAS)),
        (26, "discriminator", Text),
        (27, "readOnly", Flag),
        (29, "externalDocs", One(&EXTERNAL)),
        (30, "example", Any),
    ],
    31,
);
