//! Expressions: what can be read is evaluated within its budget, at the same cost each time, and at no less.
//!
//! The first line of an input is the expression, the rest is the JSON that it sees as `self`.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use machinery::cel::{
    Activation, CALL_BUDGET, Declared, EvalError, Form, Identity, Program, Question, Scope, Type, Value,
};

struct Known {
    own: Value,
}

impl Activation for Known {
    fn variable(&self, name: &str) -> Option<Value> {
        Some(match name {
            "self" | "object" => self.own.clone(),
            "oldSelf" => Value::Optional(Some(Arc::new(self.own.clone()))),
            "text" => "some text: ä, \u{1f600}".into(),
            "number" => Value::Int(7),
            "list" => Value::list((0..20).map(Value::Int).collect()),
            "time" => Value::of_text("timestamp", "2024-02-29T12:30:00Z")?,
            "authorizer" => Value::Authorizer(Arc::new(Question::default())),
            _ => return None,
        })
    }

    fn authorize(&self, question: &Question) -> (bool, String) {
        (question.verb == "get", String::new())
    }
}

fn open() -> Scope {
    ["self", "object", "oldSelf", "text", "number", "list", "time", "authorizer"]
        .into_iter()
        .fold(Scope::new(), |scope, name| scope.with(name, Type::Dyn))
}

fn typed(declared: &Declared) -> Scope {
    Scope::new()
        .with("self", declared.kind())
        .with("object", declared.kind())
        .with("oldSelf", Type::Optional(Box::new(declared.kind())))
        .with("text", Type::STRING)
        .with("number", Type::INT)
        .with("list", Type::List(Box::new(Type::INT)))
        .with("time", Type::Plain("google.protobuf.Timestamp"))
        .with("authorizer", Type::AUTHORIZER)
}

/// What a schema would say of a `self` with a text, a number, a list and a map.
fn declared() -> Arc<Declared> {
    let of = |form, most, bytes| Arc::new(Declared { form, most, bytes });
    let text = of(Form::Plain("string"), 64, 2);
    let list = of(Form::List(Arc::clone(&text), Identity::Place), 16, 2);
    let map = of(Form::Map(Arc::clone(&text)), 16, 2);
    let number = of(Form::Plain("int"), 0, 1);
    let either = of(Form::Either, 64, 1);
    let fields = [("text", text), ("list", list), ("map", map), ("number", number), ("either", either)];
    of(
        Form::Object(
            fields.into_iter().map(|(name, field)| (name.to_owned(), (name.to_owned(), field))).collect(),
        ),
        0,
        2,
    )
}

const OWN: &str =
    r#"{"text": "abc", "list": ["a", "b", ""], "map": {"k": "v"}, "number": 5, "either": "10%"}"#;

fuzz_target!(|input: &[u8]| {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (source, rest) = input.split_once('\n').unwrap_or((input, ""));
    let own = serde_json::from_str(rest).or_else(|_| serde_json::from_str::<serde_json::Value>(OWN));
    let known = Known { own: (&own.expect("the constant is JSON")).into() };
    let declared = declared();
    let typed = typed(&declared);
    for scope in [&open(), &typed] {
        let program = match Program::compile(source, scope) {
            Ok(program) => program,
            Err(error) => {
                assert!(error.column > 0 && !error.to_string().is_empty());
                continue;
            }
        };
        let _ = (program.output(), program.mentions("oldSelf"), program.most(&typed, &declared));
        let (result, cost) = program.measure(&known, u64::MAX);
        assert!(cost <= CALL_BUDGET, "{source} cost {cost}");
        let (again, same) = program.measure(&known, cost);
        assert_eq!(cost, same, "{source}");
        if matches!(result, Err(EvalError::Budget)) {
            continue;
        }
        assert_eq!(format!("{result:?}"), format!("{again:?}"), "{source}");
        if let Some(less) = cost.checked_sub(1) {
            let (cut, _) = program.measure(&known, less);
            assert!(matches!(cut, Err(EvalError::Budget)), "{source} is done for {less} instead of {cost}");
        }
    }
});
