//! What the session says, as lines of the log and toasts.

use crate::app::{state::notices::Notices, widgets::toasts::Level};
use crate::format::{number, rounded};
use crate::session::Event;

/// See the module.
#[derive(Default)]
pub(crate) struct Notifications {
    /// A stop on NaN was just told of; the error that ends the session says the same once more.
    stop_told: bool,
}

impl Notifications {
    /// Hears what the session says.
    pub(crate) fn on_event(&mut self, notices: &mut Notices, event: &Event) {
        match event {
            Event::Started { model, parameters, device, train_images, .. } => {
                let parameters = number(*parameters);
                let images = number(*train_images);
                notices.tell(
                    Level::Info,
                    format!("Started: {model}, {parameters} parameters, {images} images, on {device}"),
                );
            }
            Event::Resumed { step, snapshot, .. } => {
                let from = snapshot.as_deref().unwrap_or("the last checkpoint");
                notices.tell(Level::Info, format!("Went on from {from}, step {step}"));
            }
            Event::Changed { step, key, from, to } => {
                notices.tell(Level::Info, format!("Step {step}: {key} {from} → {to}"));
            }
            Event::Snapshot { step, name, .. } => notices.tell(Level::Info, format!("Step {step}: snapshot {name}")),
            Event::Epoch { epoch, val_accuracy, val_loss, best, .. } => {
                let best = if *best { ", the best so far" } else { "" };
                let text = match (val_accuracy, val_loss) {
                    (Some(accuracy), Some(loss)) => {
                        format!("validation {:.1} %, loss {loss:.3}{best}", accuracy * 100.0)
                    }
                    _ => "nothing to validate on".to_owned(),
                };
                notices.tell(Level::Info, format!("Epoch {epoch}: {text}"));
            }
            Event::Warning { text, .. } => notices.tell(Level::Warning, text.clone()),
            Event::Error { text, .. } => match std::mem::take(&mut self.stop_told) {
                true => notices.log.add(Level::Error, text.clone()),
                false => notices.tell(Level::Error, text.clone()),
            },
            Event::NotFinite { step, lr, .. } => {
                let lr = rounded(*lr);
                self.stop_told = true;
                notices.tell(
                    Level::Error,
                    format!(
                        "Step {step}: the loss is no longer a finite number, so training stopped and refused the \
                         update. The learning rate was {lr}; the NaN report says from which state to go on."
                    ),
                );
            }
            Event::Done { accuracy: Some(accuracy), cross_validated: Some(figures), .. } => {
                let [low, high] = figures.interval.map(|share| share * 100.0);
                let text = format!(
                    "Done: {:.1} % of photographs that it had not seen are recognised ({low:.0} to {high:.0} %)",
                    accuracy * 100.0
                );
                notices.tell(Level::Info, text);
            }
            Event::Done { accuracy, best_accuracy, run, .. } => {
                let text = match (accuracy, best_accuracy) {
                    (Some(last), Some(best)) => {
                        format!("Done: validation {:.1} %, best {:.1} %, kept in {run}", last * 100.0, best * 100.0)
                    }
                    _ => format!("Done, without images to validate on, kept in {run}"),
                };
                // The line below the panes says it, and a toast would cover that.
                notices.tell(Level::Info, text);
            }
            // The rest is for charts and panes.
            _ => {}
        }
    }
}
