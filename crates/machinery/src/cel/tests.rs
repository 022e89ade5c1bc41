//! Tables of expressions and what they give.

use serde_json::json;

use super::{Activation, Budget, EvalError, Program, Question, Scope, Type, Value};

struct Given(serde_json::Value);

impl Activation for Given {
    fn variable(&self, name: &str) -> Option<Value> {
        if name == "authorizer" {
            return Some(Value::Authorizer(Question::default().into()));
        }
        (name == "object").then(|| Value::from(&self.0))
    }

    fn member(&self, variable: &str, field: &str) -> Option<Result<Value, EvalError>> {
        (variable == "variables" && field == "broken").then(|| Err(EvalError::Failed("boom".into())))
    }

    fn authorize(&self, question: &Question) -> (bool, String) {
        (question.verb == "create" && question.resource.as_deref() == Some("pods"), "because".into())
    }
}

fn scope() -> Scope {
    Scope::new()
        .with("object", Type::Dyn)
        .with("authorizer", Type::AUTHORIZER)
        .with("variables", Type::members([("broken", Type::Dyn)]))
}

fn object() -> Given {
    Given(json!({
        "metadata": {"name": "web-1", "labels": {"app": "web", "a.b/c": "x"}},
        "spec": {"replicas": 3, "ratio": 1.5, "names": ["b", "a", "c"], "items": [{"n": 1}, {"n": 2}], "my-key": 1},
        "none": null,
    }))
}

fn run(source: &str) -> Result<Value, String> {
    let program = Program::compile(source, &scope()).map_err(|error| error.message)?;
    program.evaluate(&object(), &Budget::new(10_000_000)).map_err(|error| error.to_string())
}

#[track_caller]
fn holds(source: &str) {
    assert_eq!(run(source), Ok(Value::Bool(true)), "{source}");
}

#[test]
fn the_language() {
    for source in [
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 / 2 == 3 && -7 % 3 == -1",
        "1.5 + 1.5 == 3.0 && dyn(1) == 1.0 && dyn(1u) == 1 && 1 < 1.5 && -9223372036854775808 < 0",
        "0x1F == 31 && 1e3 == 1000.0 && !(1 == 2) && !!true",
        r#""a\n\x41\u0042" == 'a' + "\n" + 'AB' && r"\d" == "\\d" && '''x"y''' == 'x"y'"#,
        "b'abc' == bytes('abc') && string(b'abc') == 'abc'",
        "true || 1 / 0 == 1",
        "1 / 0 == 1 || true",
        "!(false && 1 / 0 == 1)",
        "1 == 1 ? true : object.nope",
        "object.metadata.name == 'web-1' && object.metadata['labels'].app == 'web'",
        "object.metadata.labels['a.b/c'] == 'x' && 'app' in object.metadata.labels && !('z' in object.metadata.labels)",
        "has(object.metadata.name) && !has(object.metadata.nope) && object.none == null",
        "object.spec.my__dash__key == 1",
        "object.spec.names.all(n, n.size() == 1) && object.spec.names.exists(n, n == 'c')",
        "object.spec.items.exists_one(i, i.n == 2) && object.spec.items.map(i, i.n) == [1, 2]",
        "object.spec.items.map(i, i.n > 1, i.n * 10) == [20] && object.spec.items.filter(i, i.n > 1).size() == 1",
        "object.metadata.labels.all(k, k.size() > 0) && {'a': 1}.all(k, v, k == 'a' && v == 1)",
        "[1, 2, 3].exists(x, x / (x - 1) > 1)",
        "size([1, 2]) == 2 && size({'a': 1}) == 1 && size('ab') == 2",
        "object.?metadata.?nope.orValue('z') == 'z' && object[?'metadata'].hasValue()",
        "optional.of(3).optMap(x, x + 1).value() == 4 && !optional.none().hasValue() && [1, ?optional.none()] == [1]",
        "type(1) == int && type('a') == string && type(1) != uint",
        "// a comment\ntrue",
    ] {
        holds(source);
    }
}

