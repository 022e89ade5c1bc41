//! Cuts a byte stream into lines, however it arrives.

/// Collects bytes until a line is whole.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Where the search for the next line end goes on.
    searched: usize,
    limit: usize,
}

/// A line is longer than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Lines {
    pub(crate) fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), searched: 0, limit }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole line without its end; empty lines are left out.
    ///
    /// # Errors
    /// More bytes than the limit have come without a line end. They are dropped.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        loop {
            let Some(offset) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                if self.buffer.len() > self.limit {
                    self.clear();
                    return Err(TooLong);
                }
                return Ok(None);
            };
            let end = self.searched + offset;
            let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
            self.searched = 0;
            while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                line.pop();
            }
            // One long answer must not keep its memory for a machine's whole life.
            if self.buffer.is_empty() {
                self.buffer.shrink_to(4096);
            }
            if line.len() > self.limit {
                return Err(TooLong);
            }
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }

    /// Forgets what has come so far.
    pub(crate) fn clear(&mut self) {
        self.buffer = Vec::new();
        self.searched = 0;
    }

    /// Returns how many bytes wait.
    pub(crate) fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Forgets everything up to and including the last `mark`; says whether there was one.
    pub(crate) fn drop_through(&mut self, mark: u8) -> bool {
        let Some(place) = self.buffer.iter().rposition(|byte| *byte == mark) else {
            return false;
        };
        self.buffer.drain(..=place);
        self.searched = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"{\"a\":1}\r\n\n{\"b\":2}\n{\"c\"";
        for size in 1..text.len() {
            let mut lines = Lines::new(100);
            let mut whole = Vec::new();
            for chunk in text.chunks(size) {
                lines.push(chunk);
                while let Some(line) = lines.next().unwrap() {
                    whole.push(String::from_utf8(line).unwrap());
                }
            }
            assert_eq!(whole, ["{\"a\":1}", "{\"b\":2}"], "in chunks of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_dropped_and_the_next_one_read() {
        let mut lines = Lines::new(8);
        lines.push(&[b'x'; 20]);
        assert_eq!(lines.next(), Err(TooLong));
        lines.push(b"\n{}\n");
        assert_eq!(lines.next(), Ok(Some(b"{}".to_vec())));
        assert_eq!(lines.next(), Ok(None));
    }

    #[test]
    fn a_mark_is_found_across_pieces() {
        let mut lines = Lines::new(100);
        lines.push(b"old garbage\n");
        assert!(!lines.drop_through(0xff));
        lines.push(b"more\xff{\"return\":1}\n");
        assert!(lines.drop_through(0xff));
        assert_eq!(lines.next(), Ok(Some(b"{\"return\":1}".to_vec())));
    }
}
