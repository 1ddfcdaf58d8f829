//! A run on standard output: a moving line where a person watches, plain lines where nobody does, JSON where a program
//! reads.

use super::{output, table};
use crate::{
    format,
    session::View,
    text,
    train::{Event, Phase},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io,
    time::{Duration, Instant},
};

/// Seconds between two plain lines within an epoch.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// What [`Display`] prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Moving,
    Plain,
    Json,
}

/// Prints a run as its events come.
pub(crate) struct Display {
    mode: Mode,
    bar: ProgressBar,
    /// The table of epochs, without its heading.
    rows: Vec<Vec<String>>,
    /// Loss, accuracy over the last steps.
    latest: Option<(f32, f32)>,
    last_line: Instant,
    phase: Option<Phase>,
}

impl Display {
    pub(crate) fn new(mode: Mode) -> Self {
        let bar = match mode {
            Mode::Moving => ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stdout()),
            Mode::Plain | Mode::Json => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template("{bar:24} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { mode, bar, rows: Vec::new(), latest: None, last_line: Instant::now(), phase: None }
    }

    /// Prints what an event says.
    pub(crate) fn event(&mut self, event: &Event, view: &View) -> io::Result<()> {
        if self.mode == Mode::Json {
            return output::json(event);
        }
        match event {
            Event::Started { model, parameters, device, train_images, validation_images, .. } => {
                let (train, validation) = (format::number(*train_images), format::number(*validation_images));
                self.line(&format!("{model}, {} parameters, on {device}", format::number(*parameters)))?;
                self.line(&format!("{train} training images, {validation} for validation"))?;
            }
            Event::Resumed { step, epoch, device, .. } => {
                self.line(&format!("goes on after step {} (epoch {}), on {device}", format::number(*step), epoch + 1))?;
            }
            Event::Phase { phase, .. } => self.phase(*phase, view)?,
            Event::Step { step, loss, accuracy, images_per_s, .. } => {
                self.latest = Some((*loss, *accuracy));
                if self.mode == Mode::Plain && self.last_line.elapsed() >= PLAIN_EVERY {
                    let eta = view.eta_s.map_or(String::new(), |eta| format!(", {} left", format::duration(eta)));
                    self.line(&format!(
                        "epoch {}/{}, step {}/{}: loss {loss:.4}, accuracy {accuracy:.4}, {}{eta}",
                        (view.epoch + 1).min(view.epochs),
                        view.epochs,
                        format::number(*step),
                        format::number(view.total_steps),
                        format::pace(*images_per_s),
                    ))?;
                }
            }
            Event::Epoch { .. } => self.epoch(event, view)?,
            Event::Changed { step, key, from, to } => {
                self.line(&format!("from step {} on {key} is {to} (it was {from})", format::number(*step)))?;
            }
            Event::Warning { text, .. } => self.warning(text),
            // What ends a run is said at its end.
            _ => {}
        }
        self.draw(view);
        Ok(())
    }

    /// Moves the line on, whether or not there was an event.
    pub(crate) fn draw(&self, view: &View) {
        if self.mode != Mode::Moving {
            return;
        }
        self.bar.set_length(view.total_steps.max(1));
        self.bar.set_position(view.step);
        self.bar.set_message(match (view.phase, self.latest) {
            (Phase::Training | Phase::Saving, Some((loss, accuracy))) => {
                let eta = view.eta_s.map_or(String::new(), |eta| format!("  {} left", format::duration(eta)));
                format!(
                    "epoch {}/{}  step {}/{}  loss {loss:.3}  accuracy {accuracy:.3}  {}{eta}",
                    (view.epoch + 1).min(view.epochs),
                    view.epochs,
                    format::number(view.step),
                    format::number(view.total_steps),
                    format::pace(view.images_per_s),
                )
            }
            _ => text::message(&view.status),
        });
    }

    /// Says something beside the line.
    pub(crate) fn warning(&self, text: &str) {
        self.bar.suspend(|| output::note(text));
    }

    /// Takes the line off the screen and prints the table of epochs.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.bar.finish_and_clear();
        // Where a person watched, the table grew under their eyes.
        if self.mode == Mode::Plain && !self.rows.is_empty() {
            let rows: Vec<_> = std::iter::once(heading()).chain(self.rows.drain(..)).collect();
            output::line("")?;
            output::line(table::aligned(&rows))?;
        }
        Ok(())
    }

    fn phase(&mut self, phase: Phase, view: &View) -> io::Result<()> {
        let news = self.phase.replace(phase) != Some(phase);
        // The one wait that would look like a hang.
        if news && phase == Phase::Compiling && self.mode == Mode::Plain && !view.status.is_empty() {
            self.line(&view.status)?;
        }
        Ok(())
    }

    fn epoch(&mut self, event: &Event, view: &View) -> io::Result<()> {
        let Event::Epoch { epoch, train_loss, train_accuracy, val_loss, val_accuracy, top5, seconds, best, .. } = event
        else {
            return Ok(());
        };
        let row = vec![
            format!("{epoch:>5}"),
            format!("{train_loss:.4}"),
            format!("{train_accuracy:.4}"),
            table::measured(*val_loss),
            table::measured(*val_accuracy),
            table::measured(*top5),
            format::duration(*seconds),
            if *best { "best".to_owned() } else { String::new() },
        ];
        match self.mode {
            Mode::Moving => {
                // The columns of numbers with four decimals are as wide as their headings, so row by row lines up.
                let rows = table::aligned(&[heading(), row.clone()]);
                let (heading, line) = rows.split_once('\n').unwrap_or(("", &rows));
                if self.rows.is_empty() {
                    self.bar.println(heading);
                }
                self.bar.println(line);
            }
            _ => self.line(&format!(
                "epoch {epoch}/{}: training loss {train_loss:.4}, accuracy {train_accuracy:.4}; validation loss \
                 {}, accuracy {}{}; {}",
                view.epochs,
                table::measured(*val_loss),
                table::measured(*val_accuracy),
                if *best { " (best)" } else { "" },
                format::duration(*seconds),
            ))?,
        }
        self.rows.push(row);
        Ok(())
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        self.last_line = Instant::now();
        match self.mode {
            Mode::Moving => self.bar.suspend(|| output::line(text)),
            _ => output::line(text),
        }
    }
}

fn heading() -> Vec<String> {
    ["epoch", "  loss", "accuracy", "val loss", "val accuracy", "top-5", "  time", "    "].map(str::to_owned).to_vec()
}
