//! Reads an expression: precedence climbing over the tokens.

use std::sync::Arc;

use super::ast::{Expr, Kind, Operator};
use super::lexer::{Token, tokens};
use super::value::Value;
use super::{CompileError, macros};

/// How deep expressions may nest. Evaluation recurses as deep.
const MAX_DEPTH: usize = 100;

/// Words that are no names.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
];

/// Reads a whole expression.
pub(super) fn parse(source: &str) -> Result<Expr, CompileError> {
    let mut parser = Parser { source, tokens: tokens(source)?, next: 0, depth: 0 };
    let root = parser.expression()?;
    if *parser.peek() != Token::End {
        return Err(parser.unexpected());
    }
    Ok(root)
}

pub(super) struct Parser<'a> {
    pub(super) source: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

type Parsed<T> = Result<T, CompileError>;

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn at(&self) -> usize {
        self.tokens[self.next].0
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.next += 1;
        }
        token
    }

    fn takes(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Token::Mark(found) if *found == mark);
        if found {
            self.next += 1;
        }
        found
    }

    fn expect(&mut self, mark: &str) -> Parsed<()> {
        if self.takes(mark) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> CompileError {
        let found = match self.peek() {
            Token::End => "<EOF>".to_owned(),
            Token::Mark(mark) => format!("'{mark}'"),
            Token::Ident(name) => format!("'{name}'"),
            other => format!("{other:?}"),
        };
        CompileError::at(self.source, self.at(), format!("Syntax error: mismatched input {found}"))
    }

    fn expression(&mut self) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("expression recursion limit exceeded: {MAX_DEPTH}");
            return Err(CompileError::at(self.source, self.at(), message));
        }
        let condition = self.binary(0)?;
        let at = self.at();
        let result = if self.takes("?") {
            let yes = self.binary(0)?;
            self.expect(":")?;
            let no = self.expression()?;
            Expr::new(at, Kind::Ternary(Box::new([condition, yes, no])))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(result)
    }

    fn operator(&self, level: usize) -> Option<Operator> {
        let mark = match self.peek() {
            Token::Mark(mark) => *mark,
            Token::Ident(name) if &**name == "in" => "in",
            _ => return None,
        };
        let operator = match (level, mark) {
            (0, "||") => Operator::Or,
            (1, "&&") => Operator::And,
            (2, "==") => Operator::Equal,
            (2, "!=") => Operator::NotEqual,
            (2, "<") => Operator::Less,
            (2, "<=") => Operator::LessOrEqual,
            (2, ">") => Operator::Greater,
            (2, ">=") => Operator::GreaterOrEqual,
            (2, "in") => Operator::In,
            (3, "+") => Operator::Add,
            (3, "-") => Operator::Subtract,
            (4, "*") => Operator::Multiply,
            (4, "/") => Operator::Divide,
            (4, "%") => Operator::Modulo,
            _ => return None,
        };
        Some(operator)
    }

    /// Operators of `level` and those that bind tighter. Chains lean to the left, so that they do not recurse here; they
    /// are bounded because their tree is walked recursively.
    fn binary(&mut self, level: usize) -> Parsed<Expr> {
        if level == 5 {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        let mut links = 0;
        while let Some(operator) = self.operator(level) {
            let at = self.at();
            links += 1;
            if links > MAX_DEPTH * 5 {
                return Err(CompileError::at(self.source, at, "too many operators in a row"));
            }
            self.advance();
            let right = self.binary(level + 1)?;
            left = Expr::new(at, Kind::Binary { operator, left: Box::new(left), right: Box::new(right) });
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let mark = match self.peek() {
            Token::Mark(mark @ ("!" | "-")) => *mark,
            _ => return self.member(),
        };
        let mut count = 0;
        while self.takes(mark) {
            count += 1;
        }
        if mark == "-" {
            let negative = match self.peek() {
                Token::IntMin => Some(Value::Int(i64::MIN)),
                Token::Int(number) => Some(Value::Int(-number)),
                Token::Double(number) => Some(Value::Double(-number)),
                _ => None,
            };
            if let Some(value) = negative.filter(|_| count % 2 == 1) {
                self.advance();
                return self.postfix(Expr::new(at, Kind::Literal(value)));
            }
        }
        let inner = self.member()?;
        Ok(match (mark, count % 2) {
            (_, 0) => inner,
            ("!", _) => Expr::new(at, Kind::Not(Box::new(inner))),
            _ => Expr::new(at, Kind::Negate(Box::new(inner))),
        })
    }

    fn member(&mut self) -> Parsed<Expr> {
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn postfix(&mut self, mut left: Expr) -> Parsed<Expr> {
        let mut links = 0;
        loop {
            let at = self.at();
            links += 1;
            if links > MAX_DEPTH * 2 {
                return Err(CompileError::at(self.source, at, "too many selections in a row"));
            }
            let optional = match self.peek() {
                Token::Mark("." | "[") => false,
                Token::Mark("?." | "[?") => true,
                _ => return Ok(left),
            };
            if self.takes("[") || self.takes("[?") {
                let index = Box::new(self.expression()?);
                self.expect("]")?;
                left = Expr::new(at, Kind::Index { operand: Box::new(left), index, optional });
                continue;
            }
            self.advance();
            // Both orders of the mark are in use: `a.?b` and `a?.b`.
            let optional = self.takes("?") || optional;
            let Token::Ident(field) = self.advance() else {
                self.next -= 1;
                return Err(self.unexpected());
            };
            // A call stands where its parenthesis is.
            let at_call = self.at();
            if !optional && self.takes("(") {
                let args = self.arguments(")")?;
                left = macros::method(self.source, at_call, left, field, args)?;
                continue;
            }
            left = Expr::new(at, Kind::Select { operand: Box::new(left), field, test: false, optional });
        }
    }

    fn arguments(&mut self, end: &str) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        while !self.takes(end) {
            args.push(self.expression()?);
            if !self.takes(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(args)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let literal = |value| Ok(Expr::new(at, Kind::Literal(value)));
        match self.advance() {
            Token::Int(number) => literal(Value::Int(number)),
            Token::Uint(number) => literal(Value::Uint(number)),
            Token::Double(number) => literal(Value::Double(number)),
            Token::Text(text) => literal(Value::String(text)),
            Token::Bytes(bytes) => literal(Value::Bytes(bytes)),
            Token::IntMin => Err(CompileError::at(self.source, at, "the number is out of range")),
            Token::Mark("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Mark("[") => self.list(at, false),
            Token::Mark("[?") => self.list(at, true),
            Token::Mark("{") => self.map(at),
            Token::Mark(".") => {
                if let Token::Ident(name) = self.advance() {
                    return self.named(at, name);
                }
                self.next -= 1;
                Err(self.unexpected())
            }
            Token::Ident(name) => self.named(at, name),
            Token::Mark(_) | Token::End => {
                self.next = self.next.saturating_sub(usize::from(self.next > 0 && self.at() > at));
                Err(self.unexpected())
            }
        }
    }

    fn named(&mut self, at: usize, name: Arc<str>) -> Parsed<Expr> {
        match &*name {
            "true" => return Ok(Expr::new(at, Kind::Literal(Value::Bool(true)))),
            "false" => return Ok(Expr::new(at, Kind::Literal(Value::Bool(false)))),
            "null" => return Ok(Expr::new(at, Kind::Literal(Value::Null))),
            word if RESERVED.contains(&word) => {
                return Err(CompileError::at(self.source, at, format!("reserved identifier: {word}")));
            }
            _ => {}
        }
        let at_call = self.at();
        if self.takes("(") {
            let args = self.arguments(")")?;
            return macros::function(self.source, at_call, name, args);
        }
        Ok(Expr::new(at, Kind::Ident(name)))
    }

    fn list(&mut self, at: usize, mut optional: bool) -> Parsed<Expr> {
        let mut items = Vec::new();
        while !self.takes("]") {
            let optional = std::mem::take(&mut optional) || self.takes("?");
            items.push((self.expression()?, optional));
            if !self.takes(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(Expr::new(at, Kind::List(items)))
    }

    fn map(&mut self, at: usize) -> Parsed<Expr> {
        let mut entries = Vec::new();
        while !self.takes("}") {
            let optional = self.takes("?");
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?, optional));
            if !self.takes(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr::new(at, Kind::Map(entries)))
    }
}
