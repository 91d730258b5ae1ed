//! A program in a terminal, and what its screen shows.

use std::{
    ffi::{CStr, c_char},
    fs::File,
    io::Read,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::{Command, ExitStatus, Stdio},
};

/// The columns of the terminal.
pub(crate) const COLUMNS: usize = 80;

// SAFETY: as in libc's headers for Linux.
unsafe extern "C" {
    safe fn posix_openpt(flags: i32) -> i32;
    safe fn grantpt(fd: i32) -> i32;
    safe fn unlockpt(fd: i32) -> i32;
    fn ptsname_r(fd: i32, name: *mut c_char, len: usize) -> i32;
    fn ioctl(fd: i32, request: u64, ...) -> i32;
}

/// A terminal: its own side, and the side of programs.
fn terminal() -> (File, File) {
    const O_RDWR_NOCTTY_CLOEXEC: i32 = 0o2 | 0o400 | 0o2_000_000;
    const TIOCSWINSZ: u64 = 0x5414;
    let fd = posix_openpt(O_RDWR_NOCTTY_CLOEXEC);
    assert!(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0, "no terminal");
    // SAFETY: just made.
    let own = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut name = [0; 128];
    // SAFETY: the length is that of the buffer.
    assert_eq!(unsafe { ptsname_r(fd, name.as_mut_ptr(), name.len()) }, 0);
    let size: [u16; 4] = [50, COLUMNS as u16, 0, 0];
    // SAFETY: the request reads a `struct winsize`, which is four `unsigned short`.
    assert_eq!(unsafe { ioctl(own.as_raw_fd(), TIOCSWINSZ, &raw const size) }, 0);
    // SAFETY: the name ends with a NUL, as the call succeeded.
    let path = unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().expect("a path");
    let theirs = File::options().read(true).write(true).open(path).expect("it is there");
    (File::from(own), theirs)
}

/// Runs the program with its output and error in a terminal; what it has written there, and how it
/// has ended.
pub(crate) fn run(program: &mut Command) -> (Vec<u8>, ExitStatus) {
    let (mut own, theirs) = terminal();
    let streams = [theirs.try_clone().expect("a descriptor"), theirs].map(Stdio::from);
    let [out, err] = streams;
    let started = program.stdin(Stdio::null()).stdout(out).stderr(err).env("TERM", "xterm").spawn();
    // The command keeps its side of the terminal open.
    program.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = started.expect("it starts");
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    // It ends with an error once all of the program's processes have closed their side.
    while let Ok(count @ 1..) = own.read(&mut part) {
        all.extend_from_slice(&part[..count]);
    }
    (all, child.wait().expect("it is a child"))
}

/// The rows of a screen of any height.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    rows: Vec<Vec<char>>,
    at: (usize, usize),
}

impl Screen {
    /// What is there after this was written.
    pub(crate) fn of(written: &str) -> Self {
        let mut screen = Self::default();
        let mut rest = written.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\x1b' => {
                    assert_eq!(rest.next(), Some('['), "another escape code");
                    let mut number = String::new();
                    while let Some(c) =
                        rest.next_if(|c| c.is_ascii_digit() || *c == ';' || *c == '?')
                    {
                        number.push(c);
                    }
                    screen.control(rest.next().expect("a letter"), &number);
                }
                '\n' => screen.at.0 += 1,
                '\r' => screen.at.1 = 0,
                c => screen.put(c),
            }
        }
        screen
    }

    fn put(&mut self, c: char) {
        if self.at.1 == COLUMNS {
            self.at = (self.at.0 + 1, 0);
        }
        let (row, column) = self.at;
        self.rows.resize_with(self.rows.len().max(row + 1), Vec::new);
        let row = &mut self.rows[row];
        row.resize(row.len().max(column + 1), ' ');
        row[column] = c;
        self.at.1 += 1;
    }

    fn control(&mut self, letter: char, number: &str) {
        let count = number.parse().unwrap_or(1);
        match letter {
            'A' => self.at.0 = self.at.0.saturating_sub(count),
            'B' => self.at.0 += count,
            'C' => self.at.1 += count,
            'D' => self.at.1 = self.at.1.saturating_sub(count),
            'K' => {
                if let Some(row) = self.rows.get_mut(self.at.0) {
                    row.truncate(if number == "2" { 0 } else { self.at.1 });
                }
            }
            'J' => self.rows.truncate(self.at.0),
            'm' | 'h' | 'l' => {}
            letter => panic!("the escape code {number}{letter} is not known here"),
        }
    }

    /// The rows that are not empty.
    pub(crate) fn rows(&self) -> Vec<String> {
        let rows =
            self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_string());
        rows.filter(|row| !row.is_empty()).collect()
    }
}
