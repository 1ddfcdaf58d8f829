//! Data: files, archives and folders become labelled 8-bit images.

pub mod pickle;
pub mod rng;
