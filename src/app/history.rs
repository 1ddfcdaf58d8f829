//! What the charts draw: the numbers of a run, collected from its events.
//!
//! Going back to a snapshot opens a branch. The curves of the branch before stay, so that both can be compared; nothing
//! that was ever measured disappears.

pub(crate) mod averages;
pub(crate) mod series;
pub(crate) mod soundness;

use crate::app::history::series::Series;
use crate::{session::Event, train::Value};

/// What a chart has along its lower edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum X {
    #[default]
    Step,
    Epoch,
    /// Seconds of training, pauses left out.
    Time,
}

/// Where each point of a curve stands, in all three measures, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Axis {
    pub step: Vec<f64>,
    pub epoch: Vec<f64>,
    pub seconds: Vec<f64>,
}

impl Axis {
    fn push(&mut self, step: f64, epoch: f64, seconds: f64) {
        self.step.push(step);
        self.epoch.push(epoch);
        self.seconds.push(seconds);
    }

    pub(crate) fn of(&self, x: X) -> &[f64] {
        match x {
            X::Step => &self.step,
            X::Epoch => &self.epoch,
            X::Time => &self.seconds,
        }
    }
}

/// The measurements of one branch.
#[derive(Clone, Debug, Default)]
pub struct Branch {
    /// As in the run's log.
    pub(crate) number: u32,
    /// Of the training curves.
    pub(crate) steps: Axis,
    pub loss: Series,
    /// From 0 to 1.
    pub(crate) accuracy: Series,
    pub(crate) lr: Series,
    pub(crate) images_per_s: Series,
    /// Of the validation curves.
    pub(crate) epochs: Axis,
    pub(crate) val_loss: Series,
    /// From 0 to 1.
    pub(crate) val_accuracy: Series,
    /// From 0 to 1; not a number where there are no more than five classes.
    pub(crate) val_top5: Series,
}

/// Something that happened at a step and is marked on the charts.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub(crate) step: f64,
    pub(crate) epoch: f64,
    pub(crate) seconds: f64,
    pub(crate) kind: MarkKind,
    /// One line, such as `learning rate 0.1 → 0.05`.
    pub text: String,
    /// What was changed, where that is what happened.
    pub(crate) change: Option<Change>,
}

/// A hyperparameter that was changed while a run went on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub key: String,
    pub from: Value,
    pub to: Value,
}

impl Mark {
    pub(crate) fn at(&self, x: X) -> f64 {
        match x {
            X::Step => self.step,
            X::Epoch => self.epoch,
            X::Time => self.seconds,
        }
    }

