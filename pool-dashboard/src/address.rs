//! Where a dashboard is found: `http://127.0.0.1:8080/TOKEN/`.

use crate::{DashboardError, token::Token};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    pub(crate) port: u16,
    pub(crate) token: Token,
}

impl Address {
    pub(crate) fn text(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token.as_str())
    }

    /// Without the token, for messages.
    pub(crate) fn public_text(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Reads what [`text`](Self::text) has written.
    ///
    /// # Errors
    ///
    /// [`DashboardError::InvalidInput`].
    pub(crate) fn parse(text: &str) -> Result<Self, DashboardError> {
        let hosts = ["http://127.0.0.1:", "http://localhost:"];
        let rest = hosts.iter().find_map(|host| text.trim().strip_prefix(host));
        let read = rest.and_then(|rest| {
            let (port, token) = rest.split_once('/')?;
            let port = port.parse().ok().filter(|port| *port > 0)?;
            Some(Self { port, token: Token::parse(token.trim_end_matches('/'))? })
        });
        // Without the text, which may have a token in it.
        let complaint =
            "the address of a dashboard is http://127.0.0.1:PORT/TOKEN/, as it was given";
        read.ok_or_else(|| DashboardError::InvalidInput(complaint.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let address = Address { port: 8080, token: Token::random().unwrap() };
        let text = address.text();
        assert_eq!(Address::parse(&text).unwrap().text(), text);
        assert_eq!(
            Address::parse(&format!(" {}\n", text.trim_end_matches('/'))).unwrap().text(),
            text
        );
        let token = address.token.as_str();
        for wrong in [
            String::new(),
            "\0".into(),
            format!("127.0.0.1:8080/{token}/"),
            format!("http://127.0.0.1:0/{token}/"),
            format!("http://127.0.0.1:65536/{token}/"),
            format!("http://127.0.0.1:/{token}/"),
            format!("http://127.0.0.1/{token}/"),
            format!("http://example.org:80/{token}/"),
            format!("http://127.0.0.1:8080/{token}0/"),
            "http://127.0.0.1:8080/".into(),
            "http://127.0.0.1:8080".into(),
        ] {
            let error = Address::parse(&wrong).unwrap_err();
            assert!(matches!(error, DashboardError::InvalidInput(_)), "{wrong}");
            assert!(!error.to_string().contains(token));
        }
    }
}
