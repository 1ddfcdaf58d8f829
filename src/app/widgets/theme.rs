//! Every colour, size and space of the window, in one place, for both themes.
//!
//! Hues follow Okabe and Ito's palette, which stays distinct under the common colour-vision deficiencies: training is
//! orange, validation sky blue; right is blue and wrong is red, always together with ✓ or ✗. Text keeps a contrast of
//! at least 4.5 to 1 against the surface that it stands on (a test measures it).

use eframe::egui::{
    self, Color32, CornerRadius, FontData, FontFamily, FontId, Margin, Stroke, TextStyle, Theme, ThemePreference, Vec2,
    Visuals,
    epaint::text::{FontInsert, FontPriority, InsertFontFamily},
};
use serde::{Deserialize, Serialize};

/// What the user asked for. `System` follows the desktop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Choice {
    #[default]
    System,
    Dark,
    Light,
}

impl From<Choice> for ThemePreference {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::System => ThemePreference::System,
            Choice::Dark => ThemePreference::Dark,
            Choice::Light => ThemePreference::Light,
        }
    }
}

/// The colours of one theme.
#[derive(Debug, PartialEq)]
pub(crate) struct Palette {
    /// Behind everything: between the panes.
    pub window: Color32,
    /// Bars and the setup column.
    pub panel: Color32,
    /// Inside a pane, and behind plots.
    pub pane: Color32,
    /// Something raised: a card, a chip, an empty slot for an image.
    pub raised: Color32,
    pub border: Color32,
    pub text: Color32,
    /// Explanations and captions.
    pub weak: Color32,
    /// The one thing to press.
    pub accent: Color32,
    pub on_accent: Color32,
    pub right: Color32,
    pub wrong: Color32,
    pub warning: Color32,
    pub train: Color32,
    pub validation: Color32,
    pub rate: Color32,
    pub speed: Color32,
    /// Badges that say when a change takes effect.
    pub now: Color32,
    pub next_epoch: Color32,
    pub restart: Color32,
    /// Around what the keyboard is at.
    pub focus: Color32,
    /// Curves of other branches and runs, in turn.
    pub others: [Color32; 4],
    /// Curves of runs that are compared, in turn; none is the training or the validation colour.
    pub runs: [Color32; 4],
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

static DARK: Palette = Palette {
    window: rgb(0x0f1216),
    panel: rgb(0x171b21),
    pane: rgb(0x1b2027),
    raised: rgb(0x262c36),
    border: rgb(0x323a46),
    text: rgb(0xdfe4ec),
    weak: rgb(0x98a3b3),
    accent: rgb(0xf08a3c),
    on_accent: rgb(0x1c1206),
    right: rgb(0x5eb0ff),
    wrong: rgb(0xff7a6b),
    warning: rgb(0xe8b931),
    train: rgb(0xe69f00),
    validation: rgb(0x56b4e9),
    rate: rgb(0x2fbf8f),
    speed: rgb(0xd893bb),
    now: rgb(0x4cc29a),
    next_epoch: rgb(0x7db4f0),
    restart: rgb(0xc9a26b),
    focus: rgb(0xffd166),
    others: [rgb(0xcc79a7), rgb(0x009e73), rgb(0xf0e442), rgb(0x8f9bb0)],
    runs: [rgb(0x8f7bff), rgb(0x3ddc97), rgb(0xf4ea5a), rgb(0xffffff)],
};

static LIGHT: Palette = Palette {
    window: rgb(0xdfe3e8),
    panel: rgb(0xf3f5f7),
    pane: rgb(0xffffff),
    raised: rgb(0xe9ecf0),
    border: rgb(0xc6ccd4),
    text: rgb(0x1c232c),
    weak: rgb(0x566171),
    accent: rgb(0xb4530c),
    on_accent: rgb(0xffffff),
    right: rgb(0x0a5bb5),
    wrong: rgb(0xc02a1c),
    warning: rgb(0x8a6100),
    train: rgb(0xb56a00),
    validation: rgb(0x0f74b3),
    rate: rgb(0x00795a),
    speed: rgb(0xa5487d),
    now: rgb(0x0b7353),
    next_epoch: rgb(0x1d5fa8),
    restart: rgb(0x85591b),
    focus: rgb(0x1d5fa8),
    others: [rgb(0xa5487d), rgb(0x00795a), rgb(0x857a00), rgb(0x566171)],
    runs: [rgb(0x4b2bd6), rgb(0x009e73), rgb(0x7a1f1f), rgb(0x10151b)],
};

/// The colours of `theme`.
pub(crate) fn palette_of(theme: Theme) -> &'static Palette {
    match theme {
        Theme::Dark => &DARK,
        Theme::Light => &LIGHT,
    }
}

/// The colours that `ui` is drawn with.
pub(crate) fn palette(ui: &egui::Ui) -> &'static Palette {
    palette_of(if ui.visuals().dark_mode { Theme::Dark } else { Theme::Light })
}

