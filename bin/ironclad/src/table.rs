//! Columns for people, in the manner of kubectl: three spaces between them, no lines.

/// Formats `rows` below `header`, each column as wide as its widest cell.
pub(crate) fn format(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let line: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let rows = [vec!["a".to_owned(), "Running".to_owned()], vec!["longer".to_owned(), String::new()]];
        assert_eq!(super::format(&["NAME", "STATUS"], &rows), "NAME     STATUS\na        Running\nlonger\n");
    }
}
