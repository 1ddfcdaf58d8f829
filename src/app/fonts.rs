//! Letters that the built-in fonts lack, such as the Chinese or Arabic names of somebody's classes.
//!
//! Fonts for all scripts weigh tens of megabytes, and the system has them. The places where the systems keep their usual
//! ones are known; a file is only read when a letter turns up that nothing else has.

use eframe::egui::{self, FallbackRequest, FontData, FontInsert, FontProvider};
use std::{
    fs::File,
    io::Read as _,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

/// The largest font file that is read, in bytes; the usual ones for Chinese have about 20 MB.
const LARGEST: u64 = 128 << 20;

/// Where fonts with many letters usually stand, the best first.
#[cfg(target_os = "windows")]
const USUAL: &[&str] = &["segoeui.ttf", "msyh.ttc", "YuGothR.ttc", "msgothic.ttc", "malgun.ttf", "Nirmala.ttc"];
#[cfg(target_os = "macos")]
const USUAL: &[&str] = &[
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "/System/Library/Fonts/AppleSDGothicNeo.ttc",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
    "/Library/Fonts/Arial Unicode.ttf",
];
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const USUAL: &[&str] = &[
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-sans-cjk-vf-fonts/NotoSansCJK-VF.ttc",
    "/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/wenquanyi/wqy-microhei/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/nanum/NanumGothic.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
];

/// Lets `ctx` use the system's fonts for letters that its own fonts lack.
pub fn add(ctx: &egui::Context) {
    for name in USUAL {
        ctx.add_font_provider(Arc::new(FontFile::new(folder().join(name))));
    }
}

/// What the names in [`USUAL`] are within; those of Linux and macOS stand for themselves.
fn folder() -> PathBuf {
    match std::env::var_os("WINDIR") {
        Some(windows) if cfg!(target_os = "windows") => PathBuf::from(windows).join("Fonts"),
        _ => PathBuf::new(),
    }
}

/// One file, read at most once.
struct FontFile {
    path: PathBuf,
    data: OnceLock<Option<FontData>>,
}

impl FontFile {
    fn new(path: PathBuf) -> Self {
        Self { path, data: OnceLock::new() }
    }

    /// `None` for what is not there or can't be a font. Whether it is one, and has the letter, egui finds out.
    fn read(&self) -> Option<FontData> {
        let file = File::open(&self.path).ok()?;
        let about = file.metadata().ok()?;
        if !about.is_file() || about.len() > LARGEST {
            return None;
        }
        let mut bytes = Vec::with_capacity(about.len() as usize);
        // It may grow while it is read.
        file.take(LARGEST).read_to_end(&mut bytes).ok()?;
        Some(FontData::from_owned(bytes))
    }
}

impl FontProvider for FontFile {
    fn font_for(&self, _: &FallbackRequest<'_>) -> Option<FontInsert> {
        let data = self.data.get_or_init(|| self.read()).clone()?;
        Some(FontInsert::new(&self.path.to_string_lossy(), data, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{Context, FontFamily, FontId, RawInput};

    fn has(ctx: &Context, letter: char) -> bool {
        let mut has = false;
        let mut output = ctx.run_ui(RawInput::default(), |ui| {
            has = ui.fonts_mut(|fonts| fonts.has_glyph(&FontId::proportional(20.0), letter));
        });
        output.textures_delta.clear();
        has
    }

    #[test]
    fn a_letter_that_nothing_has_is_looked_for_in_the_files() {
        // egui's own fonts have no cross, the one that the program brings has.
        let (with, without) = (Context::default(), Context::default());
        with.add_font_provider(Arc::new(FontFile::new("no such file.ttf".into())));
        with.add_font_provider(Arc::new(FontFile::new("Cargo.toml".into())));
        with.add_font_provider(Arc::new(FontFile::new("assets/icons.ttf".into())));
        assert!(has(&with, '✗') && !has(&without, '✗'));
    }

    #[test]
    fn what_is_no_file_is_no_font() {
        let request = FallbackRequest { cluster: "猫", family: &FontFamily::Proportional };
        assert!(FontFile::new("no such file.ttf".into()).font_for(&request).is_none());
        assert!(FontFile::new("assets".into()).font_for(&request).is_none());
        let once = FontFile::new("assets/icons.ttf".into());
        let bytes = std::fs::read("assets/icons.ttf").unwrap();
        assert_eq!(once.font_for(&request).unwrap().data.bytes(), bytes);
        assert!(once.data.get().is_some(), "it is kept for the next letter");
    }
}
