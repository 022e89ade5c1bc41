//! Columns for people, in the manner of kubectl: three spaces between them, no lines.

/// A table whose columns keep their widths for lines that come later.
#[derive(Debug, Default)]
pub(crate) struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// Makes a table that has room for these lines.
    pub(crate) fn for_lines(lines: &[Vec<String>]) -> Self {
        let mut widths: Vec<usize> = Vec::new();
        for line in lines {
            widths.resize(widths.len().max(line.len()), 0);
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        Self { widths }
    }

    /// Writes a line.
    pub(crate) fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&self.widths) {
            line.push_str(&format!("{cell:<width$}   "));
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let lines = [["NAME", "STATUS"], ["ä", "Running"], ["longer", ""]];
        let lines: Vec<Vec<String>> =
            lines.iter().map(|line| line.iter().map(ToString::to_string).collect()).collect();
        let table = Table::for_lines(&lines);
        let written: Vec<_> = lines.iter().map(|line| table.line(line)).collect();
        assert_eq!(written, ["NAME     STATUS", "ä        Running", "longer"]);
    }
}
