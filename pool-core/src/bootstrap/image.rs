//! The main executable in memory: where it lies, and which build it is.
//!
//! Invariant: an offset counts from the load bias, so it means the same code or data in every
//! process that runs the same build, wherever the kernel has put it. The main executable is the
//! object that holds the program headers named by the auxiliary vector; it is never unloaded.
//! `origin.rs` finds the file that it comes from.

use std::{
    ffi::{c_int, c_void},
    os::unix::fs::MetadataExt,
    ptr, slice,
    sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
};

use libc::{Elf64_Phdr, PT_LOAD, PT_NOTE};

use crate::os::sys;

/// The offset of `addr` in the main executable, or `None` if it lies in no loaded segment of it.
pub(crate) fn offset_of(addr: usize) -> Option<u64> {
    let image = Image::main()?;
    let offset = (addr as u64).wrapping_sub(image.bias);
    image.contains(offset, 1).then_some(offset)
}

/// The address in this process of `offset`, or `None` if it lies in no loaded segment of the main
/// executable.
pub(crate) fn address_of(offset: u64) -> Option<usize> {
    let image = Image::main()?;
    image.contains(offset, 1).then(|| image.address(offset))
}

/// A hash that is the same in two processes if they run the same build of the same program: of the
/// GNU build id, or else of the file's inode, size and time of change. Never 0.
pub(crate) fn identity() -> u64 {
    // An atomic and not a `OnceLock`, which a fork in another thread's first call would leave
    // locked for ever.
    static CACHE: AtomicU64 = AtomicU64::new(0);
    let cached = CACHE.load(Ordering::Relaxed);
    if cached != 0 {
        return cached;
    }
    let hash = match Image::main().and_then(Image::build_id) {
        Some(id) => fnv(id),
        None => std::fs::metadata("/proc/self/exe").map_or(0, |file| {
            let words = [file.ino(), file.size(), file.mtime() as u64, file.mtime_nsec() as u64];
            fnv(words.map(u64::to_ne_bytes).as_flattened())
        }),
    };
    let hash = hash.max(1);
    CACHE.store(hash, Ordering::Relaxed);
    hash
}

/// FNV-1a, since the hash must be the same in every process.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A loaded object.
#[derive(Clone, Copy)]
pub(crate) struct Image {
    bias: u64,
    headers: &'static [Elf64_Phdr],
}

impl Image {
    /// The main executable, which is searched for once; later calls take three loads.
    pub(crate) fn main() -> Option<Self> {
        static HEADERS: AtomicPtr<Elf64_Phdr> = AtomicPtr::new(ptr::null_mut());
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        static BIAS: AtomicU64 = AtomicU64::new(0);

        // Acquire: pairs with the Release below, so that count and bias belong to the pointer.
        let headers = HEADERS.load(Ordering::Acquire);
        if !headers.is_null() {
            let (count, bias) = (COUNT.load(Ordering::Relaxed), BIAS.load(Ordering::Relaxed));
            // SAFETY: pointer and count were taken from a `&'static [Elf64_Phdr]` below.
            let headers = unsafe { slice::from_raw_parts(headers, count) };
            return Some(Self { bias, headers });
        }
        let image = Self::holding(sys::auxiliary_value(libc::AT_PHDR))?;
        COUNT.store(image.headers.len(), Ordering::Relaxed);
        BIAS.store(image.bias, Ordering::Relaxed);
        HEADERS.store(image.headers.as_ptr().cast_mut(), Ordering::Release);
        Some(image)
    }

    /// The loaded object with `addr` in it. Called with an address of the main executable only, so
    /// that the headers stay for ever.
    fn holding(addr: usize) -> Option<Self> {
        struct Search {
            addr: u64,
            found: Option<Image>,
        }
        unsafe extern "C" fn visit(
            info: *mut libc::dl_phdr_info,
            _size: usize,
            search: *mut c_void,
        ) -> c_int {
            // SAFETY: the loader passes a valid `info`, and the `Search` that it was given below.
            let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
            if info.dlpi_phdr.is_null() {
                return 0;
            }
            // SAFETY: pointer and length come from the loader, which keeps the headers as long as
            // the object.
            let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
            let image = Image { bias: info.dlpi_addr, headers };
            let here = image.contains(search.addr.wrapping_sub(image.bias), 1);
            if here {
                search.found = Some(image);
            }
            here.into()
        }
        let mut search = Search { addr: addr as u64, found: None };
        // SAFETY: `visit` matches the type of `search`, which outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
        search.found
    }

    /// An address inside this object, for finding the file behind it.
    pub(crate) fn symbol(self) -> usize {
        self.headers.as_ptr() as usize
    }

    /// The address of the `.init_array` and its length in entries; `None` for an object without a
    /// dynamic section (a static executable at a fixed address).
    #[cfg(feature = "takeover")]
    pub(crate) fn init_array(self) -> Option<(usize, usize)> {
        use libc::PT_DYNAMIC;
        const DT_INIT_ARRAY: u64 = 25;
        const DT_INIT_ARRAYSZ: u64 = 27;
        let dynamic = self.headers.iter().find(|header| header.p_type == PT_DYNAMIC)?;
        let entries = self.words(dynamic.p_vaddr, dynamic.p_memsz / 8)?;
        let value =
            |tag| entries.chunks_exact(2).find(|entry| entry[0] == tag).map(|entry| entry[1]);
        let (offset, bytes) = (value(DT_INIT_ARRAY)?, value(DT_INIT_ARRAYSZ)?);
        self.contains(offset, bytes)
            .then(|| (self.address(offset), bytes as usize / size_of::<usize>()))
    }

