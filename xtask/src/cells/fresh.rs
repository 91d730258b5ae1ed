//! Does a fresh program work that depends on one crate only and is that crate's README example?
//! And does the crate bring along no more than it promised?
//!
//! The README of `pool-api` is that of the whole project.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use crate::cells::{BUILD, EXAMPLE};
use crate::matrix::{Matrix, Profile, Steps, Stop, Verdict};
use crate::scratch::{self, Scratch};
use crate::workspace::{LAYERS, Layer, Workspace};
use crate::{readme, tree};

/// One cell per crate.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace, scratch: &Rc<Scratch>) {
    for layer in LAYERS {
        let (workspace, scratch) = (workspace.clone(), Rc::clone(scratch));
        matrix.add(format!("{} in a fresh program", layer.name), Profile::Debug, move |steps| {
            let folder = scratch.folder().join(format!("fresh-{}", layer.name));
            run(steps, &workspace, &scratch, layer, &folder)
        });
    }
}

fn run(
    steps: &Steps,
    workspace: &Workspace,
    scratch: &Scratch,
    layer: Layer,
    folder: &Path,
) -> Verdict {
    let file = Path::new(layer.name).join("README.md");
    let markdown = fs::read_to_string(workspace.root().join(&file))
        .map_err(|error| Stop::Failed(format!("{}: {error}", file.display())))?;
    let example = readme::first_example(&markdown)
        .ok_or_else(|| Stop::Failed(format!("{} has no block of Rust", file.display())))?;
    scratch::write(&folder.join("Cargo.toml"), &manifest(workspace, layer))?;
    scratch::write(&folder.join("src/main.rs"), &readme::program(&example.code))?;
    // The same versions as here, so that the count does not change from day to day.
    fs::copy(workspace.root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let cargo = |args: &[&str]| scratch.cargo(workspace, folder, args);
    steps.run(cargo(&["build"]), BUILD)?;
    if example.runs {
        steps.run(cargo(&["run", "--quiet"]), EXAMPLE)?;
    }
    let listing =
        steps.run(cargo(&["tree", "--quiet", "-e", "normal", "--prefix", "none"]), BUILD)?;
    let count = tree::check(&listing, layer).map_err(Stop::Failed)?;
    println!("   {count} third-party crates, the limit is {}", layer.third_party_limit);
    Ok(())
}

fn manifest(workspace: &Workspace, layer: Layer) -> String {
    format!(
        "\
[package]
name = \"fresh\"
version = \"0.0.0\"
edition = \"2024\"

[dependencies]
{} = {{ path = {:?} }}

# This program belongs to no workspace.
[workspace]
",
        layer.name,
        workspace.root().join(layer.name)
    )
}
