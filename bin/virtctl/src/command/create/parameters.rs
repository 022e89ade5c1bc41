//! Flags that have parameters: `--volume-pvc src:data,bootorder:1`.

use machinery::quantity::Quantity;

/// Why a flag's value is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("failed to parse \"--{flag}\" flag: {reason}")]
pub(super) struct FlagError {
    flag: &'static str,
    reason: String,
}

impl FlagError {
    pub(super) fn new(flag: &'static str, reason: impl Into<String>) -> Self {
        Self { flag, reason: reason.into() }
    }
}

/// The parameters of one use of a flag. Each is taken; what is left at the end is not known.
#[derive(Debug)]
pub(super) struct Parameters {
    flag: &'static str,
    left: Vec<(String, String)>,
}

impl Parameters {
    /// Reads `name:value,...`; of a name that comes twice the last value holds.
    ///
    /// # Errors
    /// When nothing is there, or a part has no colon.
    pub(super) fn read(flag: &'static str, text: &str) -> Result<Self, FlagError> {
        if text.is_empty() {
            return Err(FlagError::new(flag, "params may not be empty"));
        }
        let mut left: Vec<(String, String)> = Vec::new();
        for part in text.split(',') {
            let Some((name, value)) = part.split_once(':') else {
                return Err(FlagError::new(flag, format!("params need to have at least one colon: {part}")));
            };
            left.retain(|(known, _)| known != name);
            left.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { flag, left })
    }

    /// An error about this flag.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> FlagError {
        FlagError::new(self.flag, reason)
    }

    /// Takes a parameter, when it is there.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.left.iter().position(|(known, _)| known == name)?;
        Some(self.left.swap_remove(at).1)
    }

    /// Takes a text; empty when it is not there.
    pub(super) fn text(&mut self, name: &str) -> String {
        self.take(name).unwrap_or_default()
    }

    /// Takes a number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u32>, FlagError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().map_err(|_| {
            let fault = if digits { "value out of range" } else { "invalid syntax" };
            self.wrong(format!(
                "failed to parse param \"{name}\": strconv.ParseUint: parsing {text:?}: {fault}"
            ))
        })?;
        Ok(Some(number))
    }

    /// Takes an amount, in its shortest form.
    pub(super) fn quantity(&mut self, name: &str) -> Result<Option<String>, FlagError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let quantity = Quantity::parse(&text);
        let quantity =
            quantity.map_err(|error| self.wrong(format!("failed to parse param \"{name}\": {error}")))?;
        Ok(Some(quantity.canonical()))
    }

    /// Takes texts that semicolons part.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        self.take(name).map(|text| text.split(';').map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When something was not taken.
    pub(super) fn finish(&self) -> Result<(), FlagError> {
        if self.left.is_empty() {
            return Ok(());
        }
        let unknown: Vec<_> = self.left.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        Err(self.wrong(format!("unknown param(s): {}", unknown.join(","))))
    }
}

/// Parts `[prefix/]name`.
///
/// # Errors
/// When there are more slashes, or no name.
pub(super) fn prefixed(text: &str) -> Result<(&str, &str), String> {
    let (prefix, name) = match text.matches('/').count() {
        0 => ("", text),
        1 => text.split_once('/').unwrap_or_default(),
        more => return Err(format!("invalid count {more} of slashes in prefix/name")),
    };
    if name.is_empty() { Err("name cannot be empty".to_owned()) } else { Ok((prefix, name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Parameters, String> {
        Parameters::read("volume-pvc", text).map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_are_taken_by_name_and_what_is_left_is_refused() {
        let mut found =
            read("src:my.registry/image:tag,bootorder:2,size:1024Mi,headers:a;b,size:2048Mi").unwrap();
        assert_eq!(found.text("src"), "my.registry/image:tag");
        assert_eq!(found.number("bootorder"), Ok(Some(2)));
        assert_eq!(found.quantity("size"), Ok(Some("2Gi".to_owned())));
        assert_eq!(found.texts("headers"), ["a", "b"]);
        assert_eq!(found.finish(), Ok(()));
        let begin = "failed to parse \"--volume-pvc\" flag: ";
        for (text, says) in [
            ("", "params may not be empty"),
            ("data", "params need to have at least one colon: data"),
            ("a:b", "unknown param(s): a:b"),
        ] {
            let said = read(text).and_then(|found| found.finish().map_err(|error| error.to_string()));
            assert_eq!(said.unwrap_err(), format!("{begin}{says}"));
        }
        let wrong = read("n:x").unwrap().number("n").unwrap_err().to_string();
        assert!(wrong.ends_with("param \"n\": strconv.ParseUint: parsing \"x\": invalid syntax"), "{wrong}");
    }

    #[test]
    fn prefixes_are_parted() {
        assert_eq!(prefixed("a"), Ok(("", "a")));
        assert_eq!(prefixed("ns/a"), Ok(("ns", "a")));
        assert_eq!(prefixed("a/b/c").unwrap_err(), "invalid count 2 of slashes in prefix/name");
        assert_eq!(prefixed("a/").unwrap_err(), "name cannot be empty");
    }
}
