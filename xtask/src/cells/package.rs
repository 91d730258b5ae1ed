//! Can every crate be packaged, and do the packages build from what they contain?

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::{fs, io};

use crate::cells::{BUILD, EXAMPLE};
use crate::matrix::{Matrix, Profile, Steps, Stop, Verdict};
use crate::scratch::{self, Scratch};
use crate::workspace::{LAYERS, Workspace};

/// One cell for the whole workspace; the packages depend on each other.
///
/// They are unpacked and built here and not by `cargo package`, which keeps the sources of a
/// package that it has unpacked once, by name and version: the second run would build the sources
/// of the first.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace, scratch: &Rc<Scratch>) {
    let (workspace, scratch) = (workspace.clone(), Rc::clone(scratch));
    matrix.add("packages", Profile::Debug, move |steps| run(steps, &workspace, &scratch));
}

fn run(steps: &Steps, workspace: &Workspace, scratch: &Scratch) -> Verdict {
    let packed = workspace.target().join("package");
    for old in archives(&packed)? {
        fs::remove_file(packed.join(old))?;
    }
    let args = ["package", "--workspace", "--allow-dirty", "--no-verify"];
    steps.run(workspace.cargo(args), BUILD)?;

    let folder = scratch.folder().join("packages");
    fs::create_dir_all(&folder)?;
    let archives = archives(&packed)?;
    let mut members = Vec::new();
    for layer in LAYERS {
        let archive = archive_of(layer.name, &archives)
            .ok_or_else(|| Stop::Failed(format!("there is no package of {}", layer.name)))?;
        unpack(steps, &packed.join(archive), &folder)?;
        members.push((layer.name, archive.trim_end_matches(SUFFIX)));
    }
    if let Some(path) = stray_file(&folder)? {
        return Err(Stop::Failed(format!("{} belongs in no package", path.display())));
    }
    scratch::write(&folder.join("Cargo.toml"), &manifest(&members))?;
    fs::copy(workspace.root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let build = scratch.cargo(workspace, &folder, ["build", "--workspace"]);
    steps.run(build, BUILD).map(drop)
}

const SUFFIX: &str = ".crate";

/// The extensions of files in packages; what has none there is a licence.
const EXTENSIONS: &[&str] = &["rs", "md", "toml", "orig", "lock", "json", "css", "html", "js"];

/// A file below `folder` that a tool has left in a crate, if there is one.
fn stray_file(folder: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_known = match path.extension() {
            Some(extension) => EXTENSIONS.iter().any(|known| extension == *known),
            None => {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("LICENSE-"))
            }
        };
        if path.is_dir() {
            if let Some(stray) = stray_file(&path)? {
                return Ok(Some(stray));
            }
        } else if !is_known {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The names of the packages in a folder that need not be there.
fn archives(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.filter(|name| name.as_ref().map_or(true, |name| name.ends_with(SUFFIX))).collect()
}

fn archive_of<'a>(name: &str, archives: &'a [String]) -> Option<&'a str> {
    let has_version = |rest: &str| rest.starts_with(|letter: char| letter.is_ascii_digit());
    let is_its_own = |archive: &&String| {
        let rest = archive.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(has_version)
    };
    archives.iter().find(is_its_own).map(String::as_str)
}

fn unpack(steps: &Steps, archive: &Path, folder: &Path) -> Verdict {
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).current_dir(folder);
    if let Err(error) = Command::new("tar").arg("--version").output()
        && error.kind() == io::ErrorKind::NotFound
    {
        return Err(Stop::Skipped("tar is not installed".to_owned()));
    }
    steps.run(tar, EXAMPLE).map(drop)
}

/// A workspace of unpacked packages that takes each of them instead of a published one.
fn manifest(members: &[(&str, &str)]) -> String {
    let folders: Vec<_> = members.iter().map(|(_, folder)| folder).collect();
    let mut text =
        format!("[workspace]\nmembers = {folders:?}\nresolver = \"3\"\n\n[patch.crates-io]\n");
    for (name, folder) in members {
        text += &format!("{name} = {{ path = {folder:?} }}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_its_name() {
        let archives = ["pool-api-0.1.0.crate", "pool-0.2.0.crate"].map(str::to_owned);
        assert_eq!(archive_of("pool", &archives), Some("pool-0.2.0.crate"));
        assert_eq!(archive_of("pool-api", &archives), Some("pool-api-0.1.0.crate"));
        assert_eq!(archive_of("api", &archives), None);
    }

    #[test]
    fn what_a_tool_has_left_is_found() {
        let folder = std::env::temp_dir().join(format!("xtask-stray-{}", std::process::id()));
        fs::create_dir_all(folder.join("src")).unwrap();
        for name in ["Cargo.toml", "LICENSE-MIT", "src/lib.rs"] {
            fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(stray_file(&folder).unwrap(), None);
        let stray = folder.join("src/default_1.profraw");
        fs::write(&stray, "").unwrap();
        assert_eq!(stray_file(&folder).unwrap(), Some(stray));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_package_takes_the_others_from_beside_it() {
        let text = manifest(&[("a", "a-0.1.0"), ("b", "b-0.1.0")]);
        assert!(text.contains("members = [\"a-0.1.0\", \"b-0.1.0\"]"), "{text}");
        assert!(text.ends_with("a = { path = \"a-0.1.0\" }\nb = { path = \"b-0.1.0\" }\n"));
    }
}
