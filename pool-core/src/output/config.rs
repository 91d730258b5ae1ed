//! What a zygote and its workers are told of their output, and the descriptors that come with it.
//!
//! Invariant: the descriptors are those that the configuration names, in its order: the socket if a
//! stream is captured, then the file of each stream that leads to one.

use std::os::fd::OwnedFd;

/// Where a stream of a worker leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Target {
    /// To where that of the program leads.
    #[default]
    Inherited,
    /// Into a file.
    File,
    /// Into a pipe that the parent reads.
    Piped,
}

/// Where the streams of workers lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OutputConfig {
    /// Of standard output, and of standard error.
    pub(crate) targets: [Target; 2],
}

/// The descriptors of a worker's output.
#[derive(Debug, Default)]
pub(crate) struct OutputFds {
    /// Where workers send the reading ends of their pipes.
    pub(crate) socket: Option<OwnedFd>,
    pub(crate) files: [Option<OwnedFd>; 2],
}

impl OutputConfig {
    pub(crate) fn to_word(self) -> u64 {
        self.targets.iter().fold(0, |word, target| word << 8 | *target as u64)
    }

    pub(crate) fn from_word(word: u64) -> Self {
        let target = |byte: u64| match byte & 0xFF {
            1 => Target::File,
            2 => Target::Piped,
            _ => Target::Inherited,
        };
        Self { targets: [target(word >> 8), target(word)] }
    }

    /// Whether any stream is captured.
    pub(crate) fn captures(self) -> bool {
        self.targets.contains(&Target::Piped)
    }

    /// How many descriptors belong to it.
    pub(crate) fn descriptors(self) -> usize {
        let files = self.targets.iter().filter(|target| **target == Target::File).count();
        usize::from(self.captures()) + files
    }

    /// Sorts the descriptors.
    pub(crate) fn sort(self, fds: impl IntoIterator<Item = OwnedFd>) -> OutputFds {
        let mut fds = fds.into_iter();
        let socket = if self.captures() { fds.next() } else { None };
        let file = |target| if target == Target::File { fds.next() } else { None };
        OutputFds { socket, files: self.targets.map(file) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_its_word() {
        let all = [Target::Inherited, Target::File, Target::Piped];
        for targets in all.iter().flat_map(|one| all.iter().map(move |two| [*one, *two])) {
            let config = OutputConfig { targets };
            assert_eq!(OutputConfig::from_word(config.to_word()), config);
        }
    }
}
