//! Which file the main executable is.
//!
//! Invariant: the answer is `Origin::OwnExecutable` only if executing `/proc/self/exe` starts the
//! very file that is mapped as the main executable. A program started as `ld.so ./program` is the
//! counterexample.

use std::{
    ffi::{CStr, CString},
    fs::{self, File, Metadata},
    io::{self, BufRead, BufReader, ErrorKind},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::PathBuf,
};

/// The kernel's link to the main executable.
const EXE: &str = "/proc/self/exe";
const OWN: &CStr = c"/proc/self/exe";

/// Device (major, minor) and inode.
type FileId = ((u64, u64), u64);

/// How the main executable in memory and `/proc/self/exe` relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    OwnExecutable,
    /// Executing `/proc/self/exe` would start another program.
    Foreign,
    /// There is no `/proc`.
    Unknown,
}

/// Compares the main executable in memory, in which `symbol` is an address, with `/proc/self/exe`.
///
/// # Errors
///
/// An error that keeps this process from looking, such as too few descriptors: that says nothing
/// about the executable.
pub(crate) fn origin_of(symbol: usize) -> io::Result<Origin> {
    compare(symbol).or_else(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => Ok(Origin::Unknown),
        _ => Err(error),
    })
}

/// The path to execute for a copy of this program. Where a tool such as valgrind runs the program,
/// executing `/proc/self/exe` starts the tool, though reading the link gives the name of the
/// program: then the path is that name, provided that it leads to the very file in memory.
///
/// # Errors
///
/// An error that keeps this process from reading its mappings, where the two differ.
pub(crate) fn executable(symbol: usize) -> io::Result<CString> {
    let Some((path, named)) = differing_name() else { return Ok(OWN.into()) };
    let found = with_mapping(symbol, |mapping| (mapping.device, mapping.inode) == named)?;
    let path = (found == Some(true)).then_some(path);
    Ok(path
        .and_then(|path| CString::new(path.into_os_string().into_vec()).ok())
        .unwrap_or_else(|| OWN.into()))
}

/// The name that the link gives, with the file there, unless the link itself leads to that file.
fn differing_name() -> Option<(PathBuf, FileId)> {
    let path = fs::read_link(EXE).ok()?;
    let (linked, named) = (fs::metadata(EXE).ok()?, fs::metadata(&path).ok()?);
    let file = |file: &Metadata| (device_of(file), file.ino());
    (file(&linked) != file(&named)).then(|| (path, file(&named)))
}

fn device_of(file: &Metadata) -> (u64, u64) {
    (nix::sys::stat::major(file.dev()), nix::sys::stat::minor(file.dev()))
}

fn compare(symbol: usize) -> io::Result<Origin> {
    let (file, path) = (fs::metadata(EXE)?, fs::read_link(EXE)?);
    // The path decides as well: overlay and btrfs show other numbers here than `stat` does. Both
    // paths are the kernel's name of the same open file, even after it was renamed or deleted.
    let same = with_mapping(symbol, |mapping| {
        (mapping.device, mapping.inode) == (device_of(&file), file.ino())
            || (mapping.inode != 0 && mapping.path == path.as_os_str().as_bytes())
    })?;
    Ok(if same == Some(true) { Origin::OwnExecutable } else { Origin::Foreign })
}

/// Calls `ask` with the mapping that contains the address, if there is one.
fn with_mapping<T>(symbol: usize, ask: impl FnOnce(&Mapping<'_>) -> T) -> io::Result<Option<T>> {
    let mut maps = BufReader::new(File::open("/proc/self/maps")?);
    let mut line = Vec::new();
    while maps.read_until(b'\n', &mut line)? > 0 {
        if let Some(mapping) = Mapping::parse(&line).filter(|mapping| mapping.contains(symbol)) {
            return Ok(Some(ask(&mapping)));
        }
        line.clear();
    }
    Ok(None)
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

    fn contains(&self, addr: usize) -> bool {
        (self.start..self.end).contains(&(addr as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::image::Image;

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
        let origin = |symbol| origin_of(symbol).unwrap();
        assert_eq!(origin(Image::main().unwrap().symbol()), Origin::OwnExecutable);
        assert_eq!(executable(Image::main().unwrap().symbol()).unwrap().as_c_str(), OWN);
        let local = 0u8;
        assert_eq!(origin(&raw const local as usize), Origin::Foreign);
    }
}
