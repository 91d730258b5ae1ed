//! Every Rust line of the tables in the chapter "Coming from Python" is in the block below its
//! table, which is a doc test.

/// The texts between single backticks.
fn code_of(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(|code| code.replace("\\|", "|"))
}

/// The cells of a row; a pipe behind a backslash does not end a cell.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\u{1}");
    row.split('|').map(|cell| cell.replace('\u{1}', "\\|").trim().to_string()).collect()
}

/// Whether `code` stands in `block`, and not only as a part of other words.
fn stands_in(block: &str, code: &str) -> bool {
    let is_word = |letter: Option<char>| letter.is_some_and(|c| c.is_alphanumeric() || c == '_');
    block.match_indices(code).any(|(at, _)| {
        let (before, after) = (&block[..at], &block[at + code.len()..]);
        let begins_a_word = !(is_word(before.chars().next_back()) && is_word(code.chars().next()));
        let ends_one = !(is_word(code.chars().next_back()) && is_word(after.chars().next()));
        begins_a_word && ends_one
    })
}

#[test]
fn every_line_of_a_table_is_compiled() {
    let text = include_str!("../docs/guide/coming_from_python.md");
    let mut rows = 0;
    for section in text.split("\n## ").skip(1) {
        let block = section.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
        let block = block.unwrap_or_else(|| panic!("no block in {section}"));
        for row in section.lines().filter(|line| line.starts_with("| ")).skip(2) {
            for code in code_of(&cells(row)[2]) {
                assert!(stands_in(block, &code), "not compiled: {code}");
                rows += 1;
            }
        }
    }
    assert!(rows > 60, "{rows}");
}
