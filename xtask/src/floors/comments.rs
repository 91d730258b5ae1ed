//! Comments that fit on a page and say what they stand at.
//!
//! A line that is a comment has at most 100 characters, unless it is a row of a table, a diagram,
//! an address, code of an example, or a text that a test expects (`//~`). A documentation comment
//! does not begin with what refers elsewhere ("The same", "As …", "See the module"), since a reader
//! may see nothing else.

use std::collections::BTreeMap;

const WIDEST: usize = 100;
const REFERENCES: [&str; 3] = ["The same", "As ", "See the module"];

/// What is wrong with the comments of the files, a finding a line.
pub(crate) fn findings(files: &BTreeMap<String, String>) -> Vec<String> {
    files.iter().flat_map(|(file, text)| of_file(file, text)).collect()
}

fn of_file(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut before, mut is_example) = ("", false);
    for (line, number) in text.lines().zip(1..) {
        let comment = line.trim_start();
        let kind = ["///", "//!", "//"].into_iter().find(|kind| comment.starts_with(kind));
        let kind = kind.unwrap_or_default();
        let body = comment[kind.len()..].trim_start();
        is_example = (is_example && kind == before) ^ (!kind.is_empty() && body.starts_with("```"));
        let width = line.chars().count();
        if !kind.is_empty() && width > WIDEST && !is_example && !may_be_wide(body) {
            found.push(format!("{file}:{number}: is {width} columns wide, at most {WIDEST} fit"));
        }
        let begins = kind.len() == 3 && kind != before;
        let refers = |words: &&&str| begins && body.starts_with(**words);
        if let Some(words) = REFERENCES.iter().find(refers) {
            let words = words.trim_end();
            found.push(format!("{file}:{number}: begins with \"{words}\" instead of what it does"));
        }
        before = kind;
    }
    found
}

fn may_be_wide(body: &str) -> bool {
    body.starts_with(['|', '~']) || body.contains("──") || body.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(text: &str) -> Vec<String> {
        of_file("f", text).into_iter().map(|told| told[..4.min(told.len())].to_owned()).collect()
    }

    #[test]
    fn wide_comments_are_found_and_what_may_be_wide_is_not() {
        let wide = "x".repeat(WIDEST);
        let ok = "é".repeat(WIDEST - 3);
        let text = format!(
            "// {ok}\n// {wide}\n    /// {wide}\n/// | {wide}\n//! ```\n//! {wide}\n//! ```\n\
             //! {wide}\n// ── {wide}\n// https://{wide}\nlet {wide} = 1;\n"
        );
        assert_eq!(lines_of(&text), ["f:2:", "f:3:", "f:8:"]);
    }

    #[test]
    fn documentation_that_begins_elsewhere_is_found() {
        let text = ["/// The same for files.", "/// As before.", "", "/// As `x`.", "fn f() {}"];
        let more = ["//! See the module.", "// The same again.", "/// Assures it."];
        let text = [&text[..], &more].concat().join("\n");
        assert_eq!(lines_of(&text), ["f:1:", "f:4:", "f:6:"]);
    }
}