    /// What is written beside its line, where that is worth the room: `lr 0.1 → 0.05`.
    pub(crate) fn label(&self) -> Option<String> {
        let Change { key, from, to } = self.change.as_ref()?;
        Some(format!("{key} {} → {}", shown(key, from), shown(key, to)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkKind {
    Changed,
    Best,
    Snapshot,
    Resumed,
    NotFinite,
}

/// Everything that was measured in a run, by branch, with what happened.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Never empty once a run has begun; the last is the one that goes on.
    pub branches: Vec<Branch>,
    /// In the order they came.
    pub marks: Vec<Mark>,
    /// The branch of the log that goes on.
    number: u32,
}

impl History {
    /// Of no run.
    pub(crate) const NONE: History = History { branches: Vec::new(), marks: Vec::new(), number: 0 };

    /// The branch that goes on.
    pub(crate) fn current(&self) -> Option<&Branch> {
        self.branches.last()
    }

    /// Step and seconds of training after which a validation accuracy was first reached, on whichever branch.
    pub(crate) fn reached(&self, accuracy: f64) -> Option<(f64, f64)> {
        let of = |branch: &Branch| {
            let at = branch.val_accuracy.values().iter().position(|&value| f64::from(value) >= accuracy)?;
            Some((branch.epochs.step[at], branch.epochs.seconds[at]))
        };
        self.branches.iter().find_map(of)
    }

    /// The best validation accuracy of any branch.
    pub(crate) fn best(&self) -> Option<f32> {
        let all = self.branches.iter().flat_map(|branch| branch.val_accuracy.values());
        all.copied().max_by(f32::total_cmp)
    }

    /// After which step the best weights were there, else how far it came.
    pub(crate) fn best_step(&self) -> u64 {
        let best = self.marks.iter().find(|mark| mark.kind == MarkKind::Best).map(|mark| mark.step);
        let last = || self.current().and_then(|branch| branch.steps.step.last().copied());
        best.or_else(last).unwrap_or(0.0) as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.branches.iter().all(|branch| branch.loss.is_empty() && branch.val_loss.is_empty())
    }

    fn branch(&mut self) -> &mut Branch {
        if self.branches.is_empty() {
            self.branches.push(Branch { number: self.number, ..Branch::default() });
        }
        // One was pushed above if there was none.
        self.branches.last_mut().expect("there is a branch")
    }

    /// Epoch and seconds at `step`, from the last measurement at or before it: of the branch that goes on, or of the one
    /// that it left where it has none yet.
    fn place(&self, step: f64) -> (f64, f64) {
        let of = |branch: &Branch| {
            let Axis { step: steps, epoch, seconds } = &branch.steps;
            let at = steps.partition_point(|&s| s <= step).checked_sub(1)?;
            Some((epoch[at], seconds[at]))
        };
        self.branches.iter().rev().find_map(of).unwrap_or((0.0, 0.0))
    }

    fn mark(&mut self, step: u64, kind: MarkKind, text: String) {
        let step = step as f64;
        let (epoch, seconds) = self.place(step);
        self.marks.push(Mark { step, epoch, seconds, kind, text, change: None });
    }

    fn mark_change(&mut self, step: u64, change: Change) {
        let Change { key, from, to } = &change;
        let label = crate::train::field(key).map_or(key.as_str(), |field| field.label);
        let text = format!("{label} {} → {}", shown(key, from), shown(key, to));
        let (epoch, seconds) = self.place(step as f64);
        let (kind, change) = (MarkKind::Changed, Some(change));
        self.marks.push(Mark { step: step as f64, epoch, seconds, kind, text, change });
    }

    /// The changes that led to the present state, in order: not those of steps that the run went back before.
    pub(crate) fn changes(&self) -> Vec<&Change> {
        let mut changes: Vec<(f64, &Change)> = Vec::new();
        for mark in &self.marks {
            if mark.kind == MarkKind::Resumed {
                changes.retain(|(step, _)| *step <= mark.step);
            }
            changes.extend(mark.change.as_ref().map(|change| (mark.step, change)));
        }
        changes.into_iter().map(|(_, change)| change).collect()
    }

    /// Takes what an event has to say to the charts.
    pub(crate) fn on_event(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => *self = History { branches: vec![Branch::default()], ..History::default() },
            Event::Resumed { step, snapshot, .. } => {
                // Steps beyond this one are made again; what they measured stays as a curve of its own.
                let ahead = self.current().is_some_and(|b| b.steps.step.last().is_some_and(|&s| s > *step as f64));
                // Each way back is a branch of the log, also one to where training stood.
                self.number += u32::from(snapshot.is_some());
                if ahead {
                    self.branches.push(Branch { number: self.number, ..Branch::default() });
                } else if let Some(branch) = self.branches.last_mut() {
                    branch.number = self.number;
                }
                let from = snapshot.as_deref().unwrap_or("the last checkpoint");
                self.mark(*step, MarkKind::Resumed, format!("went on from {from}"));
            }
            Event::Step { step, epoch, loss, accuracy, lr, images_per_s, seconds } => {
                let branch = self.branch();
                branch.steps.push(*step as f64, *epoch, *seconds);
                branch.loss.push(*loss);
                branch.accuracy.push(*accuracy);
                branch.lr.push(*lr as f32);
                branch.images_per_s.push(*images_per_s);
            }
            // Without validation images an epoch is no point of any curve.
            Event::Epoch { val_loss: None, .. } | Event::Epoch { val_accuracy: None, .. } => {}
            Event::Epoch {
                step,
                epoch,
                val_loss: Some(val_loss),
                val_accuracy: Some(val_accuracy),
                top5,
                per_class,
                seconds,
                best,
                ..
            } => {
                let branch = self.branch();
                branch.epochs.push(*step as f64, *epoch as f64, *seconds);
                branch.val_loss.push(*val_loss);
                branch.val_accuracy.push(*val_accuracy);
                branch.val_top5.push(top5.filter(|_| per_class.len() > 5).unwrap_or(f32::NAN));
                if *best {
                    // Only the latest best is a best.
                    self.marks.retain(|mark| mark.kind != MarkKind::Best);
                    let text = format!("best so far: {:.1} %", val_accuracy * 100.0);
                    self.marks.push(Mark {
                        step: *step as f64,
                        epoch: *epoch as f64,
                        seconds: *seconds,
                        kind: MarkKind::Best,
                        text,
                        change: None,
                    });
                }
            }
            Event::Changed { step, key, from, to } => {
                self.mark_change(*step, Change { key: key.clone(), from: from.clone(), to: to.clone() });
            }
            Event::Snapshot { step, name, .. } => self.mark(*step, MarkKind::Snapshot, format!("snapshot {name}")),
            Event::NotFinite { step, .. } => self.mark(*step, MarkKind::NotFinite, "not a finite number".to_owned()),
            _ => {}
        }
    }
}

/// A value of a field as a person reads it.
pub(crate) fn shown(key: &str, value: &Value) -> String {
    crate::train::field(key).map_or_else(|| value.to_string(), |field| field.show(value))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn step(step: u64, loss: f32) -> Event {
        let epoch = step as f64 / 10.0;
        Event::Step { step, epoch, loss, accuracy: 0.5, lr: 0.1, images_per_s: 100.0, seconds: step as f64 * 2.0 }
    }

    #[test]
    fn a_change_is_marked_where_it_happened() {
        let mut history = History::default();
        (1..=20).for_each(|s| history.on_event(&step(s, 1.0)));
        let (from, to) = (Value::Float(0.1), Value::Float(0.05));
        history.on_event(&Event::Changed { step: 10, key: "lr".into(), from, to });
        let mark = &history.marks[0];
        assert_eq!((mark.at(X::Step), mark.at(X::Epoch), mark.at(X::Time)), (10.0, 1.0, 20.0));
        assert_eq!(mark.text, "Learning rate 0.1 → 0.05");
    }

    #[test]
    fn changes_of_steps_that_were_gone_back_before_lead_nowhere() {
        let mut history = History::default();
        let mut change = |step: u64, from: f64, to: f64| {
            let (from, to) = (Value::Float(from), Value::Float(to));
            history.on_event(&Event::Changed { step, key: "lr".into(), from, to });
        };
        change(5, 0.1, 0.05);
        change(15, 0.05, 0.01);
        let device = String::new();
        history.on_event(&Event::Resumed { step: 10, epoch: 1, from_branch: 0, snapshot: Some("a".into()), device });
        let to: Vec<&Value> = history.changes().into_iter().map(|change| &change.to).collect();
        assert_eq!(to, [&Value::Float(0.05)]);
    }

    #[test]
    fn going_back_opens_a_branch_and_keeps_the_old_curve() {
        let mut history = History::default();
        (1..=20).for_each(|s| history.on_event(&step(s, 1.0)));
        let device = String::new();
        history.on_event(&Event::Resumed { step: 10, epoch: 1, from_branch: 0, snapshot: Some("a".into()), device });
        history.on_event(&step(11, 0.5));
        let mark = &history.marks[0];
        assert_eq!((mark.at(X::Step), mark.at(X::Epoch), mark.at(X::Time)), (10.0, 1.0, 20.0));
        assert_eq!(history.branches.len(), 2);
        assert_eq!(history.branches[0].loss.len(), 20);
        assert_eq!(history.current().unwrap().steps.step, [11.0]);
    }
}
