//! Which file the main executable is.
//!
//! Invariant: `Origin::OwnExecutable` is said only if executing `/proc/self/exe` starts the very file that is
//! mapped as the main executable. A program started as `ld.so ./program` is the counterexample.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
};

/// How the main executable in memory and `/proc/self/exe` relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    OwnExecutable,
    /// Executing `/proc/self/exe` would start another program.
    Foreign,
    /// There is no `/proc` to look at.
    Unknown,
}

/// `landmark` is an address in the main executable.
pub(super) fn origin_of(landmark: usize) -> Origin {
    compare(landmark).unwrap_or(Origin::Unknown)
}

fn compare(landmark: usize) -> Option<Origin> {
    let (file, path) =
        (fs::metadata("/proc/self/exe").ok()?, fs::read_link("/proc/self/exe").ok()?);
    let mut maps = BufReader::new(File::open("/proc/self/maps").ok()?);
    let mut line = Vec::new();
    while maps.read_until(b'\n', &mut line).ok()? > 0 {
        if let Some(mapping) = Mapping::parse(&line).filter(|mapping| mapping.holds(landmark)) {
            let device = (nix::sys::stat::major(file.dev()), nix::sys::stat::minor(file.dev()));
            // The path decides as well: overlay and btrfs show other numbers here than `stat` does. Both paths
            // are what the kernel calls the same open file, even after it was renamed or deleted.
            let same = (mapping.device, mapping.inode) == (device, file.ino())
                || (mapping.inode != 0 && mapping.path == path.as_os_str().as_bytes());
            return Some(if same { Origin::OwnExecutable } else { Origin::Foreign });
        }
        line.clear();
    }
    Some(Origin::Foreign)
}

/// One line of `/proc/self/maps`: `start-end permissions offset major:minor inode path`.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    start: u64,
    end: u64,
    device: (u64, u64),
    inode: u64,
    path: &'a [u8],
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.trim_ascii_end().splitn(6, |byte| *byte == b' ');
        let mut field = || std::str::from_utf8(fields.next()?).ok();
        let (start, end) = field()?.split_once('-')?;
        let (_permissions, _offset) = (field()?, field()?);
        let (major, minor) = field()?.split_once(':')?;
        let inode = field()?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            start: hex(start)?,
            end: hex(end)?,
            device: (hex(major)?, hex(minor)?),
            inode: inode.parse().ok()?,
            path: fields.next().unwrap_or_default().trim_ascii_start(),
        })
    }

    fn holds(&self, addr: usize) -> bool {
        (self.start..self.end).contains(&(addr as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::birth::image::Image;

    #[test]
    fn a_line_is_taken_apart() {
        let line = b"55d0-55e1 r-xp 0001c000 fe:10 14680137                   /opt/a b/prog\n";
        let expected = Mapping {
            start: 0x55d0,
            end: 0x55e1,
            device: (0xfe, 0x10),
            inode: 14_680_137,
            path: b"/opt/a b/prog",
        };
        assert_eq!(Mapping::parse(line), Some(expected));
        assert_eq!(Mapping::parse(b"10-20 rw-p 0 00:00 0 \n").unwrap().path, b"");
        assert_eq!(Mapping::parse(b"nonsense"), None);
    }

    #[test]
    fn this_test_program_is_its_own_executable() {
        assert_eq!(origin_of(Image::main().unwrap().landmark()), Origin::OwnExecutable);
        let local = 0u8;
        assert_eq!(origin_of(&raw const local as usize), Origin::Foreign);
    }
}
