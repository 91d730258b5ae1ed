//! Finds the name of a function in the symbols of the executable.
//!
//! Invariant: what cannot be read, is not there, or is written in a way that is not known here, is
//! no name. No code of the user runs here, and a lock that another thread had during a fork is not
//! waited for.

use std::{fs::File, os::unix::fs::FileExt, sync::Mutex};

use crate::bootstrap::offset_of;

/// Most bytes of a table that are read.
const MOST: u64 = 256 << 20;
/// How many names are kept.
const KEPT: usize = 256;
/// Bytes of a section header, and of a symbol.
const HEADER: usize = 64;
const SYMBOL: usize = 24;

/// Names that were asked for, by their offsets in the executable.
static NAMES: Mutex<Vec<(u64, Option<String>)>> = Mutex::new(Vec::new());

/// The name of the function at an address of this process.
pub(super) fn name_of(address: usize) -> Option<String> {
    let offset = offset_of(address)?;
    let known = |names: &[(u64, Option<String>)]| {
        names.iter().find(|(of, _)| *of == offset).map(|(_, name)| name.clone())
    };
    if let Ok(names) = NAMES.try_lock()
        && let Some(name) = known(&names)
    {
        return name;
    }
    let name = find(offset).and_then(|symbol| readable(&symbol));
    if let Ok(mut names) = NAMES.try_lock()
        && names.len() < KEPT
        && known(&names).is_none()
    {
        names.push((offset, name.clone()));
    }
    name
}

/// The symbol of the function that has this offset in the executable's file.
fn find(offset: u64) -> Option<String> {
    let file = File::open("/proc/self/exe").ok()?;
    let head = read(&file, 0, 64)?;
    // A 64-bit file with the lowest byte first.
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (at, count) = (word(&head, 40)?, half(&head, 60)? as usize);
    let headers = read(&file, at, (count * HEADER) as u64)?;
    let header = |number: usize| headers.get(number * HEADER..(number + 1) * HEADER);
    let is_symbols = |header: &&[u8]| header.get(4..8) == Some(&2u32.to_le_bytes()[..]);
    let symbols = headers.chunks_exact(HEADER).find(is_symbols)?;
    let link = u32::from_le_bytes(symbols.get(40..44)?.try_into().ok()?) as usize;
    let names = header(link)?;
    let table = read(&file, word(symbols, 24)?, word(symbols, 32)?)?;
    let symbol = table.chunks_exact(SYMBOL).find(|symbol| {
        // A function, which begins there.
        symbol[4] & 0xf == 2 && word(symbol, 8) == Some(offset)
    })?;
    let name = u64::from(u32::from_le_bytes(symbol.get(..4)?.try_into().ok()?));
    let (at, len) = (word(names, 24)?, word(names, 32)?);
    let text = read(&file, at.checked_add(name)?, len.checked_sub(name)?.min(4096))?;
    let end = text.iter().position(|byte| *byte == 0)?;
    String::from_utf8(text[..end].to_vec()).ok()
}

fn read(file: &File, at: u64, len: u64) -> Option<Vec<u8>> {
    let all = file.metadata().ok()?.len();
    let is_inside = at.checked_add(len).is_some_and(|end| end <= all) && len <= MOST;
    let mut bytes = vec![0; if is_inside { len as usize } else { return None }];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The path of a symbol; `None` for one that says nothing of the function, as that of a closure
/// that became a `fn` pointer.
fn readable(symbol: &str) -> Option<String> {
    let path = match symbol.strip_prefix("_ZN") {
        Some(parts) => legacy(parts)?,
        None => match symbol.strip_prefix("_R") {
            Some(path) => Path(path).parse().map(|(path, _)| path)?,
            None => symbol.to_string(),
        },
    };
    (!path.ends_with("FnOnce::call_once")).then_some(path)
}

/// The path of a legacy symbol: parts with their lengths, and a hash.
fn legacy(mut parts: &str) -> Option<String> {
    let mut path: Vec<String> = Vec::new();
    while !parts.starts_with('E') {
        let (part, rest) = counted(parts)?;
        parts = rest;
        path.push(plain(part));
    }
    if path.last().is_some_and(|part| part.len() == 17 && part.starts_with('h')) {
        path.pop();
    }
    (!path.is_empty()).then(|| path.join("::"))
}

/// What stands behind a number of that many bytes, and the rest.
fn counted(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let len: usize = text.get(..digits)?.parse().ok()?;
    let text = &text[digits..];
    Some((text.get(..len)?, text.get(len..)?))
}

/// A part without its escapes.
fn plain(part: &str) -> String {
    const ESCAPES: [(&str, &str); 11] = [
        ("$LT$", "<"),
        ("$GT$", ">"),
        ("$RF$", "&"),
        ("$BP$", "*"),
        ("$LP$", "("),
        ("$RP$", ")"),
        ("$C$", ","),
        ("$u20$", " "),
        ("$u7b$", "{"),
        ("$u7d$", "}"),
        ("..", "::"),
    ];
    let part = part.strip_prefix("_$").map_or_else(|| part.to_string(), |rest| format!("${rest}"));
    ESCAPES.iter().fold(part, |part, (escape, text)| part.replace(escape, text))
}

/// A path of a symbol in the present way: crates and names in them, without types.
struct Path<'t>(&'t str);

