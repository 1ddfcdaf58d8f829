//! Networks on a device elsewhere, as their client has them. What the model does there is called for in few words (a step is
//! one call, with a few numbers an image), and done there by the same code as here: [`host`](super::host) has networks and
//! learners of its own, and so the results are those of that device to the bit, wherever the run is.
//!
//! Randomness, schedules and files stay with the client, so a server that is lost takes nothing with it.

mod net;
pub(super) mod request;
mod training;

pub(super) use net::Net;
pub(super) use training::Training;
