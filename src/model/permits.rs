use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a login may do beside running programs: the switches of its line in authorized_keys, sshd(8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permits {
    /// Whether it may have terminals.
    pub pty: bool,
    /// Whether the client's agent may be forwarded.
    pub agent_forwarding: bool,
    /// Whether ports and sockets may be forwarded, either way.
    pub port_forwarding: bool,
    /// Whether X11 may be forwarded.
    pub x11_forwarding: bool,
    /// Whether `~/.ssh/rc` would be run; this server runs none.
    pub user_rc: bool,
    /// Where forwarding from the client may lead; empty where it may lead anywhere.
    pub open: Vec<Endpoint>,
    /// On what forwarding to the client may listen; empty where the server alone decides.
    pub listen: Vec<Endpoint>,
    /// The tunnel device that the line asks for, `any` for one of the server's choice.
    pub tunnel: Option<Tunnel>,
}

impl Permits {
    /// Of a line without any switch.
    #[must_use]
    pub fn all() -> Self {
        Self {
            pty: true,
            agent_forwarding: true,
            port_forwarding: true,
            x11_forwarding: true,
            user_rc: true,
            open: Vec::new(),
            listen: Vec::new(),
            tunnel: None,
        }
    }

    /// Turns everything off, as `restrict` does. Lists of places stay: a later switch may turn forwarding on again.
    pub fn restrict(&mut self) {
        self.pty = false;
        self.agent_forwarding = false;
        self.port_forwarding = false;
        self.x11_forwarding = false;
        self.user_rc = false;
    }
}

impl Permits {
    /// Whether forwarding from the client may lead there; none for a socket, which no `permitopen` names.
    #[must_use]
    pub fn may_open(&self, place: Option<(&str, u16)>) -> bool {
        among(&self.open, place)
    }

    /// Whether forwarding to the client may listen there; none for a socket.
    #[must_use]
    pub fn may_listen(&self, place: Option<(&str, u16)>) -> bool {
        among(&self.listen, place)
    }
}

fn among(list: &[Endpoint], place: Option<(&str, u16)>) -> bool {
    let named = place.is_some_and(|(host, port)| list.iter().any(|one| one.is(host, port)));
    list.is_empty() || named
}

/// A host and a port, each of which may be any: `permitopen`, `permitlisten`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// A name or address as written, `*` for any.
    pub host: String,
    /// None for any.
    pub port: Option<u16>,
}

/// Why a text is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "right would be HOST:PORT, with an IPv6 address in brackets and * for any port, such as 127.0.0.1:8123"
)]
pub struct EndpointError;

/// The longest host; NI_MAXHOST of getnameinfo(3).
const HOST_BYTES: usize = 1024;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:"),
            None => text
                .rsplit_once(':')
                .filter(|(host, _)| !host.contains(':')),
        }
        .ok_or(EndpointError)?;
        let letters = |c: char| c.is_ascii_alphanumeric() || ".-_:*?%".contains(c);
        if host.is_empty() || host.len() >= HOST_BYTES || !host.chars().all(letters) {
            return Err(EndpointError);
        }
        Ok(Self {
            host: host.to_owned(),
            port: port_of(port)?,
        })
    }
}

impl Endpoint {
    /// As [`FromStr`], or a bare port, which stands for any host: how `permitlisten` is written.
    ///
    /// # Errors
    /// Anything else.
    pub fn to_listen(text: &str) -> Result<Self, EndpointError> {
        if text.contains(':') {
            return text.parse();
        }
        Ok(Self {
            host: "*".to_owned(),
            port: port_of(text)?,
        })
    }
}

impl Endpoint {
    /// Whether this host, as a client writes it, and this port are meant. Names are not looked up: sshd(8), `permitopen`.
    #[must_use]
    pub fn is(&self, host: &str, port: u16) -> bool {
        let host = self.host == "*" || self.host.eq_ignore_ascii_case(host);
        host && self.port.is_none_or(|own| own == port)
    }
}

fn port_of(text: &str) -> Result<Option<u16>, EndpointError> {
    if text == "*" {
        return Ok(None);
    }
    // `parse` would let a sign through.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.map(Some).ok_or(EndpointError)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:", self.host)?,
            false => write!(f, "{}:", self.host)?,
        }
        match self.port {
            Some(port) => port.fmt(f),
            None => f.write_str("*"),
        }
    }
}

/// A tunnel device; tun(4), `Tunnel` of ssh_config(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tunnel {
    /// Whichever is free.
    Any,
    /// This one.
    Number(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("localhost:8123", "localhost", Some(8123)),
            ("192.0.2.1:*", "192.0.2.1", None),
            ("[2001:db8::1]:22", "2001:db8::1", Some(22)),
            ("*:80", "*", Some(80)),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port));
            assert_eq!(endpoint.to_string(), text);
        }
        for bad in [
            "",
            "localhost",
            ":80",
            "a:0",
            "a:65536",
            "a:+1",
            "a:",
            "2001:db8::1:22",
            "[::1]",
            "[::1]22",
            "[]:1",
            "a b:1",
            "a/b:1",
            "8123",
        ] {
            assert_eq!(bad.parse::<Endpoint>(), Err(EndpointError), "{bad}");
        }
        assert_eq!(Endpoint::to_listen("8123").unwrap().to_string(), "*:8123");
        assert_eq!(Endpoint::to_listen("*").unwrap().to_string(), "*:*");
        assert!(Endpoint::to_listen("x").is_err());
    }

    #[test]
    fn restrict_leaves_nothing_and_the_lists() {
        let mut permits = Permits::all();
        permits.open.push("a:1".parse().unwrap());
        permits.restrict();
        let off = Permits {
            pty: false,
            agent_forwarding: false,
            port_forwarding: false,
            x11_forwarding: false,
            user_rc: false,
            ..permits.clone()
        };
        assert_eq!(permits, off);
        assert_eq!(permits.open.len(), 1);
    }
}
