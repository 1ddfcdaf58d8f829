//! The network that is inside the binary: EfficientNet-Lite0, trained on ImageNet, for photographs without a download.
//!
//! Its convolutions and its head are stored in 16 bits, which moves a probability by 0.002 at most on twenty
//! photographs and changes none of their first answers. `assets/make_backbone.py` makes the file; see
//! `assets/efficientnet_lite0-LICENSE.txt`.

use std::path::Path;

/// What `--weights`, and whoever asks for a file of weights, calls it.
pub(crate) const BUNDLED: &str = "bundled";

/// One of Kindling's own checkpoints.
static FILE: &[u8] = include_bytes!("../../assets/efficientnet_lite0.safetensors");

/// Whether a path means the network in the binary. A file of that name is `./bundled`.
pub(crate) fn is_bundled(path: &Path) -> bool {
    path == Path::new(BUNDLED)
}

/// The file that a path means, if it is the one in the binary.
pub(super) fn bytes(path: &Path) -> Option<&'static [u8]> {
    is_bundled(path).then_some(FILE)
}