    fn build_id(self) -> Option<&'static [u8]> {
        self.headers.iter().filter(|header| header.p_type == PT_NOTE).find_map(|header| {
            let notes = self.bytes(header.p_vaddr, header.p_memsz)?;
            build_id_in(notes, if header.p_align == 8 { 8 } else { 4 })
        })
    }

    fn contains(self, offset: u64, len: u64) -> bool {
        self.headers.iter().filter(|header| header.p_type == PT_LOAD).any(|header| {
            let inside = offset.wrapping_sub(header.p_vaddr);
            offset >= header.p_vaddr && inside < header.p_memsz && len <= header.p_memsz - inside
        })
    }

    fn address(self, offset: u64) -> usize {
        self.bias.wrapping_add(offset) as usize
    }

    fn bytes(self, offset: u64, len: u64) -> Option<&'static [u8]> {
        let at = ptr::with_exposed_provenance(self.address(offset));
        // SAFETY: the bytes lie inside a loaded segment; this is only called for notes and the
        // dynamic section, which the loader has finished with and no code writes to.
        self.contains(offset, len).then(|| unsafe { slice::from_raw_parts(at, len as usize) })
    }

    #[cfg(feature = "takeover")]
    fn words(self, offset: u64, len: u64) -> Option<&'static [u64]> {
        let bytes = self.bytes(offset, len.checked_mul(8)?)?;
        // SAFETY: every pattern of bits is a `u64`.
        let (before, words, _) = unsafe { bytes.align_to::<u64>() };
        before.is_empty().then_some(words)
    }
}

/// The build id among ELF notes: name size, description size, type, then name and description, each
/// padded.
fn build_id_in(mut notes: &[u8], align: usize) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let word = |notes: &[u8], i: usize| {
        Some(u32::from_ne_bytes(notes.get(4 * i..4 * i + 4)?.try_into().ok()?))
    };
    loop {
        let (name_len, id_len) = (word(notes, 0)? as usize, word(notes, 1)? as usize);
        let id_at = (12 + name_len).next_multiple_of(align);
        let id = notes.get(id_at..id_at.checked_add(id_len)?)?;
        if word(notes, 2)? == NT_GNU_BUILD_ID && notes.get(12..12 + name_len)? == b"GNU\0" {
            return (!id.is_empty()).then_some(id);
        }
        notes = notes.get((id_at + id_len).next_multiple_of(align)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static HERE: AtomicU64 = AtomicU64::new(7);

    #[test]
    fn offsets_lead_back_to_code_and_data() {
        for addr in [&raw const HERE as usize, offset_of as fn(usize) -> Option<u64> as usize] {
            let offset = offset_of(addr).unwrap();
            assert_eq!(address_of(offset), Some(addr));
        }
    }

    #[test]
    fn what_is_not_in_the_executable_has_no_offset() {
        let (local, boxed) = (0u8, Box::new(0u8));
        assert_eq!(offset_of(&raw const local as usize), None);
        assert_eq!(offset_of(&raw const *boxed as usize), None);
        assert_eq!(offset_of(0), None);
        assert_eq!(offset_of(usize::MAX), None);
        assert_eq!(address_of(u64::MAX), None);
        assert_eq!(address_of(1 << 40), None);
    }

    #[test]
    fn the_image_may_not_be_left_by_length() {
        let image = Image::main().unwrap();
        let offset = offset_of(&raw const HERE as usize).unwrap();
        assert!(image.contains(offset, 8));
        assert!(!image.contains(offset, u64::MAX));
        assert!(!image.contains(offset, 1 << 40));
    }

    #[test]
    fn identity_is_stable_and_not_zero() {
        assert_ne!(identity(), 0);
        assert_eq!(identity(), identity());
    }

    #[cfg(feature = "takeover")]
    #[test]
    fn the_init_array_is_in_the_image() {
        let (start, len) = Image::main().unwrap().init_array().unwrap();
        assert!(len >= 1);
        assert!(offset_of(start).is_some());
    }

    #[test]
    fn the_build_id_is_found_behind_other_notes() {
        let note = |name: &[u8], kind: u32, text: &[u8]| {
            let mut note = Vec::new();
            for word in [name.len() as u32, text.len() as u32, kind] {
                note.extend(word.to_ne_bytes());
            }
            for part in [name, text] {
                note.extend(part);
                note.resize(note.len().next_multiple_of(4), 0);
            }
            note
        };
        let notes =
            [note(b"GNU\0", 1, b"abc"), note(b"Go\0", 3, b"no"), note(b"GNU\0", 3, b"12345")];
        assert_eq!(build_id_in(&notes.concat(), 4), Some(&b"12345"[..]));
        assert_eq!(build_id_in(&notes[0], 4), None);
        let mut endless = notes[2].clone();
        endless[..8].fill(0xff);
        assert_eq!(build_id_in(&endless, 4), None);
    }
}
