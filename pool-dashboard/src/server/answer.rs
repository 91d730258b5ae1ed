//! What a request gets.
//!
//! Invariant: the host is checked first, then the origin, then the token, and all that comes later
//! needs all three. A page of another site that gets a browser to ask here has another origin, one
//! whose name was made to lead here another host.

use std::sync::Arc;

use super::request::{Fault, Method, Request};
use crate::{frame::PROTOCOL, token::Token};

/// The bytes of a response.
pub(super) type Bytes = Arc<[u8]>;

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// These bytes, and the end of the connection.
    Respond(Bytes),
    /// The page.
    Page,
    /// The state as JSON.
    State,
    /// Events from now on.
    Events,
    /// A program that sends its state from now on.
    Program,
    Cancel {
        program: u64,
        pool: u64,
        call: u64,
    },
}

/// What a server checks requests against.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) port: u16,
    pub(super) token: Token,
    pub(super) may_cancel: bool,
}

impl Gate {
    pub(super) fn answer(&self, head: &[u8]) -> Answer {
        let request = match Request::parse(head) {
            Ok(request) => request,
            Err(fault) => return Answer::Respond(refuse(fault)),
        };
        self.route(&request).unwrap_or_else(|(status, text)| {
            Answer::Respond(respond(status, "text/plain; charset=utf-8", "", text))
        })
    }

    fn route(&self, request: &Request<'_>) -> Result<Answer, (&'static str, &'static str)> {
        if !self.is_own_host(request.host) {
            return Err((FORBIDDEN, "This is not the host of this dashboard.\n"));
        }
        let is_own =
            |origin: &str| origin.strip_prefix("http://").is_some_and(|host| host == request.host);
        if !request.origin.is_none_or(is_own) {
            return Err((FORBIDDEN, "Other sites have no access to this dashboard.\n"));
        }
        let (token, rest) = request.path[1..].split_once('/').unwrap_or((&request.path[1..], ""));
        if !self.token.is(token.as_bytes()) {
            let text = "The address of this dashboard has a token in it, which is missing or wrong.\n\
                        Use the whole address, as the program has printed it.\n";
            return Err((FORBIDDEN, text));
        }
        match (request.method, rest) {
            (Method::Get, "") => Ok(Answer::Page),
            (Method::Get, "state") => Ok(Answer::State),
            (Method::Get, "events") => Ok(Answer::Events),
            (Method::Post, "connect") if request.upgrade == Some(PROTOCOL) => Ok(Answer::Program),
            (Method::Post, "connect") => {
                Err((BAD_REQUEST, "This dashboard speaks pool-dashboard/1.\n"))
            }
            (Method::Post, "cancel") if !self.may_cancel => {
                Err((FORBIDDEN, "Nothing can be cancelled at this dashboard.\n"))
            }
            (Method::Post, "cancel") => {
                let number = |name| request.number(name);
                let (Some(program), Some(pool), Some(call)) =
                    (number("program"), number("pool"), number("call"))
                else {
                    return Err((BAD_REQUEST, "Which call? program, pool and call are numbers.\n"));
                };
                Ok(Answer::Cancel { program, pool, call })
            }
            (_, "" | "state" | "events" | "cancel" | "connect") => {
                Err(("405 Method Not Allowed", "Not by this method.\n"))
            }
            _ => Err((NOT_FOUND, "There is nothing here.\n")),
        }
    }

    fn is_own_host(&self, host: &str) -> bool {
        ["127.0.0.1", "localhost"].iter().any(|name| {
            host.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(':'))
                .is_some_and(|port| port == self.port.to_string())
        })
    }
}

pub(super) const FORBIDDEN: &str = "403 Forbidden";
pub(super) const NOT_FOUND: &str = "404 Not Found";
const BAD_REQUEST: &str = "400 Bad Request";

