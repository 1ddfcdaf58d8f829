//! Where a device elsewhere is, as one line to copy: `remote:ws://TOKEN@HOST:PORT` or
//! `remote:iroh://TOKEN@ID,ADDRESS…`, and behind it which of the server's devices, `/gpu:1`.

use crate::text;
use burn_remote::{EndpointId, IrohRelays};
use std::{fmt, net::SocketAddr, str::FromStr};

/// Where nobody but the two sides is to have a part in it.
const DIRECT: &str = "direct";

/// Before every address.
pub(crate) const SCHEME: &str = "remote:";

/// Where a server is, what it wants to hear, and which of its devices is meant.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub(super) token: Token,
    pub(super) host: Host,
    /// Its best one without.
    pub(super) device: Option<String>,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// `HOST:PORT`, unencrypted.
    WebSocket(String),
    /// Encrypted, and sure of whom it talks to.
    Iroh {
        id: EndpointId,
        /// Tried directly; the id alone is enough where both sides reach a relay.
        addresses: Vec<SocketAddr>,
        /// By whom both sides find each other else.
        relays: IrohRelays,
    },
}

/// What a server wants to hear before it does anything.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Token(String);

impl Token {
    /// One that nobody guesses.
    pub(crate) fn random() -> Self {
        Self(data_encoding(&rand::random::<[u8; 24]>()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// In letters, digits, `-` and `_`.
fn data_encoding(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Without itself.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match (12..=200).contains(&text.len()) && text.chars().all(fits) {
            true => Ok(Self(text.to_owned())),
            false => Err("a token is 12 to 200 letters, digits, “-” and “_”".to_owned()),
        }
    }
}

impl Address {
    pub(crate) fn new(token: Token, host: Host) -> Self {
        Self { token, host, device: None }
    }

    #[cfg(test)]
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Which of the server's devices is meant, where that is said.
    pub(crate) fn device_name(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// The same server's device of another name.
    pub(crate) fn with_device(&self, device: &str) -> Self {
        Self { device: Some(device.to_owned()), ..self.clone() }
    }

    /// The one and only of an equal address, which stays for as long as the process: people type few.
    pub(crate) fn interned(self) -> &'static Self {
        use std::{
            collections::HashSet,
            sync::{Mutex, PoisonError},
        };
        static KNOWN: Mutex<Option<HashSet<&'static Address>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(same) = known.get(&self) {
            return same;
        }
        let kept: &'static Self = Box::leak(Box::new(self));
        known.insert(kept);
        kept
    }
}

/// Who it is, without the token.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebSocket(host) => f.write_str(host),
            Self::Iroh { id, .. } => write!(f, "{}", id.fmt_short()),
        }
    }
}

/// Without the token, which is a secret.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)
    }
}

/// In full, with the token.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_str();
        match &self.host {
            Host::WebSocket(host) => write!(f, "{SCHEME}ws://{token}@{host}")?,
            Host::Iroh { id, addresses, relays } => {
                write!(f, "{SCHEME}iroh://{token}@{id}")?;
                addresses.iter().try_for_each(|address| write!(f, ",{address}"))?;
                match relays {
                    IrohRelays::Public => {}
                    IrohRelays::Disabled => write!(f, ",{DIRECT}")?,
                    IrohRelays::Private { url } => write!(f, ",{url}")?,
                }
            }
        }
        self.device.iter().try_for_each(|device| write!(f, "/{device}"))
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!("{what}; copy the line that `kindling serve` prints: remote:iroh://… or remote:ws://…")
        };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("no address of a device elsewhere"))?;
        let (kind, rest) = rest.split_once("://").ok_or_else(|| wrong("the address says no way to get there"))?;
        let (token, place) = rest.split_once('@').ok_or_else(|| wrong("the address has no token"))?;
        let token = token.parse()?;
        let (place, device) = match place.rsplit_once('/') {
            Some((place, device)) if is_device(device) => (place, Some(device.to_owned())),
            _ => (place, None),
        };
        let host = match kind {
            "ws" => web_socket(place).ok_or_else(|| wrong("a WebSocket's address is HOST:PORT"))?,
            "iroh" => {
                iroh(place).map_err(|part| wrong(&format!("“{}” is no part of an address", text::foreign(part))))?
            }
            _ => return Err(wrong(&format!("there is no way called “{}”", text::foreign(kind)))),
        };
        Ok(Self { token, host, device })
    }
}

fn is_device(text: &str) -> bool {
    matches!(text, "cpu" | "gpu") || text.strip_prefix("gpu:").is_some_and(|index| index.parse::<u16>().is_ok())
}

fn web_socket(place: &str) -> Option<Host> {
    let (host, port) = place.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    (!host.is_empty() && port > 0 && host.chars().all(fits)).then(|| Host::WebSocket(format!("{host}:{port}")))
}

/// The part that is wrong, where one is.
fn iroh(place: &str) -> Result<Host, &str> {
    let mut parts = place.split(',');
    let first = parts.next().unwrap_or_default();
    let id = first.parse().map_err(|_| first)?;
    let (mut addresses, mut relays) = (Vec::new(), IrohRelays::Public);
    for part in parts {
        match part.parse() {
            Ok(address) => addresses.push(address),
            Err(_) if part == DIRECT => relays = IrohRelays::Disabled,
            Err(_) if part.starts_with("https://") => relays = part.parse().map_err(|_| part)?,
            Err(_) => return Err(part),
        }
    }
    Ok(Host::Iroh { id, addresses, relays })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";

    #[test]
    fn addresses_come_back_as_they_were_written() {
        for text in [
            "remote:ws://0123456789ab@box:4000".to_owned(),
            "remote:ws://0123456789ab@[::1]:4000/gpu:1".to_owned(),
            format!("remote:iroh://0123456789ab@{ID}"),
            format!("remote:iroh://0123456789ab@{ID},192.168.1.5:4433,[::1]:4433/cpu"),
            format!("remote:iroh://0123456789ab@{ID},192.168.1.5:4433,direct"),
            format!("remote:iroh://0123456789ab@{ID},https://relay.example.org/"),
            format!("remote:iroh://0123456789ab@{ID},https://relay.example.org/a/gpu"),
        ] {
            let address: Address = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.to_string(), text);
            assert!(std::ptr::eq(address.clone().interned(), address.clone().interned()));
            assert!(!format!("{address:?}").contains("0123456789ab"), "the token is a secret");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_one_line() {
        for text in [
            "remote:",
            "remote:box:4000",
            "remote:ws://box:4000",
            "remote:ws://short@box:4000",
            "remote:ws://0123456789ab@box",
            "remote:ws://0123456789ab@:1",
            "remote:ws://0123456789ab@box:0",
            "remote:ws://0123456789ab@bo x:4000",
            "remote:http://0123456789ab@box:4000",
            "remote:iroh://0123456789ab@box:4000",
            &format!("remote:iroh://0123456789ab@{ID},nowhere"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(!error.contains('\n') && !error.contains("0123456789ab"), "{error}");
        }
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let [a, b] = [Token::random(), Token::random()];
        assert!(a != b && a.as_str().len() == 32);
        assert!(a.as_str().parse::<Token>().is_ok_and(|token| token == a));
    }
}