impl<'t> Path<'t> {
    /// The path, and what stands behind it.
    fn parse(self) -> Option<(String, &'t str)> {
        let mut tags = self.0.chars();
        let tag = tags.next()?;
        let rest = tags.as_str();
        match tag {
            'C' => {
                let (name, rest) = name(rest)?;
                Some((name.to_string(), rest))
            }
            'N' => {
                let space = rest.chars().next().filter(char::is_ascii_alphabetic)?;
                let (outer, rest) = Path(&rest[1..]).parse()?;
                let (name, rest) = name(rest)?;
                let inner = match space {
                    'C' => "{closure}",
                    _ => name,
                };
                Some((format!("{outer}::{inner}"), rest))
            }
            // Its arguments stand behind it, where no path goes on.
            'I' => Some((Path(rest).parse()?.0, "")),
            _ => None,
        }
    }
}

/// A name: a number that tells it from others, then its length and itself.
fn name(text: &str) -> Option<(&str, &str)> {
    let text = match text.strip_prefix('s') {
        Some(text) => &text[text.find('_')? + 1..],
        None => text,
    };
    let text = text.strip_prefix('u').unwrap_or(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let len: usize = text.get(..digits)?.parse().ok()?;
    let text = &text[digits..];
    let text = text.strip_prefix('_').filter(|_| len > 0).unwrap_or(text);
    Some((text.get(..len)?, text.get(len..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_function(x: u64) -> u64 {
        x.wrapping_mul(12_345)
    }

    #[test]
    fn a_function_of_this_program_is_found() {
        let function: fn(u64) -> u64 = some_function;
        let name = name_of(function as usize).expect("tests have symbols");
        assert!(name.ends_with("symbols::tests::some_function"), "{name}");
        assert_eq!(name_of(function as usize), Some(name));
    }

    #[test]
    fn other_addresses_have_no_name() {
        let local = 0u8;
        assert_eq!(name_of(&raw const local as usize), None);
        assert_eq!(name_of(0), None);
    }

    #[test]
    fn symbols_of_both_kinds_are_readable() {
        let cases = [
            ("_ZN3app4deep17h0123456789abcdefE", Some("app::deep")),
            ("_ZN3app28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE", Some("app::{{closure}}")),
            ("_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE", None),
            ("_RNvCs1234_7mycrate3foo", Some("mycrate::foo")),
            ("_RNvNtCs1234_7mycrate3bar3foo", Some("mycrate::bar::foo")),
            ("_RNCNvCs1234_7mycrate3foo0B3_", Some("mycrate::foo::{closure}")),
            ("_RINvCs1234_7mycrate3fooyEB2_", Some("mycrate::foo")),
            ("_RYCs1_3app", None),
            ("main", Some("main")),
        ];
        for (symbol, path) in cases {
            assert_eq!(readable(symbol).as_deref(), path, "{symbol}");
        }
    }

    #[test]
    fn broken_symbols_are_no_names() {
        for symbol in
            ["_ZN", "_ZN99999999999999999999a", "_ZN9aE", "_ZNE", "_R", "_RN", "_RNvC9a", "_RCs"]
        {
            assert_eq!(readable(symbol), None, "{symbol}");
        }
        for len in 0..30 {
            let _ = readable(&"_RNvNtCs1234_7mycrate3bar3foo"[..len]);
            let _ = readable(&"_RNvNté"[..5]);
        }
    }
}
