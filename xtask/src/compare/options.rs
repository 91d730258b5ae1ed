//! The arguments of a comparison.

use std::ffi::OsString;

/// What asks for a comparison.
pub(crate) const FLAG: &str = "--compare";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) revision: String,
    /// How often each part runs, in each revision.
    pub(super) rounds: usize,
    pub(super) quick: bool,
    /// All if there are none.
    rows: Vec<String>,
}

impl Options {
    /// # Errors
    ///
    /// What is wrong with the arguments.
    pub(super) fn read(args: &[OsString]) -> Result<Options, String> {
        let (mut revision, mut rounds, mut quick, mut rows) = (None, 3, false, Vec::new());
        let texts: Option<Vec<&str>> = args.iter().map(|arg| arg.to_str()).collect();
        let mut texts = texts.ok_or("an argument is not UTF-8")?.into_iter();
        while let Some(arg) = texts.next() {
            // What begins with a dash is an option, to git as well.
            let mut value = || texts.next().filter(|value| !value.starts_with('-'));
            match arg {
                FLAG if revision.is_some() => return Err(format!("{FLAG} is given twice")),
                FLAG => {
                    let name = value().ok_or_else(|| format!("{FLAG} needs a revision of git"))?;
                    revision = Some(name.to_owned());
                }
                "--rounds" => {
                    let count = value().and_then(|count| count.parse().ok());
                    rounds = count.filter(|count| *count > 0).ok_or("--rounds needs a number")?;
                }
                "--quick" => quick = true,
                flag if flag.starts_with('-') => {
                    return Err(format!("a comparison has no option {flag}"));
                }
                row => rows.push(row.to_owned()),
            }
        }
        let revision = revision.ok_or_else(|| format!("{FLAG} needs a revision of git"))?;
        Ok(Options { revision, rounds, quick, rows })
    }

    /// Whether a part is one of a row that was asked for.
    pub(super) fn wants(&self, part: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| row == row_of(part))
    }

    /// # Errors
    ///
    /// A row that was asked for has none of these parts.
    pub(super) fn check_rows(&self, parts: &[String]) -> Result<(), String> {
        for row in &self.rows {
            if !parts.iter().any(|part| row_of(part) == row) {
                let mut known: Vec<&str> = parts.iter().map(|part| row_of(part)).collect();
                known.sort_unstable();
                known.dedup();
                return Err(format!("no revision has a row `{row}`, but {}", known.join(" ")));
            }
        }
        Ok(())
    }
}

/// The row of a part, whose name may go on behind a slash.
fn row_of(part: &str) -> &str {
    part.split('/').next().unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &str) -> Result<Options, String> {
        Options::read(&args.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_revision_and_rows_are_taken() {
        let options = read("tiny --compare HEAD~3 start --quick").unwrap();
        let rows = vec!["tiny".to_owned(), "start".to_owned()];
        let expected = Options { revision: "HEAD~3".to_owned(), rounds: 3, quick: true, rows };
        assert_eq!(options, expected);
        assert!(options.wants("tiny/1") && options.wants("start") && !options.wants("tinyish"));
        let all = read("--compare main --rounds 5").unwrap();
        assert_eq!((all.rounds, all.wants("tiny/1")), (5, true));
    }

    #[test]
    fn what_is_missing_or_unknown_is_told() {
        for (args, complaint) in [
            ("--compare", "--compare needs a revision of git"),
            ("--compare --quick", "--compare needs a revision of git"),
            ("--compare a --compare b", "--compare is given twice"),
            ("--compare a --rounds", "--rounds needs a number"),
            ("--compare a --rounds 0", "--rounds needs a number"),
            ("--compare a --svg x", "a comparison has no option --svg"),
        ] {
            assert_eq!(read(args).unwrap_err(), complaint, "{args}");
        }
        let parts = ["tiny/1".to_owned(), "cpu".to_owned(), "tiny/2".to_owned()];
        assert_eq!(read("--compare a tiny").unwrap().check_rows(&parts), Ok(()));
        let unknown = read("--compare a tiny tinny").unwrap().check_rows(&parts).unwrap_err();
        assert_eq!(unknown, "no revision has a row `tinny`, but cpu tiny");
    }
}
