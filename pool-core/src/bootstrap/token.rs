//! What a copy is told, and what proves that it is a copy.
//!
//! Invariant: only a process that was started with both the variable in its environment and the
//! sealed memory of the same nonce among its descriptors can read a record. The variable alone,
//! inherited or forged, opens nothing. The variable names the one static of this library in the
//! executable, since a program may have two versions of this crate, and each must leave the other's
//! token alone.

use std::{
    ffi::CStr,
    fs::File,
    hash::BuildHasher,
    io::{self, Write},
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
    unistd::Pid,
};

/// The name of the variable, for all versions of this crate: the first field of the value is the
/// version.
pub(crate) const VARIABLE: &CStr = c"POOL_CORE_TOKEN";
const VERSION: &str = "1";
const MAGIC: u64 = u64::from_ne_bytes(*b"poolbrth");

/// The value of the variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandshakeToken {
    /// The offset in the image of the static that marks the addressed version of this crate.
    pub(crate) symbol_offset: u64,
    /// The number of the descriptor of the sealed record.
    pub(crate) record: RawFd,
    pub(crate) nonce: u64,
}

impl HandshakeToken {
    pub(crate) fn to_text(self) -> String {
        let Self { symbol_offset, record, nonce } = self;
        format!("{VERSION}:{symbol_offset:x}:{record}:{nonce:x}")
    }

    /// `None` for the token of another version, or no token at all.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        (fields.next()? == VERSION).then_some(())?;
        let symbol_offset = u64::from_str_radix(fields.next()?, 16).ok()?;
        let record = fields.next()?.parse().ok()?;
        let nonce = u64::from_str_radix(fields.next()?, 16).ok()?;
        fields.next().is_none().then_some(Self { symbol_offset, record, nonce })
    }
}

/// A number that no other start uses, so that a token kept by accident matches no other record.
pub(crate) fn fresh_nonce() -> u64 {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // The process id and the time go in, too, since a forked process repeats its parent's random
    // keys.
    std::hash::RandomState::new().hash_one((std::process::id(), now))
}

/// The content of the sealed memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) nonce: u64,
    /// The build that the starter runs.
    pub(crate) identity: u64,
    /// The process that started the copy.
    pub(crate) starter: Pid,
    /// Whether descriptors above the given ones were closed before the copy began.
    pub(crate) closed: bool,
    /// How many descriptors were given, from 3 on.
    pub(crate) descriptors: u32,
    pub(crate) role: u64,
    pub(crate) words: Vec<u64>,
}

impl Record {
    /// Makes memory that holds this record and that no process can change any more.
    pub(crate) fn seal(&self) -> io::Result<OwnedFd> {
        let fd = sealable()?;
        let mut file = File::from(fd);
        file.write_all(self.to_words().map(u64::to_ne_bytes).collect::<Vec<_>>().as_flattened())?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals()))?;
        Ok(file.into())
    }

    /// Reads the record in `fd`, if `fd` is sealed memory and holds one.
    pub(crate) fn read(fd: BorrowedFd<'_>) -> Option<Self> {
        let present = SealFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GET_SEALS).ok()?);
        if !present.contains(seals()) {
            return None;
        }
        let len = usize::try_from(nix::sys::stat::fstat(fd).ok()?.st_size).ok()?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        // By `pread`, since other processes that have this memory open share the position.
        while filled < len {
            match nix::sys::uio::pread(fd, &mut bytes[filled..], filled as libc::off_t) {
                Ok(0) => return None,
                Ok(read) => filled += read,
                Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
        let (words, rest) = bytes.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        rest.is_empty().then(|| Self::from_words(&words))?
    }

    fn to_words(&self) -> impl Iterator<Item = u64> {
        let head = [
            MAGIC,
            self.nonce,
            self.identity,
            self.starter.as_raw() as u64,
            self.closed.into(),
            self.descriptors.into(),
            self.role,
        ];
        head.into_iter().chain(self.words.iter().copied())
    }

    fn from_words(words: &[u64]) -> Option<Self> {
        let ([magic, nonce, identity, starter, closed, descriptors, role], words) =
            words.split_first_chunk()?;
        Some(Self {
            nonce: (*magic == MAGIC).then_some(*nonce)?,
            identity: *identity,
            starter: Pid::from_raw(i32::try_from(*starter).ok()?),
            closed: *closed != 0,
            descriptors: u32::try_from(*descriptors).ok()?,
            role: *role,
            words: words.to_vec(),
        })
    }
}

fn seals() -> SealFlag {
    SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL
}

fn sealable() -> io::Result<OwnedFd> {
    // The memory can never be executed where the kernel knows this flag (6.3): some systems allow
    // no other memory.
    const MFD_NOEXEC_SEAL: u32 = 8;
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let name = c"pool-birth";
    let plain = match memfd_create(name, flags | MFdFlags::from_bits_retain(MFD_NOEXEC_SEAL)) {
        Err(Errno::EINVAL) => memfd_create(name, flags),
        other => other,
    };
    Ok(plain?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn record() -> Record {
        Record {
            nonce: 5,
            identity: u64::MAX,
            starter: Pid::from_raw(77),
            closed: true,
            descriptors: 2,
            role: 9,
            words: vec![1, 2, 3],
        }
    }

    #[test]
    fn a_token_survives_its_text() {
        let token = HandshakeToken { symbol_offset: 0xdead_beef, record: 12, nonce: u64::MAX };
        assert_eq!(HandshakeToken::parse(&token.to_text()), Some(token));
    }

    #[test]
    fn anything_else_is_no_token() {
        for text in ["", "1", "1:", "2:1:3:4", "1:1:3", "1:1:3:4:5", "1:x:3:4", "1:1:-:4", "1:1:3:"]
        {
            assert_eq!(HandshakeToken::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_sealed_record_reads_back_and_stays() {
        for words in [vec![], vec![7; 10_000]] {
            let record = Record { words, ..record() };
            let fd = record.seal().unwrap();
            assert_eq!(Record::read(fd.as_fd()), Some(record));
            assert!(File::from(fd).write_all(b"x").is_err());
        }
    }

    #[test]
    fn what_is_not_sealed_or_no_record_is_not_read() {
        let open = sealable().unwrap();
        File::from(open.try_clone().unwrap()).write_all(&[0; 80]).unwrap();
        assert_eq!(Record::read(open.as_fd()), None);
        fcntl(&open, FcntlArg::F_ADD_SEALS(seals())).unwrap();
        assert_eq!(Record::read(open.as_fd()), None);
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        assert_eq!(Record::read(reader.as_fd()), None);
        assert_eq!(Record::read(File::open("/dev/null").unwrap().as_fd()), None);
    }

    #[test]
    fn words_that_are_cut_short_are_no_record() {
        let words: Vec<u64> = record().to_words().collect();
        assert_eq!(Record::from_words(&words), Some(record()));
        for len in 0..7 {
            assert_eq!(Record::from_words(&words[..len]), None);
        }
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(fresh_nonce(), fresh_nonce());
    }
}
