//! How quick the window is while it trains, and what it costs the training.
//!
//! The program's own window is opened, and a [`script`] on a thread of its own is its [`user`]. A [`stage`] around
//! the window takes the time of each frame; the [`driver`] is where both meet. Where there is no display, the same window
//! is drawn into a texture instead ([`offscreen`]). [`pace`] compares runs with the window and without it.

mod driver;
mod offscreen;
mod pace;
mod script;
mod stage;
mod user;

use super::{Settings, window::Window};
use crate::app::desktop::display;
use crate::{
    data::{self, Dataset, LoadOptions},
    device::Choice,
    median::median,
};
use anyhow::Context as _;
use driver::{Driver, Frame};
use eframe::{egui_wgpu::RenderState, wgpu};
use stage::Stage;
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Without a frame for so long, nothing goes on: a message stays less long on screen.
const MAX_STILL: Duration = Duration::from_secs(10);

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// What trains.
    pub device: Choice,
    /// Runs with the window and as many without it, in turn.
    pub rounds: u32,
    /// Epochs of each of them; the first one is not measured.
    pub epochs: u64,
}

/// What was measured. Times are in milliseconds, and 95 of 100 are at most as long.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Where the window was drawn, and by what.
    pub drawn_by: String,
    /// Layout and tessellation of a frame.
    pub ui_p95_ms: f64,
    /// A whole frame, from its beginning until it is drawn.
    pub frame_p95_ms: f64,
    /// From an input until the frame that shows its effect is drawn.
    pub input_p95_ms: f64,
    /// Images a second with the window over those without it.
    pub train_ratio: f64,
    /// The same while the window is being used.
    pub train_ratio_in_use: f64,
    pub headless_images_per_s: f64,
    pub window_images_per_s: f64,
    /// Frames a second while it trains and nobody touches it.
    pub frames_per_s: f64,
    /// Frames a minute while nothing goes on.
    pub idle_frames_per_min: f64,
    /// What the percentiles are over.
    pub frames: usize,
    pub inputs: usize,
}

/// Measures, which takes a minute or two.
///
/// # Errors
/// One line where no window can be drawn or a run fails.
pub(crate) fn measure(options: Options, say: impl Fn(&str) + Send + 'static) -> anyhow::Result<Figures> {
    super::training_gives_way();
    let folder = tempfile::tempdir().context("a temporary folder for the runs can't be made")?;
    let report = |_: &data::Report| ControlFlow::Continue(());
    let dataset = Arc::new(data::load(data::SAMPLE, &LoadOptions::default(), &report)?);
    let bench = Bench { options, dataset, runs: folder.path().to_owned() };
    let (send, result) = mpsc::channel();
    let scenario = move |driver: Arc<Driver>, drawn_by: String| {
        let _ = send.send(bench.perform(&driver, drawn_by, &say));
        driver.close();
    };
    match display::can_open() {
        Ok(()) => in_window(folder.path(), scenario)?,
        Err(reason) => offscreen::run(&reason, folder.path(), scenario)?,
    }
    result.recv().context("the measurement broke off")?
}

/// The window as it opens for the first time, with its runs in `runs`.
fn first_window(driver: &Driver, adapter: &wgpu::Adapter, runs: &Path) -> Window {
    let mut window = Window::create(&driver.ctx, Settings::default(), super::Options::default());
    window.drawn_by(&driver.ctx, &adapter.get_info());
    window.state.runs.folder = runs.to_owned();
    window
}

/// In an ordinary window of the program, with nothing of the user's settings.
fn in_window(folder: &Path, scenario: impl FnOnce(Arc<Driver>, String) + Send + 'static) -> anyhow::Result<()> {
    let native = eframe::NativeOptions {
        persistence_path: Some(folder.join("window.ron")),
        persist_window: false,
        ..super::native()
    };
    let runs = folder.to_owned();
    let creator: eframe::AppCreator<'_> = Box::new(move |cc| {
        let driver = Driver::new(&cc.egui_ctx);
        let Some(RenderState { adapter, device, .. }) = &cc.wgpu_render_state else {
            return Err("the window is not drawn by wgpu".into());
        };
        let drawn_by = format!("a window of 1400x900, drawn by {}", name(adapter));
        let stage = Stage::new(driver.clone(), first_window(&driver, adapter, &runs), device.clone())?;
        let ctx = cc.egui_ctx.clone();
        thread::Builder::new().name("script".into()).spawn(move || {
            scenario(driver, drawn_by);
            ctx.send_viewport_cmd(eframe::egui::ViewportCommand::Close);
            ctx.request_repaint();
        })?;
        Ok(Box::new(stage))
    });
    eframe::run_native("kindling bench", native, creator)
        .map_err(|error| anyhow::anyhow!("the window can't be opened: {}", display::plain(&error)))
}

fn name(adapter: &wgpu::Adapter) -> String {
    let info = adapter.get_info();
    format!("{} ({})", info.name, info.backend)
}

