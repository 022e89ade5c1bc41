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

/// Formats as [`format`] does, but goes without the columns of `dispensable`, the first of them first, for as long as the
/// table is wider than `width`.
pub(crate) fn fit(header: &[&str], rows: &[Vec<String>], dispensable: &[usize], width: usize) -> String {
    let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    let mut text = format(header, rows);
    let mut gone: Vec<usize> = Vec::new();
    for column in dispensable {
        if widest(&text) <= width {
            break;
        }
        gone.push(*column);
        let stays = |index: &usize| !gone.contains(index);
        let header: Vec<&str> = (0..header.len()).filter(stays).map(|index| header[index]).collect();
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| (0..row.len()).filter(stays).map(|index| row[index].clone()).collect())
            .collect();
        text = format(&header, &rows);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_narrow_terminal_keeps_the_columns_that_matter() {
        let rows = [vec!["machine".to_owned(), "Running".to_owned(), "node-0".to_owned()]];
        let fit = |width| super::fit(&["NAME", "STATUS", "NODE"], &rows, &[2, 1], width);
        assert_eq!(fit(80), "NAME      STATUS    NODE\nmachine   Running   node-0\n");
        assert_eq!(fit(20), "NAME      STATUS\nmachine   Running\n");
        assert_eq!(fit(1), "NAME\nmachine\n");
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let rows = [vec!["a".to_owned(), "Running".to_owned()], vec!["longer".to_owned(), String::new()]];
        assert_eq!(super::format(&["NAME", "STATUS"], &rows), "NAME     STATUS\na        Running\nlonger\n");
    }
}
