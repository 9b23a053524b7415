//! Where a node listens.

use std::fmt;

pub const DEFAULT_PORT: u16 = 6379;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// `host`, `host:port`, `[v6]:port`, or `v6:port` as `MOVED` writes it.
    pub fn parse(text: &str, default_port: u16) -> Option<Address> {
        let (host, port) = match text.rsplit_once(':') {
            Some(_) if text.starts_with('[') && text.ends_with(']') => (text, default_port),
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (text, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then(|| Address { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_is_read() {
        let of = |text| Address::parse(text, 6379).map(|address| address.to_string());
        assert_eq!(of("cache"), Some("cache:6379".to_owned()));
        assert_eq!(of("cache:7000"), Some("cache:7000".to_owned()));
        assert_eq!(of("[::1]:7000"), Some("[::1]:7000".to_owned()));
        assert_eq!(of("::1:7000"), Some("[::1]:7000".to_owned()));
        assert_eq!(of("[::1]"), Some("[::1]:6379".to_owned()));
        for wrong in ["", ":7000", "cache:0", "cache:70000", "cache:x"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