struct Bench {
    options: Options,
    dataset: Arc<Dataset>,
    runs: PathBuf,
}

impl Bench {
    /// Everything that is measured, in order. Runs on the script's thread.
    fn perform(&self, driver: &Driver, drawn_by: String, say: &dyn Fn(&str)) -> anyhow::Result<Figures> {
        let Options { device, rounds, epochs } = self.options;
        let dataset = self.dataset.clone();
        driver.order(move |window| {
            window.state.devices.choice = device;
            window.state.data.dataset = Some(dataset);
        })?;
        let (mut headless, mut watched) = (Vec::new(), Vec::new());
        let (mut frames, mut idle, mut idle_s) = (Vec::new(), 0, 0.0);
        for round in 1..=rounds {
            say(&format!("round {round} of {rounds}: without the window, then with it"));
            // What the run before left on screen for a while goes first.
            driver.settle(MAX_STILL, Duration::from_secs(30));
            let from = Instant::now();
            let run = self.runs.join(format!("headless-{round}"));
            headless.extend(pace::headless(&self.dataset, device, epochs, run)?);
            let to = Instant::now();
            idle += driver.frames_between(from, to);
            idle_s += (to - from).as_secs_f64();
            let run = pace::watched(driver, &self.dataset, epochs)?;
            watched.extend(run.speeds);
            frames.push(run.frames_per_s);
        }
        say("a run in a window that is being used");
        driver.settle(MAX_STILL, Duration::from_secs(30));
        let run = pace::start(driver, 10_000)?;
        pace::wait_for_epochs(driver, &run, 1)?;
        script::play(driver)?;
        let used = pace::speeds(&run, &self.dataset)?;
        driver.order(|window| window.state.ask(super::Action::Stop))?;
        let seen: Vec<Frame> = driver.frames();
        let times = Times::of(&seen);
        let (headless, watched, used) = (median(&headless), median(&watched), median(&used));
        Ok(Figures {
            drawn_by,
            ui_p95_ms: p95(times.ui) * 1e3,
            frames: times.frame.len(),
            inputs: times.input.len(),
            frame_p95_ms: p95(times.frame) * 1e3,
            input_p95_ms: p95(times.input) * 1e3,
            train_ratio: watched / headless,
            // On a slow machine the script may be over before an epoch is.
            train_ratio_in_use: if used > 0.0 { used / headless } else { f64::NAN },
            headless_images_per_s: headless,
            window_images_per_s: watched,
            frames_per_s: median(&frames),
            idle_frames_per_min: idle as f64 / f64::max(idle_s, 1e-9) * 60.0,
        })
    }
}

/// Seconds, of the frames that count.
#[derive(Default)]
struct Times {
    ui: Vec<f64>,
    frame: Vec<f64>,
    input: Vec<f64>,
}

impl Times {
    fn of(frames: &[Frame]) -> Self {
        let mut times = Self::default();
        for (at, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.counts) {
            times.ui.extend(frame.laid_out.map(|time| time.as_secs_f64()));
            times.frame.extend(frame.drawn.map(|drawn| (drawn - frame.began).as_secs_f64()));
            let after = frames.get(at + 1).and_then(|next| next.drawn);
            for input in &frame.inputs {
                let shown = if input.settles { after.or(frame.drawn) } else { frame.drawn };
                times.input.extend(shown.map(|shown| (shown - input.made).as_secs_f64()));
            }
        }
        times
    }
}

/// What 95 of 100 do not exceed; 0 of none.
fn p95(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * 0.95).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver::Input;

    #[test]
    fn ninety_five_of_a_hundred_are_within_the_percentile() {
        assert_eq!(p95((1..=100).rev().map(f64::from).collect()), 95.0);
        assert_eq!(p95(vec![3.0]), 3.0);
        assert_eq!(p95(Vec::new()), 0.0);
    }

    #[test]
    fn a_press_is_shown_by_the_frame_after_and_a_move_by_its_own() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let frame = |from: u64, to: u64, inputs: Vec<Input>, counts: bool| Frame {
            began: at(from),
            laid_out: Some(Duration::from_millis(2)),
            drawn: Some(at(to)),
            inputs,
            counts,
        };
        let inputs = vec![Input { made: at(5), settles: false }, Input { made: at(6), settles: true }];
        let unmeasured = vec![Input { made: at(0), settles: false }];
        let frames = [frame(10, 30, inputs, true), frame(31, 56, Vec::new(), true), frame(60, 900, unmeasured, false)];
        let times = Times::of(&frames);
        let ms = |times: &[f64]| times.iter().map(|time| (time * 1e3).round() as u64).collect::<Vec<_>>();
        assert_eq!((ms(&times.input), ms(&times.frame), ms(&times.ui)), (vec![25, 50], vec![20, 25], vec![2, 2]));
    }
}
