//! The image in the clipboard, for classifying.

use super::pictures::Picture;

/// The image in the clipboard. Waits for whoever owns it: not for the frame.
pub fn image() -> Result<Picture, String> {
    let mut clipboard = arboard::Clipboard::new().map_err(|error| format!("The clipboard can't be read: {error}"))?;
    let image = clipboard.get_image().map_err(|error| match error {
        arboard::Error::ContentNotAvailable => "There is no image in the clipboard".to_owned(),
        error => format!("The clipboard can't be read: {error}"),
    })?;
    let pixels =
        image.bytes.chunks_exact(4).flat_map(|rgba| over_white([rgba[0], rgba[1], rgba[2], rgba[3]])).collect();
    Ok(Picture { width: image.width, height: image.height, channels: 3, pixels })
}

/// A colour that is not opaque, over white.
fn over_white([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    let blend = |v: u8| ((u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
    [blend(r), blend(g), blend(b)]
}
