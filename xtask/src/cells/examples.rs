//! Do the examples of each crate run to their end?

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::cells::{BUILD, EXAMPLE};
use crate::demo;
use crate::matrix::{Matrix, Profile, Steps, Stop, Verdict};
use crate::workspace::{LAYERS, Workspace};

/// One cell per crate, with all of its examples.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace) {
    for layer in LAYERS {
        let workspace = workspace.clone();
        matrix.add(format!("{} examples", layer.name), Profile::Debug, move |steps| {
            let examples = workspace.targets(layer.name, "examples")?;
            if examples.is_empty() {
                return Err(Stop::Failed(format!("{} has no example", layer.name)));
            }
            steps.run(workspace.cargo_for_all("build", ["--examples"]), BUILD)?;
            for example in examples {
                // `cargo run` takes one package, and would build it with other features.
                let path = workspace.target().join("debug/examples").join(&example);
                let mut run = Command::new(path);
                run.current_dir(workspace.root());
                if example == demo::EXAMPLE {
                    notices_differences(steps, Command::new(run.get_program()), &workspace)?;
                    run.args(demo::small_input(&workspace));
                }
                steps.run(run, EXAMPLE)?;
            }
            Ok(())
        });
    }
}

/// The demo over one file that changes all the time: no two of its passes have the same result.
fn notices_differences(steps: &Steps, mut demo: Command, workspace: &Workspace) -> Verdict {
    let folder = workspace.target().join("changing");
    fs::create_dir_all(&folder)?;
    let file = File::create(folder.join("changing.rs"))?;
    demo.arg(&folder);
    let is_over = AtomicBool::new(false);
    let verdict = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0u64.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                file.write_all_at(format!("// {number:020}").as_bytes(), 0)?;
                thread::sleep(Duration::from_millis(1));
            }
            Ok::<(), std::io::Error>(())
        });
        let verdict = steps.run(demo, EXAMPLE);
        is_over.store(true, Ordering::Relaxed);
        writer.join().expect("it only writes")?;
        verdict
    });
    fs::remove_dir_all(&folder)?;
    match verdict {
        Err(Stop::Failed(text))
            if text.starts_with("exit status: 1\n") && text.contains("the results differ") =>
        {
            Ok(())
        }
        Err(stop) => Err(stop),
        Ok(output) => Err(Stop::Failed(format!("the demo saw no difference:\n{output}"))),
    }
}
