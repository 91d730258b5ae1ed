//! What the workers of a pool spend their time with, and what each of them is at.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use super::Pool;
use crate::{
    error::{Error, OrResources},
    insights::{Collection, Insights, WorkerActivity},
};

impl Pool {
    /// What the workers have spent their time with until now, from the first one on; also while
    /// calls are under way, and after their end. Empty where the pool records no insights, and in a
    /// forked child.
    #[must_use]
    pub fn insights(&self) -> Insights {
        match &self.plan.insights {
            Some(collection) if !self.is_foreign() => collection.insights(),
            _ => Insights::default(),
        }
    }

    /// What each worker is at now, and since when, in order of their ids. Empty where the pool
    /// records no insights, and in a forked child.
    #[must_use]
    pub fn worker_activity(&self) -> Vec<WorkerActivity> {
        match &self.plan.insights {
            Some(collection) if !self.is_foreign() => collection.activity(),
            _ => Vec::new(),
        }
    }

    /// Writes what each worker was at from when to when, as events for tracing tools.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where the pool records no insights, [`Error::ForeignProcess`] in a
    /// forked child, [`Error::Resources`] where the file cannot be written.
    pub fn write_trace(&self, path: &Path) -> Result<(), Error> {
        let collection = self.recorded("write_trace")?;
        write_file(path, |file| collection.write_trace(file)).or_resources("writing a trace")
    }

    /// Writes a picture of the workers, as SVG.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::write_trace`].
    pub fn write_svg(&self, path: &Path) -> Result<(), Error> {
        let collection = self.recorded("write_svg")?;
        write_file(path, |file| collection.write_svg(file)).or_resources("writing a picture")
    }

    fn recorded(&self, what: &str) -> Result<&Collection, Error> {
        self.refuse_if_foreign()?;
        self.plan.insights.as_deref().ok_or_else(|| {
            Error::InvalidInput(format!(
                "{what}: the pool records no insights; build it with enable_insights"
            ))
        })
    }
}

/// Writes a file, through a buffer.
fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write(&mut file)?;
    file.flush()
}
