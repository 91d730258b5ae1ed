//! Does one map run in a foreign workspace, with an older edition, `panic = "abort"`, rkyv types of
//! its own, and our crates taken from beside it, from git, or from below its root?

use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::{fs, io};

use crate::cells::{BUILD, EXAMPLE};
use crate::matrix::{Matrix, Profile, Steps, Stop, Verdict};
use crate::scratch::{self, Scratch};
use crate::workspace::{FACADE, Workspace};

/// The source from which the foreign workspace takes our crates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A path dependency on a checkout beside it.
    Sibling,
    /// A git dependency.
    Git,
    /// A copy below its root that `exclude` keeps out of it.
    Nested,
}

impl Source {
    fn label(self) -> &'static str {
        match self {
            Source::Sibling => "sibling path",
            Source::Git => "git dependency",
            Source::Nested => "excluded copy",
        }
    }
}

/// Where a copy of ours lies below a foreign root.
const NESTED_COPY: &str = "third-party/pool";

/// One cell per source; the sibling also in release, where a panic aborts.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace, scratch: &Rc<Scratch>) {
    let cells = [
        (Source::Sibling, Profile::Debug),
        (Source::Sibling, Profile::Release),
        (Source::Nested, Profile::Debug),
        (Source::Git, Profile::Debug),
    ];
    for (source, profile) in cells {
        let (workspace, scratch) = (workspace.clone(), Rc::clone(scratch));
        let row = format!("foreign workspace, {}", source.label());
        matrix.add(row, profile, move |steps| run(steps, &workspace, &scratch, source, profile));
    }
}

fn run(
    steps: &Steps,
    workspace: &Workspace,
    scratch: &Scratch,
    source: Source,
    profile: Profile,
) -> Verdict {
    // Each source has its place, so that the cells can run in any order and selection.
    let place = scratch.folder().join(format!("foreign-{source:?}-{}", profile.name()));
    let root = place.join("foreign");
    let ours = match source {
        Source::Nested => root.join(NESTED_COPY),
        Source::Sibling | Source::Git => place.join("pool"),
    };
    scratch::copy_checkout(workspace.root(), &ours)?;
    let dependency = match source {
        Source::Sibling => format!("path = \"../../pool/{}\"", FACADE.name),
        Source::Nested => format!("path = \"../{NESTED_COPY}/{}\"", FACADE.name),
        Source::Git => {
            commit(steps, &ours)?;
            format!("git = \"file://{}\"", ours.display())
        }
    };
    scratch::write(&root.join("Cargo.toml"), &root_manifest(source))?;
    scratch::write(&root.join("app/Cargo.toml"), &app_manifest(&dependency))?;
    scratch::write(&root.join("app/src/main.rs"), APP)?;
    fs::copy(workspace.root().join("Cargo.lock"), root.join("Cargo.lock"))?;

    let cargo = |verb| scratch.cargo(workspace, &root, [verb].into_iter().chain(profile.flag()));
    steps.run(cargo("build"), BUILD)?;
    let output = steps.run(cargo("run"), EXAMPLE)?;
    match output.lines().last() {
        Some("ok") => Ok(()),
        _ => Err(Stop::Failed(format!("the program did not say ok:\n{output}"))),
    }
}

fn root_manifest(source: Source) -> String {
    let exclude = match source {
        Source::Nested => "exclude = [\"third-party\"]\n",
        Source::Sibling | Source::Git => "",
    };
    format!(
        "\
[workspace]
members = [\"app\"]
resolver = \"2\"
{exclude}
[profile.release]
panic = \"abort\"
"
    )
}

fn app_manifest(dependency: &str) -> String {
    format!(
        "\
[package]
name = \"app\"
version = \"0.0.0\"
edition = \"2021\"

[dependencies]
{} = {{ {dependency} }}
rkyv = \"0.8\"
",
        FACADE.name
    )
}

/// Maps numbers, a type that derives through our re-export, and one that derives by itself; then
/// one item panics.
const APP: &str = r#"
use pool_api::{Cause, Error, ExitStatus, WorkerPool};

#[derive(Debug, PartialEq)]
#[derive(pool_api::rkyv::Archive, pool_api::rkyv::Serialize, pool_api::rkyv::Deserialize)]
#[rkyv(crate = pool_api::rkyv)]
struct Point {
    x: i64,
    y: i64,
}

#[derive(Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Reading {
    place: String,
    values: Vec<u32>,
}

fn main() {
    let pool = WorkerPool::new(2).expect("a pool starts");

    let squares = pool.map(0..10u64, |x| x * x).expect("numbers cross");
    assert_eq!(squares, (0..10).map(|x| x * x).collect::<Vec<u64>>());

    let points = (0..5).map(|x| Point { x, y: -x });
    let turned = pool.map(points, |p| Point { x: p.y, y: p.x }).expect("points cross");
    assert_eq!(turned, (0..5).map(|x| Point { x: -x, y: x }).collect::<Vec<_>>());

    let readings = (0..3u32).map(|n| Reading { place: format!("place {n}"), values: vec![n; 3] });
    let sums = pool.map(readings, |r| (r.place, r.values.iter().sum::<u32>())).expect("readings cross");
    assert_eq!(sums[2], ("place 2".to_owned(), 6));

    let failed = pool.map(0..4u64, |x| if x == 1 { panic!("as it was told") } else { x });
    let Err(Error::Task(task)) = failed else { panic!("{failed:?}") };
    assert_eq!(task.index(), 1);
    match task.cause() {
        Cause::Death(ExitStatus::Signal(6)) => assert!(cfg!(panic = "abort")),
        Cause::Panic { message, .. } => assert!(cfg!(panic = "unwind") && message == "as it was told"),
        other => panic!("{other:?}"),
    }
    assert_eq!(pool.map(0..4u64, |x| x).expect("the pool goes on"), [0, 1, 2, 3]);

    println!("ok");
}
"#;

/// Makes a repository of the copy. The checkout itself may be shallow, changed, or none at all.
fn commit(steps: &Steps, folder: &Path) -> Verdict {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        let who = ["-c", "user.name=matrix", "-c", "user.email=matrix@localhost"];
        command.current_dir(folder).args(who).args(["-c", "commit.gpgsign=false"]).args(args);
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        command
    };
    if let Err(error) = git(&["--version"]).output()
        && error.kind() == io::ErrorKind::NotFound
    {
        return Err(Stop::Skipped("git is not installed".to_owned()));
    }
    steps.run(git(&["init", "--quiet"]), EXAMPLE)?;
    steps.run(git(&["add", "--all"]), EXAMPLE)?;
    steps
        .run(git(&["commit", "--quiet", "--no-verify", "--message", "Snapshot"]), EXAMPLE)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_say_where_our_crates_are() {
        assert!(root_manifest(Source::Nested).contains("exclude = [\"third-party\"]"));
        assert!(!root_manifest(Source::Git).contains("exclude"));
        let app = app_manifest("path = \"../x\"");
        assert!(app.contains("pool-api = { path = \"../x\" }\nrkyv = "), "{app}");
    }
}
