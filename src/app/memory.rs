//! What the network thought of every validation image, validation by validation, so that a mistake can be shown with
//! how it came about.
//!
//! Two numbers an image and validation are kept: the predicted class and the probability of the true one. When there are
//! more validations than fit, every second of them goes, so that a long run keeps its whole course in coarser steps.

use crate::session::Predictions;

/// Validations that are kept at most.
const MOST: usize = 64;

/// One validation of all images.
#[derive(Clone, Debug, PartialEq)]
struct Look {
    step: u64,
    /// For each image, by position in the split; `u32::MAX` where it was not among the predictions.
    predicted: Vec<u32>,
    /// Probability of the true class.
    truth: Vec<f32>,
}

/// What was thought of one image after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thought {
    pub step: u64,
    pub predicted: u32,
    /// Probability of the true class.
    pub truth: f32,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    looks: Vec<Look>,
}

impl Memory {
    pub fn clear(&mut self) {
        self.looks.clear();
    }

    /// Takes in the predictions of a whole validation split. A run that went back makes steps again; what was thought
    /// beyond that step goes.
    pub fn add(&mut self, predictions: &Predictions, labels: &[u32]) {
        if self.looks.last().is_some_and(|look| look.step == predictions.step) {
            return;
        }
        self.looks.retain(|look| look.step < predictions.step);
        let mut look =
            Look { step: predictions.step, predicted: vec![u32::MAX; labels.len()], truth: vec![0.0; labels.len()] };
        for item in &predictions.items {
            let index = item.index as usize;
            let Some(&label) = labels.get(index) else { continue };
            look.predicted[index] = item.top().0 as u32;
            look.truth[index] = item.probabilities.get(label as usize).copied().unwrap_or(0.0);
        }
        self.looks.push(look);
        if self.looks.len() > MOST {
            // The newest stays.
            let odd = (self.looks.len() - 1) % 2;
            let mut at = 0;
            self.looks.retain(|_| {
                at += 1;
                (at - 1) % 2 == odd
            });
        }
    }

    /// What was thought of one image, the oldest first.
    pub fn of(&self, index: u32) -> impl Iterator<Item = Thought> {
        let index = index as usize;
        let thought = move |look: &Look| {
            let predicted = *look.predicted.get(index).filter(|class| **class != u32::MAX)?;
            Some(Thought { step: look.step, predicted, truth: look.truth[index] })
        };
        self.looks.iter().filter_map(thought)
    }

    /// How often the answer to an image turned from right to wrong.
    pub fn forgotten(&self, index: u32, label: u32) -> u32 {
        let mut before = false;
        let mut count = 0;
        for thought in self.of(index) {
            let right = thought.predicted == label;
            count += u32::from(before && !right);
            before = right;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::predictions;

    fn at(step: u64, predicted: &[usize]) -> Predictions {
        Predictions { step, ..predictions(predicted.len(), 3, predicted) }
    }

    #[test]
    fn an_image_is_forgotten_when_right_turns_wrong() {
        let mut memory = Memory::default();
        for (step, predicted) in [(1, 2), (2, 1), (3, 0), (4, 1), (5, 2)] {
            memory.add(&at(step, &[predicted]), &[1]);
        }
        assert_eq!(memory.forgotten(0, 1), 2);
        let steps: Vec<(u64, u32)> = memory.of(0).map(|thought| (thought.step, thought.predicted)).collect();
        assert_eq!(steps, [(1, 2), (2, 1), (3, 0), (4, 1), (5, 2)]);
    }

    #[test]
    fn steps_that_are_made_again_replace_the_old_ones() {
        let mut memory = Memory::default();
        for step in [10, 20, 30, 15, 15] {
            memory.add(&at(step, &[0]), &[0]);
        }
        assert_eq!(memory.of(0).map(|thought| thought.step).collect::<Vec<_>>(), [10, 15]);
    }

    #[test]
    fn a_long_run_keeps_its_course_and_its_end() {
        let mut memory = Memory::default();
        (1..=1000).for_each(|step| memory.add(&at(step, &[0]), &[0]));
        let steps: Vec<u64> = memory.of(0).map(|thought| thought.step).collect();
        assert!(steps.len() <= MOST && steps.len() > MOST / 3, "{}", steps.len());
        assert!(*steps.last().unwrap() == 1000 && steps[0] < 100, "{steps:?}");
    }
}