/// Colour of a compared run's curves, and whether they are dashed: four colours, then the same again dashed.
pub(crate) fn run_line(palette: &Palette, slot: usize) -> (Color32, bool) {
    (palette.runs[slot % palette.runs.len()], slot / palette.runs.len() % 2 == 1)
}

/// Colour of a branch of the run at hand that was left; those come in turn, and none could be taken for what goes on.
pub(crate) fn branch_color(palette: &Palette, number: u32) -> Color32 {
    let alike = |a: Color32, b: Color32| {
        a.to_array().into_iter().zip(b.to_array()).map(|(a, b)| u32::from(a.abs_diff(b))).sum::<u32>() < 100
    };
    let free = |color: &Color32| !alike(*color, palette.train) && !alike(*color, palette.validation);
    let free: Vec<Color32> = palette.others.into_iter().filter(free).collect();
    free.get(number as usize % free.len().max(1)).map_or(palette.weak, |color| color.gamma_multiply(0.85))
}

/// The program's sign, the same in both themes: outside and inside of the flame.
pub(crate) const FLAME: [Color32; 2] = [rgb(0xf08a3c), rgb(0xffd166)];
/// Side of a thumbnail in a grid, in points.
pub(crate) const THUMBNAIL: f32 = 72.0;
/// Width of the setup column on first start, in points.
pub(crate) const SETUP_WIDTH: f32 = 330.0;
/// Space around the contents of a pane, in points.
pub(crate) const PANE_MARGIN: i8 = 8;
/// Corners of buttons, cards and images.
pub(crate) const CORNER: u8 = 4;

/// Gives both themes of `ctx` their style.
pub(crate) fn apply(ctx: &egui::Context) {
    add_signs(ctx);
    crate::app::widgets::fonts::add(ctx);
    for theme in [Theme::Dark, Theme::Light] {
        let palette = palette_of(theme);
        ctx.style_mut_of(theme, |style| {
            style.visuals = visuals(theme, palette);
            let sizes = [
                (TextStyle::Small, 11.0, FontFamily::Proportional),
                (TextStyle::Body, 13.5, FontFamily::Proportional),
                (TextStyle::Button, 13.5, FontFamily::Proportional),
                (TextStyle::Heading, 19.0, FontFamily::Proportional),
                (TextStyle::Monospace, 12.0, FontFamily::Monospace),
            ];
            for (name, size, family) in sizes {
                style.text_styles.insert(name, FontId::new(size, family));
            }
            style.spacing.item_spacing = Vec2::new(8.0, 5.0);
            style.spacing.button_padding = Vec2::new(9.0, 4.0);
            style.spacing.interact_size.y = 22.0;
            style.spacing.slider_width = 110.0;
            style.spacing.tooltip_width = 320.0;
            // Bars appear on hovering, beside what they scroll and not over it.
            let bars = egui::style::ScrollStyle::floating();
            style.spacing.scroll = egui::style::ScrollStyle { bar_width: 7.0, floating_allocated_width: 8.0, ..bars };
            style.interaction.tooltip_delay = 0.35;
            // Short: an animation is a row of frames, and frames cost the training processor time.
            style.animation_time = 0.08;
        });
    }
}

/// Adds the signs that egui's own fonts lack (✓, ✗, ▶ …) behind them.
fn add_signs(ctx: &egui::Context) {
    let behind = |family| InsertFontFamily { family, priority: FontPriority::Lowest };
    let families = vec![behind(FontFamily::Proportional), behind(FontFamily::Monospace)];
    let font = FontData::from_static(include_bytes!("../../../assets/icons.ttf"));
    ctx.add_font(FontInsert::new("signs", font, families));
}

fn visuals(theme: Theme, palette: &Palette) -> Visuals {
    let mut visuals = theme.default_visuals();
    let corner = CornerRadius::same(CORNER);
    visuals.panel_fill = palette.panel;
    visuals.window_fill = palette.panel;
    visuals.window_stroke = Stroke::new(1.0, palette.border);
    visuals.window_corner_radius = CornerRadius::same(8);
    visuals.menu_corner_radius = CornerRadius::same(6);
    visuals.extreme_bg_color = if theme == Theme::Dark { palette.window } else { palette.pane };
    visuals.faint_bg_color = palette.raised;
    visuals.code_bg_color = palette.raised;
    visuals.hyperlink_color = palette.right;
    visuals.warn_fg_color = palette.warning;
    visuals.error_fg_color = palette.wrong;
    visuals.weak_text_color = Some(palette.weak);
    visuals.selection.bg_fill = palette.accent.gamma_multiply(0.35);
    visuals.selection.stroke = Stroke::new(1.0, palette.text);
    visuals.slider_trailing_fill = true;
    let widgets = &mut visuals.widgets;
    widgets.noninteractive.bg_fill = palette.panel;
    widgets.noninteractive.weak_bg_fill = palette.panel;
    widgets.noninteractive.bg_stroke = Stroke::new(1.0, palette.border);
    widgets.noninteractive.fg_stroke = Stroke::new(1.0, palette.text);
    let step = |amount: f32| palette.raised.lerp_to_gamma(palette.text, amount);
    for (widget, fill, border) in [
        (&mut widgets.inactive, palette.raised, palette.border),
        (&mut widgets.hovered, step(0.10), palette.weak),
        (&mut widgets.active, step(0.18), palette.accent),
        (&mut widgets.open, step(0.06), palette.border),
    ] {
        widget.bg_fill = fill;
        widget.weak_bg_fill = fill;
        widget.bg_stroke = Stroke::new(1.0, border);
        widget.fg_stroke = Stroke::new(1.0, palette.text);
        widget.expansion = 0.0;
    }
    for widget in [
        &mut widgets.noninteractive,
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
    ] {
        widget.corner_radius = corner;
    }
    visuals
}

