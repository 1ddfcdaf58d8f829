//! What travels between a link and a server. Each message is one custom operation of burn's, with these bytes as its
//! input and, where an answer is wanted, the answer's as its output.

use super::{About, Content};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The custom operation's name.
pub(super) const OPERATION: &str = "kindling";

/// From the client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// Answered by [`About`].
    About,
    /// Answered at once, beside whatever else the server does for the client.
    Ping,
    /// Which of the devices is meant: before all that follows.
    Open { device: Option<String> },
    /// Whether the server has these bytes.
    Has(Content),
    /// The next piece of bytes that the server is to keep, `total` in all.
    Store {
        content: Content,
        total: u64,
        #[serde(with = "serde_bytes")]
        piece: Vec<u8>,
    },
    /// For whoever does the work.
    Call(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Answered when all before it is done.
    Mark,
    /// The client is done with the device.
    Close,
}

/// To the client: what was asked for, or why it can't be had.
pub(super) type Answer = Result<serde_bytes::ByteBuf, Failure>;

/// Why there is no answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub reason: String,
    /// Whether the device or the way to it went away, so that trying again may help.
    pub lost: bool,
}

impl From<String> for Failure {
    /// Something that can't be done.
    fn from(reason: String) -> Self {
        Self { reason, lost: false }
    }
}

impl Failure {
    pub(super) fn lost(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), lost: true }
    }
}

/// As bytes.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Fails for maps of unknown length, of which there are none.
    rmp_serde::to_vec(value).unwrap_or_default()
}

/// The way back.
///
/// # Errors
/// Where the bytes are no such value.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| format!("not understood ({error})"))
}

/// What servers say of themselves begins with this, so that it can be read whatever comes behind.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Introduction {
    pub version: String,
    #[serde(with = "serde_bytes")]
    pub about: Vec<u8>,
}

/// Both sides have to be the same to understand each other.
pub(super) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), ".1");

impl Introduction {
    pub(super) fn of(about: &About) -> Self {
        Self { version: VERSION.to_owned(), about: encode(about) }
    }
}