#[test]
fn the_functions() {
    for source in [
        "'abc'.startsWith('a') && 'abc'.endsWith('c') && 'abc'.contains('b') && 'abc'.matches('^a.c$')",
        "'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b' && 'aXbX'.replace('X', '', 1) == 'abX'",
        "'hello'.substring(1, 3) == 'el' && 'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3",
        "'Ab'.lowerAscii() == 'ab' && ' a '.trim() == 'a' && 'abc'.charAt(1) == 'b' && 'abc'.reverse() == 'cba'",
        "'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1'.find('[0-9]') == '1'",
        "'%s is %d and %.2f %%'.format(['x', 3, 1.5]) == 'x is 3 and 1.50 %'",
        "[3, 1, 2].sort() == [1, 2, 3] && [1, 2].isSorted() && [1, 2].sum() == 3 && [1, 2].max() == 2",
        "[1, 1, 2].distinct() == [1, 2] && [[1], [2]].flatten() == [1, 2] && [1, 2, 3].slice(1, 2) == [2]",
        "object.spec.items.sortBy(i, -i.n)[0].n == 2",
        "sets.contains([1, 2], [1]) && sets.intersects([1], [1, 2]) && math.greatest(1, 3, 2) == 3",
        "duration('1h30m') == duration('90m') && duration('90s').getMinutes() == 1 && string(duration('1.5s')) == '1.5s'",
        "timestamp('2024-02-29T12:00:00Z').getFullYear() == 2024 && timestamp('2024-02-29T12:00:00Z').getMonth() == 1",
        "timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
        "timestamp('2024-01-01T00:00:00Z').getHours('+02:00') == 2",
        "quantity('1Gi') == quantity('1024Mi') && quantity('1').isLessThan(quantity('1500m')) && isQuantity('2k')",
        "quantity('50k').add(quantity('20k')) == quantity('70k') && quantity('3').asInteger() == 3 && quantity('-1').sign() == -1",
        "ip('10.0.0.1').family() == 4 && isIP('::1') && cidr('10.0.0.0/8').containsIP('10.2.3.4') && !isCIDR('10.0.0.0')",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
        "url('https://u@h.example:80/p?a=1&a=2').getHostname() == 'h.example' && url('https://h/p?a=1').getQuery() == {'a': ['1']}",
        "isURL('/path') && !isURL('nope') && url('https://[::1]:80/x').getPort() == '80'",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1 && !isSemver('1.2')",
        "!format.named('dns1123Label').value().validate('ok').hasValue() && format.named('dns1123Label').value().validate('No').hasValue()",
        "int('3') == 3 && string(3) == '3' && double('1.5') == 1.5 && uint(3) == 3u && int(2.9) == 2",
        "authorizer.group('').resource('pods').namespace('x').check('create').allowed()",
        "!authorizer.group('').resource('nodes').check('create').allowed()",
        "base64.encode(b'hi') == 'aGk=' && base64.decode('aGk') == b'hi'",
    ] {
        holds(source);
    }
}

#[test]
fn what_fails_says_why() {
    for (source, why) in [
        ("object.metadata.nope == 1", "no such key: nope"),
        ("object.spec.names[7] == 'x'", "index out of bounds: 7"),
        ("1 / (object.spec.replicas - 3) == 1", "division by zero"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("object.spec.replicas + 'a' == 'a'", "no such overload"),
        ("object.spec.names.all(n, n > 3)", "no such overload"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("variables.broken == 1", "boom"),
        ("cel.bind(x, 2, x) == 2", "undeclared reference to 'cel' (in container '')"),
        ("nope == 1", "undeclared reference to 'nope' (in container '')"),
        ("variables.nope == 1", "undefined field 'nope'"),
        ("1 + 'a' == 2", "found no matching overload for '_+_' applied to '(int, string)'"),
        ("'a'.nope()", "undeclared reference to 'nope' (in container '')"),
        ("'a'.startsWith(1)", "found no matching overload for 'startsWith' applied to '(string, int)'"),
        ("1 == ", "Syntax error: mismatched input <EOF>"),
        ("(1", "Syntax error: mismatched input <EOF>"),
        ("1 2", "Syntax error: mismatched input Int(2)"),
        ("'a", "Syntax error: a text is not closed"),
        ("has(object)", "invalid argument to has() macro"),
        ("'a'.matches('(')", "error parsing regexp: \"(\""),
    ] {
        assert_eq!(run(source), Err(why.to_owned()), "{source}");
    }
}

#[test]
fn nothing_runs_for_ever_and_nothing_nests_too_deep() {
    let hundred = format!("[{}]", vec!["1"; 100].join(","));
    let nested = format!("{hundred}.all(a, {hundred}.all(b, {hundred}.all(c, {hundred}.all(d, true))))");
    assert_eq!(run(&nested), Err(EvalError::Budget.to_string()));
    assert_eq!(run(&format!("true || {nested}")), Ok(Value::Bool(true)));
    assert_eq!(run(&format!("{nested} || true")), Err(EvalError::Budget.to_string()));
    let growing = "optional.of('xxxxxxxxxxxxxxxx').optMap(a, ".repeat(60) + "a" + &")".repeat(60);
    assert!(run(&growing).is_ok());
    for (open, close) in [("(", ")"), ("[", "]"), ("!(", ")"), ("-(", ")"), ("f(", ")"), ("{1:", "}")] {
        let deep = open.repeat(5000) + "1" + &close.repeat(5000);
        assert!(run(&deep).expect_err("too deep").contains("recursion"), "{open}");
    }
    assert!(run(&("a".to_owned() + &".a".repeat(5000))).is_err());
    assert!(run(&"1+".repeat(5000)).is_err());
    assert!(run(&"true?true:".repeat(5000)).is_err());
}

#[test]
fn places_are_told() {
    let error = Program::compile("true &&\n  nope", &scope()).expect_err("unknown");
    assert_eq!((error.line, error.column), (2, 3));
    assert!(error.to_string().contains(" |   nope\n | ..^"), "{error}");
    let program = Program::compile("object.a + 'x'", &scope()).expect("compiles");
    assert!(program.mentions("object") && !program.mentions("variables"));
    assert_eq!(program.output().to_string(), "string");
}
