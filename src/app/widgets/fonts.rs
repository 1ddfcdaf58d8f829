//! Letters that the built-in fonts lack, such as the Thai, Chinese or Arabic names of somebody's classes.
//!
//! Fonts for all scripts weigh tens of megabytes, and the system has them. Which of its files has a letter is only known
//! when they are looked into, which may be thousands: so a letter that is missing is noted while a frame is drawn, looked
//! for on a thread, and shown a moment later. Nothing is read before a letter is missing.

use eframe::egui::{
    self, FallbackRequest, FontData, FontFamily, FontInsert, FontPriority, FontProvider, Id, InsertFontFamily,
};
use memmap2::Mmap;
use skrifa::{MetadataProvider as _, attribute::Style, raw::FileRef};
use std::{
    collections::HashSet,
    fs::{self, File},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// The largest font file that is looked into, in bytes; the usual ones for Chinese have about 20 MB.
const MAX_FONT_BYTES: u64 = 128 << 20;
/// Files and levels of folders that are looked at: a link may lead anywhere.
const MAX_FILES: usize = 20_000;
const MAX_DEPTH: usize = 8;

/// Lets `ctx` note the letters that its own fonts lack, for [`find_missing`].
pub(crate) fn add(ctx: &egui::Context) {
    let missing = Arc::new(Missing::default());
    ctx.data_mut(|data| data.insert_temp(id(), missing.clone()));
    ctx.add_font_provider(missing);
}

/// Looks for what was missing in this frame among the system's fonts, on a thread that asks for another frame.
pub(crate) fn find_missing(ctx: &egui::Context) {
    find_in(ctx, folders);
}

fn id() -> Id {
    Id::unique("missing letters")
}

fn find_in(ctx: &egui::Context, folders: impl FnOnce() -> Vec<PathBuf> + Send + 'static) {
    let Some(missing) = ctx.data(|data| data.get_temp::<Arc<Missing>>(id())) else { return };
    {
        let mut letters = missing.lock();
        if letters.searching || letters.wanted.is_empty() {
            return;
        }
        letters.searching = true;
    }
    let ctx = ctx.clone();
    let spawned = thread::Builder::new().name("fonts".to_owned()).spawn(move || {
        let mut files = missing.lock().files.take().unwrap_or_else(|| files_in(&folders()));
        loop {
            let wanted = {
                let mut letters = missing.lock();
                let wanted = mem::take(&mut letters.wanted);
                if wanted.is_empty() {
                    letters.files = Some(mem::take(&mut files));
                    letters.searching = false;
                    return;
                }
                wanted
            };
            let mut found: Vec<Face> = Vec::new();
            for letter in wanted {
                if !found.iter().any(|face| face.has(letter)) {
                    found.extend(face_with(&files, letter));
                }
            }
            found.into_iter().for_each(|face| ctx.add_font(face.insert()));
            ctx.request_repaint();
        }
    });
    if let Err(error) = spawned {
        // Boxes stay in place of the letters.
        tracing::warn!("can't start a thread to look for fonts: {error}");
    }
}

/// Letters that no font had, noted by egui while it draws.
#[derive(Default)]
struct Missing(Mutex<Letters>);

#[derive(Default)]
struct Letters {
    /// All that were ever missing: each is looked for once.
    known: HashSet<char>,
    wanted: Vec<char>,
    searching: bool,
    /// The system's font files, once they were listed.
    files: Option<Vec<PathBuf>>,
}

impl Missing {
    /// A panic elsewhere leaves the letters whole.
    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FontProvider for Missing {
    fn font_for(&self, request: &FallbackRequest<'_>) -> Option<FontInsert> {
        let mut letters = self.lock();
        let letter = request.cluster.chars().next()?;
        if letters.known.insert(letter) {
            letters.wanted.push(letter);
        }
        None
    }
}

/// One font in a file.
struct Face {
    path: PathBuf,
    map: Arc<Mmap>,
    index: u32,
    /// Upright and of normal weight.
    regular: bool,
}

impl Face {
    fn has(&self, letter: char) -> bool {
        skrifa::FontRef::from_index(&self.map, self.index).is_ok_and(|font| font.charmap().map(letter).is_some())
    }

    /// For egui, after all other fonts.
    fn insert(self) -> FontInsert {
        let last = |family| InsertFontFamily { family, priority: FontPriority::Lowest };
        let families = [FontFamily::Proportional, FontFamily::Monospace].map(last).to_vec();
        let name = format!("{} {}", self.path.display(), self.index);
        FontInsert::new(&name, FontData::from_blob(self.map, self.index), families)
    }
}

/// The first face with the letter, a regular one if there is any.
fn face_with(files: &[PathBuf], letter: char) -> Option<Face> {
    let mut second = None;
    for face in files.iter().flat_map(|path| faces_with(path, letter)) {
        if face.regular {
            return Some(face);
        }
        second = second.or(Some(face));
    }
    second
}

/// The faces in a file that have the letter, as outlines: pictures of emoji can't be drawn here.
fn faces_with(path: &Path, letter: char) -> Vec<Face> {
    let Some(map) = map(path) else { return Vec::new() };
    let Ok(file) = FileRef::new(&map) else { return Vec::new() };
    let mut faces = Vec::new();
    for (index, font) in file.fonts().enumerate() {
        let Ok(font) = font else { break };
        let glyph = font.charmap().map(letter);
        if glyph.and_then(|glyph| font.outline_glyphs().get(glyph)).is_none() {
            continue;
        }
        let attributes = font.attributes();
        let regular = attributes.style == Style::Normal && (300.0..=500.0).contains(&attributes.weight.value());
        faces.push(Face { path: path.to_owned(), map: map.clone(), index: index as u32, regular });
    }
    faces
}

fn map(path: &Path) -> Option<Arc<Mmap>> {
    let file = File::open(path).ok()?;
    let about = file.metadata().ok()?;
    if !about.is_file() || about.len() == 0 || about.len() > MAX_FONT_BYTES {
        return None;
    }
    // SAFETY: the map is only read. Were another program to cut the file short meanwhile, reading would end the process,
    // as with every mapped file; systems replace fonts by renaming, which leaves the mapped one whole.
    unsafe { Mmap::map(&file) }.ok().map(Arc::new)
}

/// Where the system keeps fonts.
fn folders() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()).unwrap_or_default();
    if cfg!(target_os = "windows") {
        let own = variable("LOCALAPPDATA").map(|folder| PathBuf::from(folder).join("Microsoft/Windows/Fonts"));
        let all = PathBuf::from(variable("WINDIR").unwrap_or_else(|| "C:\\Windows".into())).join("Fonts");
        return own.into_iter().chain([all]).collect();
    }
    if cfg!(target_os = "macos") {
        return vec![home.join("Library/Fonts"), "/Library/Fonts".into(), "/System/Library/Fonts".into()];
    }
    let data = variable("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let mut folders = vec![home.join(".local/share/fonts"), home.join(".fonts")];
    folders.extend(std::env::split_paths(&data).map(|folder| folder.join("fonts")));
    // NixOS, and what Flatpak lends of the system's.
    folders.extend(["/run/current-system/sw/share/X11/fonts", "/run/host/fonts"].map(PathBuf::from));
    folders
}

/// The font files below `folders`, those for plain text first.
fn files_in(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open: Vec<(PathBuf, usize)> = folders.iter().map(|folder| (folder.clone(), 0)).collect();
    while let Some((folder, depth)) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
            match ending.as_deref() {
                Some("ttf" | "otf" | "ttc" | "otc") if files.len() < MAX_FILES => files.push(path),
                _ if depth < MAX_DEPTH && path.is_dir() => open.push((path, depth + 1)),
                _ => {}
            }
        }
    }
    files.sort_by_cached_key(|path| (oddness(path), path.clone()));
    files.dedup();
    files
}

