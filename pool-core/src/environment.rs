//! What a new process finds around it that is not its starter's: variables and the working folder.
//!
//! Invariant: what is stored here was checked, so that the system refuses none of it for its form.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use pool_ipc::wire;

use crate::error::{Error, full_text};

/// Changes to the environment, and the working folder; nothing of it is set for `default()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Each name once, but for pairs that [`check`](Self::check) refuses.
    variables: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    /// Whether there are no other variables.
    is_whole: bool,
}

wire! {
    /// An environment on its way to another process.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct EncodedEnvironment {
        variables: Vec<(Vec<u8>, Vec<u8>)>,
        folder: Option<Vec<u8>>,
        is_whole: bool,
    }
}

impl Environment {
    /// Sets a variable; a later value of the same name counts.
    pub(crate) fn set(&mut self, name: OsString, value: OsString) {
        let is_good = fault_of(&name, &value).is_none();
        let is_it = |(other, old): &&mut (OsString, OsString)| {
            *other == name && fault_of(other, old).is_none()
        };
        match self.variables.iter_mut().find(is_it) {
            Some((_, old)) if is_good => *old = value,
            _ => self.variables.push((name, value)),
        }
    }

    /// Sets the working folder; a relative path is one from the starter's.
    pub(crate) fn enter(&mut self, folder: PathBuf) {
        self.folder = Some(folder);
    }

    pub(crate) fn variables(&self) -> &[(OsString, OsString)] {
        &self.variables
    }

    /// Takes the variables out, for a process that gets them on another way.
    pub(crate) fn take_variables(&mut self) -> Vec<(OsString, OsString)> {
        std::mem::take(&mut self.variables)
    }

    /// These changes to this process's own environment and folder as they are now, for a process
    /// that has others.
    pub(crate) fn completed(&self) -> Self {
        let mut names: HashSet<_> = self.names().cloned().collect();
        // Where this process has a name twice, its first value counts.
        let is_new = |(name, _): &(OsString, OsString)| names.insert(name.clone());
        let own = std::env::vars_os().filter(|(name, _)| can_be_set(name)).filter(is_new);
        // A folder that was removed cannot be told.
        let here = std::env::current_dir().ok();
        let folder = match (here, &self.folder) {
            (Some(here), Some(folder)) => Some(here.join(folder)),
            (here, folder) => folder.clone().or(here),
        };
        let variables = own.chain(self.variables.iter().cloned()).collect();
        Self { variables, folder, is_whole: true }
    }

    /// Whether there is a folder to enter.
    pub(crate) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Refuses names, values and folders that no process could have.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] that names the option and what it got.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, value) in &self.variables {
            if let Some(fault) = fault_of(name, value) {
                return refuse(format!("env: {fault}, in {name:?} with the value {value:?}"));
            }
        }
        let Some(folder) = &self.folder else { return Ok(()) };
        if folder.as_os_str().as_bytes().contains(&0) {
            return refuse(format!("current_dir: a NUL, in {folder:?}"));
        }
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => refuse(format!("current_dir: {folder:?} is no directory")),
            Err(error) => refuse(format!("current_dir: {folder:?}: {}", full_text(&error))),
        }
    }

    /// Sets the variables of this process.
    ///
    /// # Safety
    ///
    /// No other thread of this process reads or writes the environment meanwhile, but by std.
    pub(crate) unsafe fn set_variables(&self) {
        if self.is_whole {
            let names: HashSet<_> = self.names().collect();
            for (name, _) in std::env::vars_os() {
                if can_be_set(&name) && !names.contains(&name) {
                    // SAFETY: promised by the caller.
                    unsafe { std::env::remove_var(name) };
                }
            }
        }
        for (name, value) in &self.variables {
            if std::env::var_os(name).as_ref() != Some(value) {
                // SAFETY: promised by the caller.
                unsafe { std::env::set_var(name, value) };
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &OsString> {
        self.variables.iter().map(|(name, _)| name)
    }

    /// Enters the folder.
    ///
    /// # Errors
    ///
    /// That of `chdir`.
    pub(crate) fn enter_folder(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        // The process may be there already, and perhaps could not enter it once more.
        let is_there = self.is_whole && std::env::current_dir().is_ok_and(|here| here == *folder);
        if is_there { Ok(()) } else { std::env::set_current_dir(folder) }
    }

    pub(crate) fn encoded(&self) -> EncodedEnvironment {
        let bytes = |text: &OsStr| text.as_bytes().to_vec();
        let pair = |(name, value): &(OsString, OsString)| (bytes(name), bytes(value));
        EncodedEnvironment {
            variables: self.variables.iter().map(pair).collect(),
            folder: self.folder.as_ref().map(|folder| bytes(folder.as_os_str())),
            is_whole: self.is_whole,
        }
    }
}

impl From<EncodedEnvironment> for Environment {
    fn from(encoded: EncodedEnvironment) -> Self {
        let text = OsString::from_vec;
        let pairs = encoded.variables.into_iter();
        Self {
            variables: pairs.map(|(name, value)| (text(name), text(value))).collect(),
            folder: encoded.folder.map(|folder| text(folder).into()),
            is_whole: encoded.is_whole,
        }
    }
}

/// Why no process could have this variable.
fn fault_of(name: &OsStr, value: &OsStr) -> Option<&'static str> {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        Some("an empty name")
    } else if bytes.contains(&b'=') {
        Some("`=` in the name")
    } else if bytes.contains(&0) || value.as_bytes().contains(&0) {
        Some("a NUL")
    } else {
        None
    }
}

