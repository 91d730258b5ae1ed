//! The arguments of a program of benchmarks.

use std::path::PathBuf;

use crate::Outcome;

/// A copy that measures one part gets this and the part's name.
pub(crate) const PART: &str = "--part";
/// A copy that gets this ends at once: the baseline of everything that starts programs.
pub const EXIT_AT_ONCE: &str = "--exit-at-once";

pub(crate) const USAGE: &str = "[--quick] [--json PATH] [--svg PATH] [row…]";

/// What a program is to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Nothing,
    Help,
    /// Measure one part, as a copy.
    Part {
        name: String,
        quick: bool,
    },
    /// Measure rows, with copies.
    Rows(Options),
}

/// Which rows are measured, and where the lines go.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    /// The file to which lines are appended.
    pub(crate) json: PathBuf,
    /// The file of the picture.
    pub(crate) svg: Option<PathBuf>,
    /// All if there are none.
    pub(crate) rows: Vec<String>,
}

impl Request {
    /// Reads arguments; `known` are the names of all rows.
    pub(crate) fn read(mut args: impl Iterator<Item = String>, known: &[&str]) -> Outcome<Self> {
        let (mut part, mut options) = (None, Options::default());
        while let Some(arg) = args.next() {
            let mut path = || args.next().ok_or_else(|| format!("{arg} needs a path"));
            match arg.as_str() {
                EXIT_AT_ONCE => return Ok(Self::Nothing),
                "-h" | "--help" => return Ok(Self::Help),
                "--quick" => options.quick = true,
                "--json" => options.json = path()?.into(),
                "--svg" => options.svg = Some(path()?.into()),
                PART => part = Some(args.next().ok_or("--part needs a name")?),
                row if known.contains(&row) => options.rows.push(arg),
                other => return Err(format!("no row or option `{other}`; see --help").into()),
            }
        }
        Ok(match part {
            Some(name) => Self::Part { name, quick: options.quick },
            None => Self::Rows(options),
        })
    }
}

impl Default for Options {
    fn default() -> Self {
        let json = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench.jsonl").into();
        Self { quick: false, json, svg: None, rows: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &str) -> Result<Request, String> {
        let args = args.split_whitespace().map(str::to_owned);
        Request::read(args, &["tiny", "start"]).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_and_files_are_taken() {
        let expected = Options {
            quick: true,
            json: "a".into(),
            svg: Some("b".into()),
            rows: vec!["start".to_owned()],
        };
        assert_eq!(read("--quick --json a start --svg b"), Ok(Request::Rows(expected)));
        assert_eq!(read(""), Ok(Request::Rows(Options::default())));
        assert_eq!(read("tiny --help"), Ok(Request::Help));
        let part = Request::Part { name: "tiny/1".to_owned(), quick: true };
        assert_eq!(read("--part tiny/1 --quick"), Ok(part));
    }

    #[test]
    fn unknown_and_cut_arguments_are_told() {
        assert_eq!(read("tiny cpu"), Err("no row or option `cpu`; see --help".to_owned()));
        assert_eq!(read("--svg"), Err("--svg needs a path".to_owned()));
        assert_eq!(read("--part"), Err("--part needs a name".to_owned()));
    }
}
