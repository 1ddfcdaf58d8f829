//! A thread that makes the batches to come ready while the present one trains: it draws the random decisions, and renders
//! the images or, for a GPU that does so, lays their bytes side by side.
//!
//! What comes out depends on the feed and the position only, never on timing: each batch is a pure function, batches
//! come in order, and after a change of the feed everything made ahead under the old one is thrown away, so that
//! the next batch is already the new one.

use super::{
    feed::{Batch, Feed, Position},
    order::Turn,
    source::Pixels,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

/// Batches that a run has ready ahead of use.
pub(crate) const BATCHES_AHEAD: usize = 3;

/// An order to the worker: make this batch, in the memory of a used one where there is any.
struct Job {
    generation: u64,
    feed: Arc<Feed>,
    position: Position,
    memory: Option<Pixels>,
}

/// Batches in order, made ready ahead.
pub(crate) struct Prefetch {
    feed: Arc<Feed>,
    /// The batch that [`Prefetch::next`] gives.
    position: Position,
    /// The batch that the worker is asked for next.
    ahead: Position,
    waiting: usize,
    depth: usize,
    /// Goes up with every change; what was made for an older one is stale.
    generation: u64,
    current: Arc<AtomicU64>,
    jobs: Option<mpsc::Sender<Job>>,
    batches: mpsc::Receiver<(u64, Batch)>,
    /// Of used batches.
    memory: Vec<Pixels>,
    worker: Option<thread::JoinHandle<()>>,
}

impl Prefetch {
    /// Starts at `position`, with `depth` batches ahead. Where no thread can be started, batches are made when they are
    /// asked for.
    pub(crate) fn new(feed: Feed, position: Position, depth: usize) -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (outbox, batches) = mpsc::channel();
        let current = Arc::new(AtomicU64::new(0));
        let latest = current.clone();
        let worker = thread::Builder::new().name("batches".into()).spawn(move || work(&inbox, &outbox, &latest)).ok();
        let jobs = worker.is_some().then_some(jobs);
        let mut prefetch = Self {
            feed: Arc::new(feed),
            position,
            ahead: position,
            waiting: 0,
            depth: depth.max(1),
            generation: 0,
            current,
            jobs,
            batches,
            memory: Vec::new(),
            worker,
        };
        prefetch.ask();
        prefetch
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The place of the batch that comes next.
    #[cfg(test)]
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// From the next batch on, batches come from another feed. What was made ahead stays where that would make the same.
    pub(crate) fn change(&mut self, feed: Feed) {
        if *self.feed != feed {
            self.feed = Arc::new(feed);
            self.seek(self.position);
        }
    }

    /// Goes on from another place.
    pub(crate) fn seek(&mut self, position: Position) {
        self.generation += 1;
        self.current.store(self.generation, Ordering::Relaxed);
        (self.position, self.ahead, self.waiting) = (position, position, 0);
        self.ask();
    }

    /// The next batch. Empty only where the split is.
    pub(crate) fn next(&mut self) -> Batch {
        self.ask();
        let batch = self.receive().unwrap_or_else(|| self.feed.batch(self.position));
        self.position = self.position.next(self.feed.steps_per_epoch());
        self.ask();
        batch
    }

    /// Gives back a used batch's memory.
    pub(crate) fn recycle(&mut self, batch: Batch) {
        let has_memory = !matches!(batch.pixels, Pixels::Resident(..));
        if has_memory && self.memory.len() <= self.depth {
            self.memory.push(batch.pixels);
        }
    }

    /// Keeps the worker supplied.
    fn ask(&mut self) {
        let Some(jobs) = &self.jobs else { return };
        while self.waiting < self.depth {
            let memory = self.memory.pop();
            let (generation, feed) = (self.generation, self.feed.clone());
            if jobs.send(Job { generation, feed, position: self.ahead, memory }).is_err() {
                // The worker is gone, so that `next` makes batches by itself.
                self.jobs = None;
                return;
            }
            self.ahead = self.ahead.next(self.feed.steps_per_epoch());
            self.waiting += 1;
        }
    }

    /// The worker's next batch; `None` where there is no worker.
    fn receive(&mut self) -> Option<Batch> {
        self.jobs.as_ref()?;
        loop {
            match self.batches.recv() {
                Ok((generation, batch)) if generation == self.generation => {
                    self.waiting -= 1;
                    return Some(batch);
                }
                Ok((_, stale)) => self.recycle(stale),
                Err(mpsc::RecvError) => {
                    self.jobs = None;
                    return None;
                }
            }
        }
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // Everything that waits is stale now, and without a sender the worker ends.
        self.current.store(u64::MAX, Ordering::Relaxed);
        self.jobs = None;
        if let Some(worker) = self.worker.take() {
            // A panic in there was reported by the thread itself.
            let _ = worker.join();
        }
    }
}

fn work(jobs: &mpsc::Receiver<Job>, batches: &mpsc::Sender<(u64, Batch)>, latest: &AtomicU64) {
    // The order of an epoch is kept from batch to batch.
    let mut known: Option<(u64, u64, Vec<Turn>)> = None;
    while let Ok(Job { generation, feed, position, memory }) = jobs.recv() {
        if generation != latest.load(Ordering::Relaxed) {
            continue;
        }
        let order = match known.take() {
            Some((g, epoch, order)) if g == generation && epoch == position.epoch => order,
            _ => feed.order(position.epoch),
        };
        let plan = feed.plan(&order, position);
        let batch = feed.make(plan, memory);
        known = Some((generation, position.epoch, order));
        if batches.send((generation, batch)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::Normalisation,
        train::{batches::ranges, recipe::Recipe, test_data::dataset},
    };
    use std::time::Duration;

    fn feed(images: usize, recipe: &Recipe) -> Feed {
        let normalisation = Normalisation { mean: vec![0.4, 0.5, 0.6], std: vec![0.2, 0.25, 0.3] };
        Feed::new(Arc::new(dataset(images, 10, 8, 8, 3, 5)), recipe, &normalisation)
    }

    fn pixels(batch: &Batch) -> &[f32] {
        match &batch.pixels {
            Pixels::Rendered(pixels) => pixels,
            Pixels::Resident(..) | Pixels::Sent(..) => panic!("no device was named"),
        }
    }

    fn recipe() -> Recipe {
        Recipe { batch_size: 16, crop_padding: 2, mixup: 0.5, contrast: 0.2, ..Recipe::default() }
    }

    #[test]
    fn an_epoch_shows_every_image_once() {
        let feed = feed(50, &recipe());
        let mut prefetch = Prefetch::new(feed, Position::default(), 3);
        for epoch in 0..2 {
            let mut seen: Vec<u32> = (0..4).flat_map(|_| prefetch.next().plan.indices()).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
            assert_eq!(prefetch.position(), Position { epoch: epoch + 1, batch: 0 });
        }
    }

    #[test]
    fn batches_do_not_depend_on_timing_or_on_where_one_starts() {
        let feed = feed(50, &recipe());
        let mut fast = Prefetch::new(feed.clone(), Position::default(), 4);
        let mut late = Prefetch::new(feed.clone(), Position { epoch: 1, batch: 2 }, 1);
        for step in 0..12 {
            let position = fast.position();
            let batch = fast.next();
            if step % 5 == 0 {
                std::thread::sleep(Duration::from_millis(3));
            }
            let again = feed.batch(position);
            assert_eq!((&batch.plan, pixels(&batch)), (&again.plan, pixels(&again)));
            if position >= (Position { epoch: 1, batch: 2 }) {
                assert_eq!(pixels(&late.next()), pixels(&batch));
            }
            fast.recycle(batch);
        }
    }

    #[test]
    fn a_change_holds_from_the_next_batch_on() {
        let before = feed(100, &recipe());
        let mut prefetch = Prefetch::new(before.clone(), Position::default(), 4);
        let _ = prefetch.next();
        let calm = Recipe { crop_padding: 0, flip: false, mixup: 0.0, contrast: 0.0, batch_size: 7, ..recipe() };
        let after = before.with_recipe(&calm);
        prefetch.change(after.clone());
        let batch = prefetch.next();
        assert_eq!(batch.plan, after.batch(Position { epoch: 0, batch: 1 }).plan);
        assert_eq!(batch.plan.len(), 16);
        assert!(batch.plan.params.iter().all(|p| p.dx == 0 && p.flip == 0 && p.lambda == 1.0));
        prefetch.change(prefetch.feed().with_batch_size(7));
        prefetch.seek(Position { epoch: 1, batch: 0 });
        assert_eq!(prefetch.next().plan.len(), 7);
    }

    /// How many batches were made in all, of which `used` were taken.
    fn made(mut prefetch: Prefetch, used: usize) -> usize {
        prefetch.jobs = None;
        used + prefetch.batches.iter().count()
    }

    #[test]
    fn a_change_that_no_batch_shows_costs_no_batch() {
        let before = feed(100, &recipe());
        let changes =
            [("lr=0.01", 0), ("weight_decay=0.1", 0), ("epochs=7", 0), ("flip=false", 1), ("image_size=10", 1)];
        for (change, seeks) in changes {
            let mut recipe = recipe();
            recipe.set_text(change).expect("a valid change");
            let mut prefetch = Prefetch::new(before.clone(), Position::default(), 4);
            let first = prefetch.next();
            prefetch.change(prefetch.feed().with_recipe(&recipe));
            assert_eq!(prefetch.generation, seeks, "{change}");
            let second = prefetch.next();
            let expected =
                [before.batch(Position::default()), feed(100, &recipe).batch(Position { epoch: 0, batch: 1 })];
            for (batch, expected) in [first, second].iter().zip(&expected) {
                assert_eq!((&batch.plan, pixels(batch)), (&expected.plan, pixels(expected)), "{change}");
            }
            // Two were used, and four are ahead.
            if seeks == 0 {
                assert_eq!(made(prefetch, 2), 6, "{change}");
            }
        }
    }

    #[test]
    fn mixed_targets_name_both_classes() {
        let batch = feed(50, &recipe()).batch(Position::default());
        let [a, b] = crate::ops::sample::labels(&batch.plan.params);
        let reversed: Vec<i32> = a.iter().rev().copied().collect();
        assert_eq!(b, reversed);
    }

    #[test]
    fn a_single_image_left_over_waits_for_another_epoch() {
        let feed = feed(33, &recipe());
        assert_eq!(feed.steps_per_epoch(), 2);
        assert!(feed.batch(Position { epoch: 0, batch: 2 }).plan.is_empty());
        assert_eq!(ranges(33, 16).map(|r| r.len()).collect::<Vec<_>>(), [16, 16, 1]);
    }
}
