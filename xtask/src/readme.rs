//! The first example of a README, as a program.
//!
//! Treats the text as rustdoc does: hidden lines, a `main` around code that has none, and the
//! `Ok::<…>(())` at the end of code that uses `?`.

/// A block of Rust from a README.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    /// The code, hidden lines included.
    pub(crate) code: String,
    /// False for a block marked `no_run`.
    pub(crate) runs: bool,
}

/// The first block marked `rust` that is meant to compile.
pub(crate) fn first_example(markdown: &str) -> Option<Example> {
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let body = lines.by_ref().take_while(|line| line.trim() != "```");
        let body: Vec<&str> = body.map(unhide).collect();
        let mut words = info.split([',', ' ']).map(str::trim);
        let is_rust = words.next() == Some("rust");
        let marks: Vec<&str> = words.collect();
        if is_rust && !marks.contains(&"ignore") && !marks.contains(&"compile_fail") {
            let code = body.join("\n") + "\n";
            return Some(Example { code, runs: !marks.contains(&"no_run") });
        }
    }
    None
}

/// Takes rustdoc's mark for a hidden line away.
fn unhide(line: &str) -> &str {
    let text = line.trim_start();
    if text == "#" {
        ""
    } else if let Some(hidden) = text.strip_prefix("# ") {
        hidden
    } else if text.starts_with("##") {
        &text[1..]
    } else {
        line
    }
}

/// The code of an example as the whole of a `main.rs`.
pub(crate) fn program(code: &str) -> String {
    if code.lines().any(|line| line.trim_start().starts_with("fn main(")) {
        return code.to_owned();
    }
    let (attributes, body): (Vec<&str>, Vec<&str>) =
        code.lines().partition(|line| line.starts_with("#!["));
    let last = body.iter().rev().find(|line| !line.trim().is_empty()).copied().unwrap_or("");
    let (open, close) = if last.contains("Ok::<") && last.trim_end().ends_with("(())") {
        (
            "fn main() {\nfn example() -> Result<(), impl std::fmt::Debug> {",
            "}\nexample().expect(\"the example returns Ok\")\n}",
        )
    } else if body.iter().any(|line| uses_question_mark(line)) {
        ("fn main() -> Result<(), Box<dyn std::error::Error>> {", "Ok(())\n}")
    } else {
        ("fn main() {", "}")
    };
    let mut program = attributes;
    program.push(open);
    program.extend(body);
    program.push(close);
    program.join("\n") + "\n"
}

/// Whether code propagates an error; a question mark in a comment does not count.
fn uses_question_mark(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or("");
    ["?;", "?.", "?)", "?,"].iter().any(|mark| code.contains(mark))
        || code.trim_end().ends_with('?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rust_block_that_compiles_is_taken() {
        let readme = "\
# Title

```toml
a = 1
```
```rust,compile_fail
no();
```
Text.
```rust
# use std::fs;
##[derive(Debug)]
let x = 1;
#
let y = 2;
```
```rust
later();
```
";
        let example = first_example(readme).unwrap();
        assert_eq!(example.code, "use std::fs;\n#[derive(Debug)]\nlet x = 1;\n\nlet y = 2;\n");
        assert!(example.runs);
    }

    #[test]
    fn marks_are_understood() {
        assert_eq!(first_example("```rust,ignore\nx\n```\n"), None);
        assert_eq!(first_example("```text\nx\n```\n```\ny\n```\n"), None);
        assert!(!first_example("```rust,no_run\nx();\n```\n").unwrap().runs);
    }

    #[test]
    fn code_without_a_main_gets_one() {
        assert_eq!(
            program("#![allow(unused)]\nf();\n"),
            "#![allow(unused)]\nfn main() {\nf();\n}\n"
        );
        assert_eq!(program("fn main() {}\n"), "fn main() {}\n");
        let fallible = program("f()?;\n");
        assert!(fallible.starts_with("fn main() -> Result<"), "{fallible}");
        assert!(fallible.ends_with("Ok(())\n}\n"), "{fallible}");
        assert!(program("f(); // really?\n").starts_with("fn main() {\n"));
        let typed = program("f()?;\nOk::<(), Error>(())\n");
        assert!(typed.contains("fn example() -> Result<(), impl std::fmt::Debug>"), "{typed}");
    }
}