/// The frame of a bar at the top or the bottom of the window.
pub(crate) fn bar_frame() -> egui::Frame {
    egui::Frame::new().inner_margin(Margin::symmetric(10, 6))
}

/// What the window is cleared with. Bars, the setup column and panes stand on it and are not filled again: a software
/// adapter works on a filled area as long as on all the text in it.
pub(crate) fn background(visuals: &Visuals) -> Color32 {
    palette_of(if visuals.dark_mode { Theme::Dark } else { Theme::Light }).pane
}

/// The frame of a part within a pane.
pub(crate) fn inner_frame() -> egui::Frame {
    egui::Frame::new().inner_margin(Margin { left: 0, right: 0, top: 6, bottom: 2 })
}

/// The frame of a pane's contents.
pub(crate) fn pane_frame(palette: &Palette) -> egui::Frame {
    egui::Frame::new().fill(palette.pane).inner_margin(Margin::same(PANE_MARGIN))
}

/// A dialog over the window.
pub(crate) fn dialog_frame(ctx: &egui::Context) -> egui::Frame {
    egui::Frame::popup(&ctx.global_style()).inner_margin(Margin::same(16))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, WCAG 2.
    fn luminance(color: Color32) -> f64 {
        let linear = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(color.r()) + 0.7152 * linear(color.g()) + 0.0722 * linear(color.b())
    }

    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_is_readable_on_every_surface() {
        for theme in [Theme::Dark, Theme::Light] {
            let p = palette_of(theme);
            let inks = [p.text, p.weak, p.right, p.wrong, p.warning, p.now, p.next_epoch, p.restart];
            for ink in inks {
                for surface in [p.panel, p.pane] {
                    assert!(
                        contrast(ink, surface) >= 4.5,
                        "{theme:?} {ink:?} on {surface:?}: {}",
                        contrast(ink, surface)
                    );
                }
            }
            assert!(contrast(p.on_accent, p.accent) >= 4.5, "{theme:?}: {}", contrast(p.on_accent, p.accent));
        }
    }

    #[test]
    fn curves_stand_out_from_the_plot() {
        for theme in [Theme::Dark, Theme::Light] {
            let p = palette_of(theme);
            for ink in [p.train, p.validation, p.rate, p.speed, p.focus].into_iter().chain(p.runs) {
                assert!(contrast(ink, p.pane) >= 3.0, "{theme:?} {ink:?}");
            }
        }
    }
    /// A colour as it looks with a deficiency, by the matrices of Machado, Oliveira and Fernandes (2009) at full
    /// severity, in CIE Lab.
    fn lab(color: Color32, matrix: [[f64; 3]; 3]) -> [f64; 3] {
        let linear = [color.r(), color.g(), color.b()].map(|v| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        });
        let apply = |m: [[f64; 3]; 3], v: [f64; 3]| m.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>());
        let seen = apply(matrix, linear).map(|v| v.clamp(0.0, 1.0));
        const XYZ: [[f64; 3]; 3] = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]];
        let [x, y, z] = apply(XYZ, seen);
        let f = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let (x, y, z) = (f(x / 0.9505), f(y), f(z / 1.089));
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn the_lines_of_compared_runs_are_told_apart_with_any_colour_vision() {
        let visions = [
            ("usual", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
            (
                "protanopia",
                [
                    [0.152_286, 1.052_583, -0.204_868],
                    [0.114_503, 0.786_281, 0.099_216],
                    [-0.003_882, -0.048_116, 1.051_998],
                ],
            ),
            (
                "deuteranopia",
                [
                    [0.367_322, 0.860_646, -0.227_968],
                    [0.280_085, 0.672_501, 0.047_413],
                    [-0.011_820, 0.042_940, 0.968_881],
                ],
            ),
        ];
        for theme in [Theme::Dark, Theme::Light] {
            let p = palette_of(theme);
            let lines: Vec<Color32> = [p.train, p.validation].into_iter().chain(p.runs).collect();
            for (name, matrix) in visions {
                for (i, &a) in lines.iter().enumerate() {
                    for &b in &lines[..i] {
                        let (one, other) = (lab(a, matrix), lab(b, matrix));
                        let apart = one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                        assert!(apart > 18.0, "{theme:?}, {name}: {a:?} and {b:?} are {apart:.0} apart");
                    }
                }
            }
        }
    }
}
