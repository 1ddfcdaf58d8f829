//! A device that is on another machine, by burn-remote: its transports, its sessions and its tensors, in which our own
//! messages travel.
//!
//! A link and a server know nothing of networks. They carry calls in their order ([`Link::tell`], [`Link::ask`]), keep bytes
//! by their content, so that a data set travels once ([`Link::keep`]), and notice when the other side is gone: a cut
//! connection has no end of its own over TCP, so a second session asks every second whether somebody is there. Nothing is
//! tried again here. Whoever trains knows where to go on from.

mod address;
mod link;
mod message;
mod server;
mod wire;

pub use address::Address;
pub(crate) use address::{Host, SCHEME, Token};
pub(crate) use link::{Link, LinkError, Pending};
pub(crate) use message::{decode, encode};
pub(crate) use server::{Handler, Limits, Server, Transport};

use super::Adapter;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a server is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    /// The machine's name.
    pub machine: String,
    /// Its best one first.
    pub devices: Vec<Offered>,
}

/// A device that a server offers, with what has to be known of it to plan work for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Offered {
    /// As it is called there: `cpu`, `gpu:0`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// `None` for the processor.
    pub adapter: Option<Adapter>,
    /// The largest tensor that its kernels see, in bytes.
    pub largest_tensor: Option<u64>,
    /// Whether it multiplies bfloat16.
    pub bf16: bool,
    /// Bytes of images that may stay on it.
    pub room: u64,
}

/// Bytes by what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Content([u8; 32]);

impl Content {
    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}
