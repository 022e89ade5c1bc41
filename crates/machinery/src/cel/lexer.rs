//! Cuts an expression into tokens.

use std::sync::Arc;

use super::CompileError;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i64),
    /// A whole number one too large for `Int`: right only behind a minus.
    IntMin,
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    Ident(Arc<str>),
    /// An operator or bracket.
    Mark(&'static str),
    End,
}

/// Longer ones first.
const MARKS: [&str; 27] = [
    "&&", "||", "==", "!=", "<=", ">=", "?.", "[?", "(", ")", "[", "]", "{", "}", "<", ">", "+", "-", "*",
    "/", "%", "!", "?", ":", ",", ".", "=",
];

/// Reads all tokens with their offsets.
pub(super) fn tokens(source: &str) -> Result<Vec<(usize, Token)>, CompileError> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let token = lexer.next()?;
        let end = token == Token::End;
        tokens.push((start, token));
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn fail<T>(&self, at: usize, message: impl Into<String>) -> Result<T, CompileError> {
        Err(CompileError::at(self.source, at, message))
    }

    fn skip_blank(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.source.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn next(&mut self) -> Result<Token, CompileError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        let digit_after_dot = first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        if first.is_ascii_digit() || digit_after_dot {
            return self.number();
        }
        if let Some(literal) = self.literal()? {
            return Ok(literal);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            self.at += end;
            return Ok(Token::Ident(rest[..end].into()));
        }
        if first == '`' {
            // A field name that is no identifier.
            let Some(end) = rest[1..].find('`') else { return self.fail(self.at, "a ` is not closed") };
            self.at += end + 2;
            return Ok(Token::Ident(rest[1..=end].into()));
        }
        match MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            Some(mark) => {
                self.at += mark.len();
                Ok(Token::Mark(mark))
            }
            None => self.fail(self.at, format!("Syntax error: token recognition error at: {first:?}")),
        }
    }

    fn number(&mut self) -> Result<Token, CompileError> {
        let (start, rest) = (self.at, self.rest());
        let wrong = |what: &str| CompileError::at(self.source, start, format!("{what} is out of range"));
        if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let unsigned = hex[end..].starts_with(['u', 'U']);
            self.at += 2 + end + usize::from(unsigned);
            let number = u64::from_str_radix(&hex[..end], 16).map_err(|_| wrong("the number"))?;
            return if unsigned {
                Ok(Token::Uint(number))
            } else {
                i64::try_from(number).map(Token::Int).map_err(|_| wrong("the number"))
            };
        }
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let mut end = digits(rest);
        let mut whole = true;
        if rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            whole = false;
            end += 1 + digits(&rest[end + 1..]);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[end + 1 + sign..]);
            if exponent > 0 {
                whole = false;
                end += 1 + sign + exponent;
            }
        }
        let text = &rest[..end];
        self.at += end;
        if !whole {
            return text.parse().map(Token::Double).map_err(|_| wrong("the number"));
        }
        if rest[end..].starts_with(['u', 'U']) {
            self.at += 1;
            return text.parse().map(Token::Uint).map_err(|_| wrong("the number"));
        }
        if text == "9223372036854775808" {
            return Ok(Token::IntMin);
        }
        text.parse().map(Token::Int).map_err(|_| wrong("the number"))
    }

    /// Texts and bytes: `r` is raw, `b` is bytes, three quotes may span lines.
    fn literal(&mut self) -> Result<Option<Token>, CompileError> {
        let rest = self.rest();
        let prefix = rest.bytes().take(3).position(|byte| matches!(byte, b'"' | b'\'')).unwrap_or(3);
        let (mut raw, mut bytes) = (false, false);
        if prefix > 2 {
            return Ok(None);
        }
        for c in rest[..prefix].chars() {
            match c {
                'r' | 'R' if !raw => raw = true,
                'b' | 'B' if !bytes => bytes = true,
                _ => return Ok(None),
            }
        }
        let start = self.at;
        let body = &rest[prefix..];
        let one = &body[..1];
        let triple = one.repeat(3);
        let quote = if body.starts_with(&triple) { triple.as_str() } else { one };
        let mut at = quote.len();
        let mut decoded: Vec<u8> = Vec::new();
        loop {
            let here = &body[at..];
            if here.starts_with(quote) {
                self.at += prefix + at + quote.len();
                break;
            }
            let Some(c) = here.chars().next().filter(|c| quote.len() == 3 || !matches!(c, '\n' | '\r'))
            else {
                return self.fail(start, "Syntax error: a text is not closed");
            };
            if c == '\\' && !raw {
                let Some(used) = escape(&here[1..], bytes, &mut decoded) else {
                    return self.fail(start + prefix + at, "Syntax error: unknown escape in a text");
                };
                at += 1 + used;
            } else {
                decoded.extend_from_slice(&here.as_bytes()[..c.len_utf8()]);
                at += c.len_utf8();
            }
        }
        if bytes {
            return Ok(Some(Token::Bytes(decoded.into())));
        }
        match String::from_utf8(decoded) {
            Ok(text) => Ok(Some(Token::Text(text.into()))),
            Err(_) => self.fail(start, "Syntax error: a text must be UTF-8"),
        }
    }
}

/// Decodes what stands behind a backslash; returns how many bytes of the source that was.
fn escape(text: &str, bytes: bool, out: &mut Vec<u8>) -> Option<usize> {
    let first = text.chars().next()?;
    let simple = match first {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '\'' | '"' | '`' | '?' => first as u8,
        _ => 0,
    };
    if simple != 0 {
        out.push(simple);
        return Some(1);
    }
    let (skip, length, radix) = match first {
        'x' | 'X' => (1, 2, 16),
        'u' if !bytes => (1, 4, 16),
        'U' if !bytes => (1, 8, 16),
        '0'..='3' => (0, 3, 8),
        _ => return None,
    };
    let code = u32::from_str_radix(text.get(skip..skip + length)?, radix).ok()?;
    if bytes {
        out.push(u8::try_from(code).ok()?);
    } else {
        let mut buffer = [0; 4];
        out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
    }
    Some(skip + length)
}
