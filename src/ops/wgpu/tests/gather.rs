use super::{close_stored, devices, oracle, storages};
use crate::{
    data::{Normalisation, PixelRules, Split},
    ops::{
        Storage,
        sample::{Mix, SampleParams, mix},
        wgpu::gather::{Images, gather},
    },
    train::{Recipe, Transform, choices::CropMode},
};

/// Crops that leave the image, mirrored ones, cutouts, noise and colours, each on some of the images.
fn params(count: u32, [h, w]: [u32; 2], mix: Mix) -> Vec<SampleParams> {
    let one = |i: u32| SampleParams {
        dx: i as i32 % 5 - 2,
        dy: (i as i32 / 2) % 7 - 3,
        flip: i % 2,
        cut: if i.is_multiple_of(3) { [1, 0, w / 2, h.min(3)] } else { [0; 4] },
        erased: if i % 3 == 1 { [w / 3, h / 2, w, h] } else { [0; 4] },
        noise: 0x9e37_79b9_u32.wrapping_mul(i + 1),
        gain: if i.is_multiple_of(4) { 1.3 } else { 1.0 },
        offset: if i.is_multiple_of(4) { -20.0 } else { 0.0 },
        saturation: if i % 4 == 1 { 0.5 } else { 1.0 },
        mix,
        lambda: 0.7,
        mix_box: [0, 1, w / 2, h],
        ..SampleParams::plain((i * 7) % count, 0)
    };
    (0..count).map(one).collect()
}

/// Images of one class.
fn split(pixels: &[u8], [height, width]: [usize; 2], channels: usize) -> Split {
    let labels = vec![0; pixels.len() / (height * width * channels)];
    Split { height, width, channels, pixels: pixels.to_vec().into(), labels, sources: None, contents: None }
}

#[test]
fn a_batch_gathered_on_the_device_is_the_rendered_one() {
    for (size, channels, count) in [([8, 9], 3, 7), ([5, 5], 1, 6), ([1, 3], 3, 4)] {
        let [h, w] = size;
        let pixels: Vec<u8> = (0..count * h * w * channels).map(|i| (i * 37 % 251) as u8).collect();
        let split = split(&pixels, size, channels);
        let normalisation = Normalisation { mean: vec![0.4; channels], std: vec![0.3; channels] };
        for crop_mode in [CropMode::Zero, CropMode::Reflect] {
            for mixing in [Mix::None, Mix::Mixup, Mix::Cutmix] {
                let params = params(count as u32, [h as u32, w as u32], mixing);
                let recipe = Recipe { crop_mode, ..Recipe::default() };
                let transform = Transform::new(&split, &recipe, &normalisation, PixelRules::default());
                let mut want = vec![0.0; count * transform.output_len()];
                for (params, out) in params.iter().zip(want.chunks_mut(transform.output_len())) {
                    transform.render(&split, params, out);
                }
                mix(&params, transform.shape(), &mut want);
                for device in devices() {
                    // In one binding and in three.
                    for most in [1 << 20, 3 * h * w * channels] {
                        let images = Images::upload_in_parts(&device.gpu, &pixels, size, channels, most);
                        let images = images.expect("it fits");
                        let name = format!("{size:?} x {channels}, {crop_mode:?}, {mixing:?}, {most} bytes a binding");
                        for storage in storages() {
                            let batch = gather(&device.gpu, &images, &params, transform.rules(), storage);
                            let got = device.load(&batch.pixels, storage);
                            close_stored(&name, &got, &oracle::wide(&want), storage);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_resized_crop_gathered_on_the_device_is_the_rendered_one_within_a_level() {
    // Shrinking by much and by little, growing, and one pixel to many.
    for (size, output, channels, corner, crop) in [
        ([60, 83], 8, 3, [5, 3], [70, 50]),
        ([20, 9], 12, 1, [0, 2], [9, 15]),
        ([9, 20], 30, 3, [11, 0], [9, 9]),
        ([4, 4], 5, 3, [3, 3], [1, 1]),
    ] {
        let ([h, w], count) = (size, 5);
        let pixels: Vec<u8> = (0..count * h * w * channels).map(|i| (i * i * 37 % 251) as u8).collect();
        let split = split(&pixels, size, channels);
        let normalisation = Normalisation { mean: vec![0.4; channels], std: vec![0.3; channels] };
        let recipe = Recipe { image_size: output, ..Recipe::default() };
        let transform = Transform::new(&split, &recipe, &normalisation, PixelRules::default());
        let params = params(count as u32, [output as u32; 2], Mix::Mixup).into_iter();
        let [dx, dy] = corner;
        let params: Vec<SampleParams> = params.map(|params| SampleParams { dx, dy, resized: crop, ..params }).collect();
        let mut want = vec![0.0; count * transform.output_len()];
        for (params, out) in params.iter().zip(want.chunks_mut(transform.output_len())) {
            transform.render(&split, params, out);
        }
        mix(&params, transform.shape(), &mut want);
        // The largest gain makes more of a level.
        let level = 1.3 / 255.0 / 0.3;
        for device in devices() {
            let images = Images::send(&device.gpu, &pixels, size, channels);
            let batch = gather(&device.gpu, &images, &params, transform.rules(), Storage::F32);
            let got = device.load(&batch.pixels, Storage::F32);
            assert_eq!(got.len(), want.len());
            for (i, (a, b)) in got.iter().zip(&want).enumerate() {
                assert!((a - b).abs() <= level + 1e-4, "{size:?} to {output}: value {i} is {a}, not {b}");
            }
        }
    }
}
