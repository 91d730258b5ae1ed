//! A request: its first line, and the headers that matter here.
//!
//! Invariant: at most [`MAX_HEAD`] bytes are kept of it, and nothing of a body: no request here has
//! one.

/// The most bytes of a request.
pub(super) const MAX_HEAD: usize = 8 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'h> {
    pub(super) method: Method,
    pub(super) path: &'h str,
    /// What stands behind `?`.
    pub(super) query: &'h str,
    pub(super) host: &'h str,
    pub(super) origin: Option<&'h str>,
    pub(super) upgrade: Option<&'h str>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    BadRequest,
    Body,
    Method,
    TooLarge,
}

/// Where the head of a request ends, once it is complete.
pub(super) fn head_len(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    match bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(at) if at + 4 <= MAX_HEAD => Ok(Some(at + 4)),
        None if bytes.len() < MAX_HEAD => Ok(None),
        _ => Err(Fault::TooLarge),
    }
}

impl<'h> Request<'h> {
    pub(super) fn parse(head: &'h [u8]) -> Result<Self, Fault> {
        let text = str::from_utf8(head).map_err(|_| Fault::BadRequest)?;
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (first.next(), first.next(), first.next(), first.next())
        else {
            return Err(Fault::BadRequest);
        };
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            _ => return Err(Fault::Method),
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic();
        if !target.starts_with('/') || !target.bytes().all(is_plain) {
            return Err(Fault::BadRequest);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (mut host, mut origin, mut upgrade) = (None, None, None);
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(Fault::BadRequest)?;
            let value = value.trim_matches([' ', '\t']);
            let is_text = |byte: u8| byte == b'\t' || !byte.is_ascii_control();
            if name.is_empty() || !name.bytes().all(is_plain) || !value.bytes().all(is_text) {
                return Err(Fault::BadRequest);
            }
            let known = match name.to_ascii_lowercase().as_str() {
                "host" => &mut host,
                "origin" => &mut origin,
                "upgrade" => &mut upgrade,
                "content-length" if value == "0" => continue,
                "content-length" | "transfer-encoding" => return Err(Fault::Body),
                _ => continue,
            };
            if known.replace(value).is_some() {
                return Err(Fault::BadRequest);
            }
        }
        let host = host.ok_or(Fault::BadRequest)?;
        Ok(Self { method, path, query, host, origin, upgrade })
    }

    /// A number in the query.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let parts = self.query.split('&').filter_map(|part| part.split_once('='));
        parts.into_iter().find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Request<'_>, Fault> {
        assert_eq!(head_len(head.as_bytes()), Ok(Some(head.len())));
        Request::parse(head.as_bytes())
    }

    #[test]
    fn a_request_of_a_browser_is_read() {
        let request = parse(
            "POST /t/cancel?program=0&pool=3&call=18446744073709551615 HTTP/1.1\r\n\
             HOST: \t127.0.0.1:8080 \r\nOrigin: http://127.0.0.1:8080\r\nAccept: é\r\n\
             Content-Length: 0\r\n\r\n",
        )
        .unwrap();
        assert_eq!(request.method, Method::Post);
        assert_eq!((request.path, request.host), ("/t/cancel", "127.0.0.1:8080"));
        assert_eq!(request.origin, Some("http://127.0.0.1:8080"));
        assert_eq!(request.number("call"), Some(u64::MAX));
        assert_eq!((request.number("pool"), request.number("al")), (Some(3), None));
    }

    #[test]
    fn what_is_no_request_is_refused_by_name() {
        let host = "Host: a\r\n";
        for (first, headers, fault) in [
            ("", host, Fault::BadRequest),
            ("GET /", host, Fault::BadRequest),
            ("GET / HTTP/1.0", host, Fault::BadRequest),
            ("GET  / HTTP/1.1", host, Fault::BadRequest),
            ("GET / HTTP/1.1 x", host, Fault::BadRequest),
            ("GET http://a/ HTTP/1.1", host, Fault::BadRequest),
            ("GET /\0 HTTP/1.1", host, Fault::BadRequest),
            ("PUT / HTTP/1.1", host, Fault::Method),
            ("get / HTTP/1.1", host, Fault::Method),
            ("GET / HTTP/1.1", "", Fault::BadRequest),
            ("GET / HTTP/1.1", "Host: a\r\nhost: b\r\n", Fault::BadRequest),
            ("GET / HTTP/1.1", "Host: a\r\nno colon\r\n", Fault::BadRequest),
            ("GET / HTTP/1.1", "Host : a\r\n", Fault::BadRequest),
            ("GET / HTTP/1.1", "Host: a\0\r\n", Fault::BadRequest),
            ("GET / HTTP/1.1", "Host: a\nOrigin: b\r\n", Fault::BadRequest),
            ("POST / HTTP/1.1", "Host: a\r\nContent-Length: 5\r\n", Fault::Body),
            ("POST / HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\n", Fault::Body),
        ] {
            assert_eq!(
                parse(&format!("{first}\r\n{headers}\r\n")),
                Err(fault),
                "{first} {headers}"
            );
        }
        assert_eq!(Request::parse(b"GET /\xff HTTP/1.1\r\n\r\n"), Err(Fault::BadRequest));
    }

    #[test]
    fn a_head_is_bounded() {
        assert_eq!(head_len(&[b'a'; MAX_HEAD - 1]), Ok(None));
        assert_eq!(head_len(&[b'a'; MAX_HEAD]), Err(Fault::TooLarge));
        let mut whole = vec![b'a'; MAX_HEAD - 4];
        whole.extend(b"\r\n\r\n");
        assert_eq!(head_len(&whole), Ok(Some(MAX_HEAD)));
        whole.insert(0, b'a');
        assert_eq!(head_len(&whole), Err(Fault::TooLarge));
    }
}
