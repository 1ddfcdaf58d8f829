//! Every pane at every size: no text is cut off, and none lies on another. With `KINDLING_PICTURES=FOLDER` each is drawn
//! into a picture there, in both themes, to be looked at.

use super::*;
use egui::{Rect, Vec2, vec2};
use kindling::app::PaneId;

/// What each place of the window shows at once, with the name of its picture.
const VIEWS: [(&str, [PaneId; 2]); 5] = [
    ("charts", [PaneId::CHARTS, PaneId::PREDICTIONS]),
    ("samples", [PaneId::SAMPLES, PaneId::CLASSES]),
    ("runs", [PaneId::RUNS, PaneId::MISTAKES]),
    ("layers", [PaneId::LAYERS, PaneId::CONFUSION]),
    ("log", [PaneId::LOG, PaneId::CLASSIFY]),
];

/// Names of the tabs of panes.
const TABS: [&str; 11] = [
    "Charts",
    "Samples",
    "Runs",
    "Log",
    "Layers",
    "Timeline",
    "Predictions",
    "Classes",
    "Mistakes",
    "Confusion",
    "Classify",
];

/// Points, and pixels in each: the window at first, a small one, and the first at 200 %.
const SIZES: [(&str, Vec2, f32); 3] =
    [("1400x900", vec2(1400.0, 900.0), 1.0), ("900x600", vec2(900.0, 600.0), 1.0), ("200", vec2(700.0, 450.0), 2.0)];

/// A line of text on screen, and what is seen of the surface that it stands on.
struct Line {
    text: String,
    rect: Rect,
    clip: Rect,
}

impl Driver {
    fn lines(&self) -> Vec<Line> {
        fn collect(shape: &Shape, clip: Rect, lines: &mut Vec<Line>) {
            match shape {
                Shape::Text(text) if text.angle == 0.0 => {
                    for row in text.galley.rows.iter().filter(|row| !row.text().trim().is_empty()) {
                        let rect = row.rect_without_leading_space().translate(text.pos.to_vec2());
                        lines.push(Line { text: row.text(), rect, clip });
                    }
                }
                Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, clip, lines)),
                _ => {}
            }
        }
        let mut lines = Vec::new();
        self.harness.output().shapes.iter().for_each(|shape| collect(&shape.shape, shape.clip_rect, &mut lines));
        lines.retain(|line| line.rect.intersect(line.clip).is_positive());
        // Tabs that have no room are scrolled to.
        lines.retain(|line| !TABS.contains(&line.text.as_str()));
        lines
    }

    /// What is cut off at the side, and what lies on something else where nothing should.
    fn faults(&self, flat: bool) -> Vec<String> {
        /// Points by which rounding may be wrong, and letters may come close.
        const SLACK: f32 = 1.5;
        let lines = self.lines();
        let mut faults = Vec::new();
        for (at, one) in lines.iter().enumerate() {
            if one.rect.left() < one.clip.left() - SLACK || one.rect.right() > one.clip.right() + SLACK {
                faults.push(format!("“{}” at {} is cut off by {}", one.text, one.rect, one.clip));
            }
            let seen = |line: &Line| line.rect.intersect(line.clip).shrink(SLACK);
            for other in lines[..at].iter().filter(|other| flat && seen(other).intersects(seen(one))) {
                faults.push(format!("“{}” at {} lies on “{}” at {}", one.text, one.rect, other.text, other.rect));
            }
        }
        faults
    }

    fn is_validated(&self) -> bool {
        self.step() > 0 && self.events(&self.run_folder()).iter().any(|event| matches!(event, Event::Epoch { .. }))
    }

    fn settle(&mut self) {
        for _ in 0..12 {
            self.harness.step();
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    fn resize(&mut self, size: Vec2, pixels: f32) {
        /// What the harness leaves free around the window, on each side.
        const MARGIN: f32 = 8.0;
        self.harness.set_pixels_per_point(pixels);
        // A frame takes the change of scale as one of size.
        self.harness.step();
        self.harness.set_size(size + Vec2::splat(2.0 * MARGIN));
        self.settle();
    }

    /// Looks at the window as it stands; gives what is wrong. It is flat where nothing is open over the panes.
    fn look(&mut self, name: &str, flat: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let pictures = std::env::var_os("KINDLING_PICTURES").map(PathBuf::from);
        for (size_name, size, pixels) in SIZES {
            self.resize(size, pixels);
            faults.extend(self.faults(flat).into_iter().map(|fault| format!("{name}, {size_name}: {fault}")));
            let Some(folder) = &pictures else { continue };
            for (theme, dark) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
                self.harness.input_mut().system_theme = Some(theme);
                self.settle();
                let picture = self.harness.render().expect("an adapter draws it");
                picture.save(folder.join(format!("{name}_{size_name}_{dark}.png"))).unwrap();
            }
        }
        let (_, size, pixels) = SIZES[0];
        self.resize(size, pixels);
        faults
    }
}

#[test]
fn no_text_is_cut_off_or_lies_on_another() {
    let mut driver = Driver::open();
    driver.window_mut().state.ask(Action::LoadData("sample".into()));
    driver.wait("the sample set", |driver| driver.window().state.data.dataset.is_some());
    // Two runs, the second beside the first, with a change on the way and a way back.
    driver.window_mut().state.set("epochs", Value::Int(3));
    driver.click("▶ Train");
    driver.wait("a validation", Driver::is_validated);
    driver.window_mut().state.set("lr", Value::Float(0.05));
    driver.wait("the end", |driver| driver.sees("Train longer"));
    let mut faults = driver.look("done", true);
    driver.click("▶ Train");
    driver.wait("a validation", Driver::is_validated);
    faults.extend(driver.look("training", true));
    driver.stop();
    driver.window_mut().state.ask(Action::ClassifyHeldOut(3));
    driver.window_mut().state.ask(Action::Show(PaneId::RUNS));
    driver.wait("the list", |driver| driver.sees("Compare sample-resnet8"));
    driver.click("Compare sample-resnet8");
    driver.click("Run sample-resnet8");
    for (name, panes) in VIEWS {
        panes.into_iter().for_each(|pane| driver.window_mut().state.ask(Action::Show(pane)));
        driver.settle();
        faults.extend(driver.look(name, true));
    }
    driver.window_mut().state.ask(Action::Show(PaneId::CHARTS));
    driver.settle();
    for (size_name, size, pixels) in &SIZES[..2] {
        driver.resize(*size, *pixels);
        driver.click("Snapshot epoch-1, step 94");
        driver.settle();
        let whole = |line: &Line| line.text == "Rewind to here" && line.clip.contains_rect(line.rect);
        if !driver.lines().iter().any(whole) {
            faults.push(format!("snapshot, {size_name}: what can be done with it is not to be seen"));
        }
        driver.click("Snapshot epoch-1, step 94");
    }
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/weights/resnet20_fp16.pth");
    let dialogs = [
        ("help", Action::Help),
        ("cache", Action::ShowCache),
        ("export", Action::Export(driver.run_folder())),
        ("weights", Action::OfferWeights(weights.to_string_lossy().into_owned())),
        ("finder", Action::FindRate),
    ];
    for (name, action) in dialogs {
        driver.window_mut().state.ask(action);
        driver.settle();
        faults.extend(driver.look(name, false));
        driver.harness.key_press(Key::Escape);
        driver.settle();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
