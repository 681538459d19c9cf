//! Which server is asked: `127.0.0.1:5433`, `shop.example`, `postgres://user:token@host:port`.

use std::net::SocketAddr;
use std::str::FromStr;

use crate::wiring::percent_decoded;

/// The port that servers are asked at unless another is named.
pub const DEFAULT_PORT: u16 = 5433;

/// Who asks, unless somebody else is named; servers do not care.
const USER: &str = "tillrace";

/// A server, and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The name of the user; servers do not care.
    pub user: String,
    /// A token.
    pub password: Option<String>,
}

impl Target {
    /// A server at an address, which asks for no password.
    pub fn at(address: SocketAddr) -> Target {
        Target {
            host: address.ip().to_string(),
            port: address.port(),
            user: USER.to_owned(),
            password: None,
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let rest = match text.split_once("://") {
            Some(("postgres" | "postgresql", rest)) => rest,
            Some((scheme, _)) => {
                return Err(format!(
                    "\"{scheme}\" is no scheme; write postgres://host:port"
                ));
            }
            None => text,
        };
        let rest = rest.split(['/', '?']).next().unwrap_or_default();
        let (who, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = match who.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (who, None),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port.parse();
                (
                    host,
                    port.map_err(|_| format!("`{text}` has no port that is one"))?,
                )
            }
            _ => (place, DEFAULT_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let decoded = |text: &str| percent_decoded(text).unwrap_or_else(|| text.to_owned());
        Ok(Target {
            host: if host.is_empty() { "127.0.0.1" } else { host }.to_owned(),
            port,
            user: if user.is_empty() {
                USER.to_owned()
            } else {
                decoded(user)
            },
            password: password.map(decoded),
        })
    }
}
