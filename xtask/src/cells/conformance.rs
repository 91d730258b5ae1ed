//! Does a start method keep the promises that all of them make?
//!
//! The suite is the harness-less integration test `conformance` of the facade. It takes
//! `--method` and closes with a line in libtest's form.

use crate::cells::{BUILD, TESTS};
use crate::matrix::{Matrix, Profile, Stop};
use crate::workspace::{CONFORMANCE, FACADE, Workspace};

/// One cell per start method.
pub(crate) fn add(
    matrix: &mut Matrix,
    workspace: &Workspace,
    profile: Profile,
    methods: &[&'static str],
) {
    for &method in methods {
        let workspace = workspace.clone();
        matrix.add_for(Some(method), format!("{CONFORMANCE} {method}"), profile, move |steps| {
            let targets = workspace.targets(FACADE.name, "tests")?;
            if !targets.iter().any(|target| target == CONFORMANCE) {
                let complaint = format!("{} has no test target `{CONFORMANCE}`", FACADE.name);
                return Err(Stop::Failed(complaint));
            }
            let args = profile.test_flags().iter().copied().chain(["--test", CONFORMANCE]);
            let build = args.clone().chain(["--no-run"]);
            steps.run(workspace.cargo_for_all("test", build), BUILD)?;
            let run = args.chain(["--", "--method", method]);
            let output = steps.run(workspace.cargo_for_all("test", run), TESTS)?;
            match passed(&output) {
                0 => Err(Stop::Failed(format!("it ran no test:\n{output}"))),
                _ => Ok(()),
            }
        });
    }
}

/// Sums up libtest's closing lines.
pub(crate) fn passed(output: &str) -> usize {
    output
        .lines()
        .filter_map(|line| {
            let counts = line.strip_prefix("test result:")?;
            let before = counts.split(" passed").next()?;
            before.rsplit(' ').next()?.parse::<usize>().ok()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn closing_lines_are_summed_up() {
        let output = "\
running 3 tests
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
noise 7 passed
test result: ok. 12 passed; 0 failed
";
        assert_eq!(passed(output), 15);
        assert_eq!(passed("test result: ok. 0 passed; 0 failed"), 0);
        assert_eq!(passed("nothing"), 0);
    }
}
