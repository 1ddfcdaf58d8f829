//! What each way to learn from photographs takes on this device: measured, on a few made-up images.

use super::ways::Way;
use crate::{
    app::background::{Task, Wake, finished},
    device::{self, Choice},
    ops::Implementation,
    session::give_way,
    train::{Precision, Recipe, synthetic::SyntheticTrainer},
};
use std::time::Instant;

/// Images of a step that is measured.
const BATCH: usize = 8;
/// Seconds in which a head is found once its features are there, and written.
const HEAD: f64 = 0.7;
/// Images in a second that are decoded, each once.
const DECODED: f64 = 200.0;

/// Images in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pace {
    looked_at: f64,
    fine_tuned: f64,
    from_scratch: f64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Costs {
    measuring: Option<Task<(Choice, Option<Pace>)>>,
    /// Of which device, and what was found; nothing where it can't train one of them.
    known: Option<(Choice, Option<Pace>)>,
}

impl Costs {
    /// Measures a device unless it was the last one; takes what was found.
    pub(crate) fn want(&mut self, device: Choice, wake: &Wake) {
        // Of the device that was measured: another may have been chosen since.
        if let Some(measured) = finished(&mut self.measuring) {
            self.known = Some(measured.unwrap_or((device, None)));
        }
        if self.measuring.is_none() && self.known.is_none_or(|(known, _)| known != device) {
            self.known = None;
            self.measuring = Some(Task::spawn("costs", wake.clone(), move || {
                give_way();
                (device, measure(device))
            }));
        }
    }

    /// Seconds that it takes with so many images; `None` where that is not known, or not yet.
    pub(crate) fn seconds(&self, way: Way, recipe: &Recipe, images: usize) -> Option<f64> {
        let (_, Some(pace)) = self.known? else { return None };
        let (images, seen) = (images as f64, images as f64 * recipe.epochs as f64);
        let network = match way {
            Way::Head => images / pace.looked_at + HEAD,
            Way::FineTune => seen / pace.fine_tuned,
            Way::Scratch => seen / pace.from_scratch,
        };
        Some(images / DECODED + network)
    }
}

fn measure(device: Choice) -> Option<Pace> {
    let compute = device::open(device).ok()?;
    let trainer = |recipe: &Recipe| {
        let spec = recipe.spec(3, 5).ok()?;
        let side = recipe.image_size;
        SyntheticTrainer::new(&spec, side, BATCH, Implementation::Fast, Precision::Single, compute.clone(), 0).ok()
    };
    let [large, small] = [Way::Head, Way::Scratch].map(|way| trainer(&way.recipe()));
    let (mut large, mut small) = (large?, small?);
    let pace = |images: usize, mut work: Box<dyn FnMut() + '_>| {
        // The first time prepares kernels and memory.
        work();
        let started = Instant::now();
        work();
        images as f64 / started.elapsed().as_secs_f64().max(1e-6)
    };
    let step = |trainer: &mut SyntheticTrainer| {
        trainer.step();
        trainer.wait();
    };
    Some(Pace {
        looked_at: pace(BATCH, Box::new(|| drop(large.infer()))),
        fine_tuned: pace(BATCH, Box::new(|| step(&mut large))),
        from_scratch: pace(BATCH, Box::new(|| step(&mut small))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_quickest_and_all_of_them_are_said() {
        let pace = measure(Choice::Cpu).unwrap();
        let costs = Costs { measuring: None, known: Some((Choice::Cpu, Some(pace))) };
        let seconds = |way: Way| costs.seconds(way, &way.recipe(), 200).unwrap();
        let [head, all, scratch] = [Way::Head, Way::FineTune, Way::Scratch].map(seconds);
        assert!(head < all && head > 0.0 && scratch > 0.0, "{head} {all} {scratch}");
        assert_eq!(Costs::default().seconds(Way::Head, &Way::Head.recipe(), 200), None);
    }
}