/// Whether std can set and remove a variable of this name, which a program may have been given.
fn can_be_set(name: &OsStr) -> bool {
    !name.is_empty() && !name.as_bytes().contains(&b'=')
}

fn refuse(text: String) -> Result<(), Error> {
    Err(Error::InvalidInput(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Environment {
        let mut environment = Environment::default();
        environment.set(name.into(), value.into());
        environment
    }

    #[test]
    fn what_no_process_could_have_is_refused_by_name() {
        for (environment, words) in [
            (with("", "x"), ["env", "empty"]),
            (with("A=B", "x"), ["env", "A=B"]),
            (with("A\0", "x"), ["env", "NUL"]),
            (with("A", "\0x"), ["env", "NUL"]),
        ] {
            let text = environment.check().unwrap_err().to_string();
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
        with("A", "").check().unwrap();
        for folder in ["/nowhere/at/all", "/dev/null", "a\0b", ""] {
            let mut environment = Environment::default();
            environment.enter(folder.into());
            let text = environment.check().unwrap_err().to_string();
            assert!(text.starts_with("current_dir: "), "{text}");
        }
    }

    #[test]
    fn the_last_value_of_a_name_counts_unless_one_is_refused() {
        let mut environment = with("A", "1");
        environment.set("B".into(), "2".into());
        environment.set("A".into(), "3".into());
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        assert_eq!(environment.variables(), [pair("A", "3"), pair("B", "2")]);
        environment.check().unwrap();
        for (first, second) in [("\0", "1"), ("1", "\0")] {
            let mut environment = with("A", first);
            environment.set("A".into(), second.into());
            environment.set("A".into(), "2".into());
            environment.check().unwrap_err();
        }
    }

    #[test]
    fn a_completed_one_has_what_is_here_and_the_changes() {
        let mut changes = with("HOME", "elsewhere");
        changes.enter("below".into());
        let whole = changes.completed();
        assert!(whole.is_whole && whole.variables.len() > 1);
        assert_eq!(whole.variables.last(), changes.variables.last());
        assert_eq!(whole.folder, Some(std::env::current_dir().unwrap().join("below")));
        let homes = whole.variables.iter().filter(|(name, _)| name == "HOME");
        assert_eq!(homes.count(), 1);
        let same = Environment::default().completed();
        assert_eq!(same.folder, Some(std::env::current_dir().unwrap()));
        assert!(same.variables.iter().all(|(_, value)| value != "elsewhere"));
    }

    #[test]
    fn it_survives_its_encoding() {
        let mut environment = with("A", "1");
        environment.set("B".into(), OsString::from_vec(vec![200, 7]));
        environment.enter("/tmp".into());
        let bytes = pool_ipc::to_bytes(&environment.encoded()).unwrap();
        let encoded: EncodedEnvironment = pool_ipc::from_bytes(&bytes).unwrap();
        assert_eq!(Environment::from(encoded), environment);
    }
}