/// How unlike the window's own font a file is, by its name.
fn oddness(path: &Path) -> u32 {
    let name = path.file_stem().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let has = |words: &[&str]| u32::from(words.iter().any(|word| name.contains(word)));
    8 * has(&["symbol", "emoji", "unifont", "lastresort", "fallback"])
        + 4 * has(&["bold", "italic", "oblique", "light", "thin", "black", "medium", "condensed", "narrow"])
        + 2 * has(&["mono", "serif", "ming", "song"])
        + (1 - has(&["sans", "gothic", "ui"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{Context, FontId, RawInput};

    fn has(ctx: &Context, letter: char) -> bool {
        let mut has = false;
        let mut output = ctx.run_ui(RawInput::default(), |ui| {
            has = ui.fonts_mut(|fonts| fonts.has_glyph(&FontId::proportional(20.0), letter));
        });
        output.textures_delta.clear();
        has
    }

    /// A folder with a font that has a cross, somewhere, and files that are none.
    fn system() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("truetype/icons");
        fs::create_dir_all(&below).unwrap();
        fs::copy("assets/icons.ttf", below.join("Icons-Regular.ttf")).unwrap();
        fs::copy("Cargo.toml", folder.path().join("AAA Sans.ttf")).unwrap();
        fs::write(folder.path().join("empty.otf"), b"").unwrap();
        folder
    }

    #[test]
    fn a_letter_that_nothing_has_is_found_in_the_systems_fonts_a_moment_later() {
        // egui's own fonts have no cross.
        let system = system();
        let ctx = Context::default();
        add(&ctx);
        assert!(!has(&ctx, '✗') && !has(&ctx, '猫'));
        let begun = std::time::Instant::now();
        while !has(&ctx, '✗') {
            assert!(begun.elapsed().as_secs() < 60, "it is never found");
            let folder = system.path().to_owned();
            find_in(&ctx, move || vec![folder]);
            thread::yield_now();
        }
        assert!(!has(&ctx, '猫'), "what no file has stays missing");
    }

    #[test]
    fn nothing_is_looked_into_before_a_letter_is_missing() {
        let ctx = Context::default();
        add(&ctx);
        assert!(has(&ctx, 'a'));
        find_in(&ctx, || panic!("the system's fonts were listed"));
        let missing = ctx.data(|data| data.get_temp::<Arc<Missing>>(id())).unwrap();
        assert!(!missing.lock().searching);
    }

    #[test]
    fn only_fonts_are_found_and_plain_ones_first() {
        let system = system();
        let files = files_in(&[system.path().to_owned(), "no such folder".into()]);
        assert_eq!(files.len(), 3);
        let face = face_with(&files, '✗').unwrap();
        assert!(face.path.ends_with("Icons-Regular.ttf") && face.has('✗'));
        assert!(face_with(&files, '猫').is_none());
        let order = ["NotoSansThai-Regular.ttf", "Garuda.ttf", "NotoSerifThai.ttf", "Garuda-Bold.ttf", "unifont.ttf"];
        assert!(order.windows(2).all(|pair| oddness(Path::new(pair[0])) < oddness(Path::new(pair[1]))));
    }
}