fn refuse(fault: Fault) -> Bytes {
    let (status, text) = match fault {
        Fault::BadRequest => (BAD_REQUEST, "This is no request that is understood here.\n"),
        Fault::Body => ("413 Content Too Large", "No request here has a body.\n"),
        Fault::Method => ("405 Method Not Allowed", "GET and POST are the methods here.\n"),
        Fault::TooLarge => ("431 Request Header Fields Too Large", "The request is too large.\n"),
    };
    respond(status, "text/plain; charset=utf-8", "", text)
}

/// The response to a request that is too large.
pub(super) fn too_large() -> Bytes {
    refuse(Fault::TooLarge)
}

/// A response that ends its connection. `more`: further header lines.
pub(super) fn respond(status: &str, kind: &str, more: &str, body: &str) -> Bytes {
    let len = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\
         Connection: close\r\n{COMMON}{more}\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat().into()
}

/// No cache keeps it, no other site shows or reads it, and no link tells its address.
pub(super) const COMMON: &str = "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
    X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(may_cancel: bool) -> Gate {
        Gate { port: 8080, token: Token::random().unwrap(), may_cancel }
    }

    fn status(gate: &Gate, head: &str) -> String {
        match gate.answer(head.as_bytes()) {
            Answer::Respond(bytes) => {
                String::from_utf8_lossy(&bytes)["HTTP/1.1 ".len()..].chars().take(3).collect()
            }
            answer => format!("{answer:?}"),
        }
    }

    #[test]
    fn host_origin_and_token_are_checked_before_anything_else() {
        let gate = gate(true);
        let token = gate.token.as_str();
        let ask = |path: &str, headers: &str| {
            status(&gate, &format!("GET {path} HTTP/1.1\r\n{headers}\r\n"))
        };
        let own = format!("/{token}/");
        let host = "Host: 127.0.0.1:8080\r\n";
        assert_eq!(ask(&own, host), "Page");
        assert_eq!(ask(&own, "Host: localhost:8080\r\n"), "Page");
        assert_eq!(ask(&format!("/{token}/events"), host), "Events");
        for other in [
            "evil",
            "evil:8080",
            "127.0.0.1",
            "127.0.0.1:80801",
            "localhost:80",
            "",
            "x127.0.0.1:8080",
        ] {
            assert_eq!(ask(&own, &format!("Host: {other}\r\n")), "403", "{other}");
        }
        for (origin, expected) in [
            ("http://127.0.0.1:8080", "Page"),
            ("http://localhost:8080", "403"),
            ("https://127.0.0.1:8080", "403"),
            ("http://evil", "403"),
            ("null", "403"),
            ("", "403"),
        ] {
            assert_eq!(ask(&own, &format!("{host}Origin: {origin}\r\n")), expected, "{origin}");
        }
        for path in
            ["/", "//", "/x/", "/events", "/../", &format!("/{token}0/"), &format!("//{token}/")]
        {
            assert_eq!(ask(path, host), "403", "{path}");
        }
        assert_eq!(ask(&format!("/{token}/nothing"), host), "404");
        assert_eq!(ask(&format!("/{token}/cancel?program=0&pool=0&call=0"), host), "405");
    }

    #[test]
    fn cancelling_needs_a_post_and_can_be_switched_off() {
        for (may_cancel, expected) in
            [(true, "Cancel { program: 0, pool: 1, call: 2 }"), (false, "403")]
        {
            let gate = gate(may_cancel);
            let path = format!("/{}/cancel?program=0&pool=1&call=2", gate.token.as_str());
            let head = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
            assert_eq!(status(&gate, &head), expected);
        }
        let gate = gate(true);
        let path = format!("/{}/cancel?program=0&pool=-1&call=2", gate.token.as_str());
        assert_eq!(
            status(&gate, &format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")),
            "400"
        );
    }

    #[test]
    fn programs_name_their_protocol() {
        let gate = gate(false);
        let ask = |upgrade: &str| {
            let path = format!("/{}/connect", gate.token.as_str());
            status(&gate, &format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{upgrade}\r\n"))
        };
        assert_eq!(ask("Upgrade: pool-dashboard/1\r\n"), "Program");
        assert_eq!(ask("Upgrade: pool-dashboard/2\r\n"), "400");
        assert_eq!(ask(""), "400");
    }
}
