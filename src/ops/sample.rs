//! What is done to the images of a batch, as plain words: the CPU renders by them, and `gather.wgsl` reads them as they
//! are.

use super::wgsl_type::{Kind, WgslType, wgsl_struct};
use bytemuck::NoUninit;

/// How an image is mixed with its partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, NoUninit)]
#[repr(u32)]
pub enum Mix {
    #[default]
    None = 0,
    /// `share` of this image plus the rest of the partner, everywhere.
    Mixup = 1,
    /// The partner inside the box, this image outside.
    Cutmix = 2,
}

wgsl_struct! {
    /// What is done to one image. Sizes are pixels: `dx`, `dy` of the stored image, the boxes of the rendered one.
    ///
    /// In order: crop, flip, resize (where the network's size differs), colour, clamp to 0 … 255, normalise, cutout,
    /// mix. A resized crop is resized before it is flipped.
    pub struct SampleParams {
        /// Position in the split.
        pub index: u32,
        /// The crop's top left corner: pixel `(x, y)` of the crop is pixel `(x + dx, y + dy)` of the image.
        pub dx: i32,
        pub dy: i32,
        /// 1 mirrors the crop left to right.
        pub flip: u32,
        /// Half-open box `[x0, y0, x1, y1]` that becomes 0 after normalisation (the mean colour); empty for none.
        pub cut: [u32; 4],
        /// Brightness and contrast as one: pixel value `v` in 0 … 255 becomes `gain * v + offset` …
        pub gain: f32,
        pub offset: f32,
        /// … and then `gray + saturation * (v - gray)`, where gray is its brightness. 1 leaves colours alone.
        pub saturation: f32,
        pub mix: Mix,
        /// Position of the partner in the same batch.
        pub partner: u32,
        /// Weight of this image, and of its label.
        pub share: f32,
        /// Half-open box `[x0, y0, x1, y1]` of cutmix.
        pub mix_box: [u32; 4],
        /// Class of this image and of its partner.
        pub label: u32,
        pub partner_label: u32,
        /// Width and height of a crop that is resized to the network's size, within the image; 0 leaves the crop as
        /// large as the image.
        pub resized: [u32; 2],
    }
}

impl WgslType for Mix {
    const KIND: Kind = u32::KIND;
}

impl SampleParams {
    /// An image as it is, as validation sees it.
    pub fn plain(index: u32, label: u32) -> Self {
        Self {
            index,
            dx: 0,
            dy: 0,
            flip: 0,
            cut: [0; 4],
            gain: 1.0,
            offset: 0.0,
            saturation: 1.0,
            mix: Mix::None,
            partner: 0,
            share: 1.0,
            mix_box: [0; 4],
            label,
            partner_label: label,
            resized: [0; 2],
        }
    }

    /// Whether the crop is resized to the network's size.
    pub fn resizes(&self) -> bool {
        self.resized != [0; 2]
    }

    /// Whether pixel values are touched beyond moving them.
    pub fn recolours(&self) -> bool {
        self.gain != 1.0 || self.offset != 0.0 || self.saturation != 1.0
    }
}
