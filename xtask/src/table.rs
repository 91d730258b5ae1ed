//! Plain text tables.

use std::fmt::Write as _;

/// Lays rows out under a header, columns as wide as their widest entry, with a rule in between.
pub(crate) fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column).map(String::as_str));
        cells.chain(header.get(column).copied()).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: Vec<&str>| {
        let mut out = String::new();
        for (column, width) in widths.iter().enumerate() {
            let cell = cells.get(column).copied().unwrap_or("");
            let _ = write!(out, "{cell:<width$}   ");
        }
        text.push_str(out.trim_end());
        text.push('\n');
    };
    line(header.to_vec());
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(rules.iter().map(String::as_str).collect());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_entry() {
        let rows =
            [vec!["a long name".into(), "x".into()], vec!["é".into(), String::new(), "z".into()]];
        let expected = "\
cell          debug   release
-----------   -----   -------
a long name   x
é                     z
";
        assert_eq!(render(&["cell", "debug", "release"], &rows), expected);
    }
}
