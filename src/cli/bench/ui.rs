//! `kindling bench ui`: how quick the window is while it trains, and what it costs the training.

use super::rounded;
use crate::{app::bench, cli::output, device::Choice};
use clap::Args;
use serde_json::json;

/// Measure the window while it trains
///
/// Opens the window (without a display: draws it into a picture that nobody sees), trains the sample set with it and
/// without it in turn, then trains once more while a script moves the mouse over the panes, clicks tabs, pages, scrolls,
/// drags and types. Leave mouse and keyboard alone meanwhile; it takes two minutes or so, and keeps nothing.
///
/// ui_p95_ms is layout and tessellation of a frame, frame_p95_ms a frame until it is drawn, input_p95_ms from an input
/// until the frame that shows its effect is drawn; 95 of 100 are at most as long. train_ratio is images a second with
/// the window over those without it, medians of epochs with validation and saving in them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Ui {
    /// What trains: auto (a GPU, else the CPU), cpu, gpu (the best adapter), or gpu:N as `kindling devices` counts
    #[arg(long, default_value = "auto")]
    device: Choice,

    /// Runs with the window, and as many without it, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Epochs of each run; the first is not measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=1000))]
    epochs: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Ui {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self { device, rounds, epochs, json } = self;
        let figures = bench::measure(bench::Options { device, rounds, epochs }, move |what| {
            if !json {
                output::note(what);
            }
        })?;
        if json {
            output::json(&json!({
                "drawn_by": figures.drawn_by,
                "device": device.to_string(),
                "ui_p95_ms": rounded(figures.ui_p95_ms, 2),
                "frame_p95_ms": rounded(figures.frame_p95_ms, 1),
                "input_p95_ms": rounded(figures.input_p95_ms, 1),
                "train_ratio": rounded(figures.train_ratio, 3),
                "train_ratio_in_use": rounded(figures.train_ratio_in_use, 3),
                "headless_images_per_s": rounded(figures.headless_images_per_s, 0),
                "window_images_per_s": rounded(figures.window_images_per_s, 0),
                "frames_per_s": rounded(figures.frames_per_s, 2),
                "idle_frames_per_min": rounded(figures.idle_frames_per_min, 1),
                "frames": figures.frames,
                "inputs": figures.inputs,
            }))?;
            return Ok(());
        }
        output::line(format_args!("{}; trained on {device}", figures.drawn_by))?;
        for (name, value, what) in [
            ("ui_p95_ms", format!("{:.2}", figures.ui_p95_ms), "layout and tessellation of a frame".to_owned()),
            ("frame_p95_ms", format!("{:.1}", figures.frame_p95_ms), "a frame until it is drawn".to_owned()),
            ("input_p95_ms", format!("{:.1}", figures.input_p95_ms), "an input until its effect is drawn".to_owned()),
            (
                "train_ratio",
                format!("{:.3}", figures.train_ratio),
                format!(
                    "{:.0} images/s with the window, {:.0} without",
                    figures.window_images_per_s, figures.headless_images_per_s
                ),
            ),
            ("", format!("{:.3}", figures.train_ratio_in_use), "while the window is being used".to_owned()),
            ("frames_per_s", format!("{:.2}", figures.frames_per_s), "training, without input".to_owned()),
            ("idle", format!("{:.1}", figures.idle_frames_per_min), "frames a minute while nothing goes on".to_owned()),
        ] {
            output::line(format_args!("{name:>14}  {value:>8}  {what}"))?;
        }
        output::line(format_args!("over {} frames and {} inputs", figures.frames, figures.inputs))?;
        Ok(())
    }
}
