//! Whether the weights were any good before a step that was no number: a run that diverges is lost steps before.

use super::Branch;

/// A loss of so many times that of guessing says that the weights are no longer those of a network that learns.
const DAMAGED: f64 = 10.0;

/// What the loss says of the weights that a run stopped with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Soundness {
    /// Nothing against them.
    Sound,
    /// The loss was beyond measure before the stop.
    Damaged {
        /// The last one that was measured.
        loss: f32,
        /// The last step with a loss as it should be, if there was one.
        sound: Option<u64>,
    },
}

impl Soundness {
    /// Of the weights after `step` of a network that tells `classes` apart.
    pub(crate) fn before(branch: Option<&Branch>, step: u64, classes: usize) -> Self {
        let Some(branch) = branch else { return Self::Sound };
        let most = DAMAGED * (classes.max(2) as f64).ln();
        let end = branch.steps.step.partition_point(|&at| at <= step as f64);
        let losses = &branch.loss.values()[..end.min(branch.loss.len())];
        let is_sound = |loss: &f32| f64::from(*loss) <= most;
        match losses.iter().rev().find(|loss| loss.is_finite()) {
            Some(&loss) if !is_sound(&loss) => {
                let sound = losses.iter().rposition(is_sound).map(|at| branch.steps.step[at] as u64);
                Self::Damaged { loss, sound }
            }
            _ => Self::Sound,
        }
    }

    /// The step up to which a snapshot is one of good weights, of those up to `step`.
    pub(crate) fn until(self, step: u64) -> Option<u64> {
        match self {
            Self::Sound => Some(step),
            Self::Damaged { sound, .. } => sound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::history::{History, tests::step};

    #[test]
    fn a_loss_beyond_measure_before_the_stop_is_damage_since_the_last_usual_one() {
        let branch = |losses: &[f32]| {
            let mut history = History::default();
            (1..).zip(losses).for_each(|(at, &loss)| history.on_event(&step(at, loss)));
            history.branches.pop()
        };
        let of = |losses: &[f32]| Soundness::before(branch(losses).as_ref(), losses.len() as u64, 10);
        assert_eq!(of(&[2.3, 1.9, f32::NAN]), Soundness::Sound);
        assert_eq!(of(&[2.3, 2.0, 900.0, 5e7]), Soundness::Damaged { loss: 5e7, sound: Some(2) });
        assert_eq!(of(&[5e7]), Soundness::Damaged { loss: 5e7, sound: None });
        assert_eq!(of(&[]), Soundness::Sound);
    }
}
