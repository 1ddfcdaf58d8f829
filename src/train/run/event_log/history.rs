//! The history of a run with all its branches, read from the lines of its `events.jsonl`.

use crate::{
    file,
    train::run::events::{Event, Line},
};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// Longest line that is read. A batch of 65,536 images, reported image by image, stays below.
pub(super) const LONGEST_LINE: u64 = 16 << 20;

/// One line of development within a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branch {
    /// The branch that this one left, and after which step; `None` for the first.
    pub(crate) parent: Option<(u32, u64)>,
    /// Where in the file it begins.
    born: u64,
    entries: Vec<Entry>,
    /// Step and place in `entries` of those that no restart has made void, by step: what a restart hides is at the end.
    shown: Vec<(u64, usize)>,
    /// Where in `entries` the validation of an epoch stands.
    epochs: BTreeMap<u64, usize>,
}

/// A line of a branch, with the places in the file where it stands and where a later line made it void. Void lines stay:
/// a branch that left before then has them in its past.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    line: Line,
    written: u64,
    void: u64,
}

impl Branch {
    /// Its own lines, in order, without those that a restart made void.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.entries.iter().filter(|entry| entry.void == u64::MAX).map(|entry| &entry.line)
    }

    /// Makes the line at `place` void, unless an earlier one did.
    fn hide(&mut self, place: usize, at: u64) {
        let void = &mut self.entries[place].void;
        *void = at.min(*void);
    }

    /// Makes every line void that came after `step`.
    fn hide_beyond(&mut self, step: u64, at: u64) {
        let kept = self.shown.partition_point(|(shown, _)| *shown <= step);
        for (_, place) in self.shown.split_off(kept) {
            self.hide(place, at);
        }
    }

    fn push(&mut self, line: Line, at: u64) {
        let (step, place) = (line.event.step(), self.entries.len());
        // A kill between an epoch's last step and its validation makes that validation twice.
        if let Event::Epoch { epoch, .. } = line.event
            && let Some(first) = self.epochs.insert(epoch, place)
        {
            self.hide(first, at);
        }
        // At the end, except in a file that somebody has mixed up.
        let after = self.shown.partition_point(|(shown, _)| *shown <= step);
        self.shown.insert(after, (step, place));
        self.entries.push(Entry { line, written: at, void: u64::MAX });
    }
}

/// What happened in a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// By number.
    pub branches: BTreeMap<u32, Branch>,
    /// The branch that was trained last.
    pub current: u32,
    /// Lines that could not be read: half written, or from a later version of the program.
    pub unreadable: u64,
    /// Lines taken in.
    written: u64,
}

impl History {
    /// Reads an `events.jsonl`. A file that is not there is an empty history.
    pub fn read(path: &Path) -> io::Result<Self> {
        match file::open(path) {
            Ok((file, _)) => Self::from_reader(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn from_reader(mut reader: impl BufRead) -> io::Result<Self> {
        let mut history = Self::default();
        let mut bytes = Vec::new();
        while next_line(&mut reader, &mut bytes)? {
            history.take_in(&bytes);
        }
        Ok(history)
    }

    /// Takes in one more line as it stands in the file.
    pub(super) fn take_in(&mut self, bytes: &[u8]) {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match serde_json::from_slice(bytes) {
            Ok(line) => self.push(line),
            Err(_) => self.unreadable += 1,
        }
    }

    /// Takes in one more line, as it was written or as a session reports it.
    pub(crate) fn push(&mut self, line: Line) {
        let at = self.written;
        self.written += 1;
        self.current = line.branch;
        let branch = self.branches.entry(line.branch).or_insert_with(|| Branch { born: at, ..Branch::default() });
        match &line.event {
            // The steps beyond are made again. What was said about the step itself still holds.
            Event::Resumed { step, from_branch, .. } if *from_branch == line.branch => {
                branch.hide_beyond(*step, at);
            }
            // A branch leaves an older one, so that no chain of parents is a circle.
            Event::Resumed { step, from_branch, .. } if *from_branch < line.branch => {
                branch.parent = Some((*from_branch, *step));
            }
            _ => {}
        }
        branch.push(line, at);
    }

    /// A number for a new branch.
    pub(crate) fn next_branch(&self) -> u32 {
        self.branches.keys().next_back().map_or(0, |last| last.saturating_add(1))
    }

    /// The branches that lead to `branch`, oldest first, each with the last step that belongs to the way and the place in
    /// the file at which it was left.
    fn way(&self, branch: u32) -> Vec<(u32, u64, u64)> {
        let (mut at, mut end, mut left) = (branch, u64::MAX, u64::MAX);
        let mut way = vec![(at, end, left)];
        // Parents have smaller numbers, so this ends.
        while let Some((own, (parent, step))) = self.branches.get(&at).and_then(|b| Some((b, b.parent?))) {
            (at, end, left) = (parent, end.min(step), left.min(own.born));
            way.push((at, end, left));
        }
        way.reverse();
        way
    }

    /// Everything that led to the present state of `branch`: its ancestors up to where it left them, then its own lines.
    pub fn path(&self, branch: u32) -> impl Iterator<Item = &Line> {
        self.way(branch).into_iter().flat_map(|(id, end, left)| {
            let entries = self.branches.get(&id).map_or(&[][..], |branch| &branch.entries);
            let shown = move |entry: &&Entry| {
                let held = entry.written < left && (entry.void == u64::MAX || entry.void > left);
                held && entry.line.event.step() <= end
            };
            entries.iter().filter(shown).map(|entry| &entry.line)
        })
    }
}

/// Reads a line with its end, or the beginning of one that is too long; false at the end of the file.
pub(super) fn next_line(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    Ok(reader.take(LONGEST_LINE).read_until(b'\n', bytes)? > 0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::train::events::Phase;
    use proptest::prelude::*;

    pub(crate) fn step(step: u64) -> Event {
        Event::Changed { step, key: "lr".into(), from: 0.1.into(), to: 0.2.into() }
    }

    pub(crate) fn resumed(step: u64, from_branch: u32) -> Event {
        Event::Resumed { step, epoch: 0, from_branch, snapshot: None, device: "cpu".into() }
    }

    pub(crate) fn steps(history: &History, branch: u32) -> Vec<u64> {
        history.path(branch).filter(|l| matches!(l.event, Event::Changed { .. })).map(|l| l.event.step()).collect()
    }

    #[test]
    fn a_restart_hides_the_steps_that_it_makes_again() {
        let mut history = History::default();
        for event in [step(1), step(2), step(3), resumed(1, 0), step(2)] {
            history.push(Line { branch: 0, time: 0.0, event });
        }
        assert_eq!(steps(&history, 0), [1, 2]);
    }

    #[test]
    fn both_branches_of_a_rewind_stay() {
        let mut history = History::default();
        for (branch, event) in [
            (0, step(1)),
            (0, step(5)),
            (1, resumed(1, 0)),
            (1, step(2)),
            (2, resumed(1, 1)),
            (2, step(9)),
            (0, resumed(5, 0)),
            (0, step(6)),
        ] {
            history.push(Line { branch, time: 0.0, event });
        }
        assert_eq!(steps(&history, 0), [1, 5, 6]);
        assert_eq!(steps(&history, 1), [1, 2]);
        // Branch 2 left branch 1 before that one's first step.
        assert_eq!(steps(&history, 2), [1, 9]);
        assert_eq!((history.current, history.next_branch()), (0, 3));
    }

    #[test]
    fn ten_times_the_restarts_do_not_take_a_hundred_times_as_long() {
        // The best of several: the machine may be busy with something else.
        let best = |restarts: u64| {
            let events = (0..restarts).flat_map(|at| [resumed(at, 0), step(at + 1), step(at + 2)]);
            let line = |event| serde_json::to_string(&Line { branch: 0, time: 0.0, event }).unwrap() + "\n";
            let text: String = events.map(line).collect();
            let read = || {
                let begun = std::time::Instant::now();
                let history = History::from_reader(text.as_bytes()).unwrap();
                assert_eq!(steps(&history, 0), (1..=restarts + 1).collect::<Vec<_>>());
                begun.elapsed().as_secs_f64()
            };
            (0..5).map(|_| read()).fold(f64::INFINITY, f64::min)
        };
        let (few, many) = (best(5_000), best(50_000));
        assert!(many < 40.0 * few, "{few} s for 5,000, {many} s for 50,000");
    }

    #[test]
    fn no_file_is_no_history() {
        assert_eq!(History::read(Path::new("no such file")).unwrap(), History::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            History::from_reader(&bytes[..]).unwrap();
        }

        /// Kills, restarts and rewinds at random: every branch shows each of its steps once, in order.
        #[test]
        fn a_random_walk_keeps_every_branch_whole(walk in proptest::collection::vec((0u8..8, 0u64..40), 1..80)) {
            let mut history = History::default();
            let mut truth: Vec<Vec<u64>> = vec![vec![]];
            let mut now = 0usize;
            for (what, pick) in walk {
                let done = truth[now].len() as u64;
                let line = |branch: usize, event| Line { branch: branch as u32, time: 0.0, event };
                match what {
                    0 => {
                        // Killed, and back at a checkpoint that is not before where the branch began.
                        let start = history.branches.get(&(now as u32)).and_then(|b| b.parent).map_or(0, |p| p.1);
                        let back = start + pick % (done - start + 1);
                        truth[now].truncate(back as usize);
                        history.push(line(now, resumed(back, now as u32)));
                    }
                    1 => {
                        let back = pick % (done + 1);
                        let new = truth.len();
                        truth.push(truth[now][..back as usize].to_vec());
                        history.push(line(new, resumed(back, now as u32)));
                        now = new;
                    }
                    2 => {
                        now = pick as usize % truth.len();
                        let event = Event::Phase { step: truth[now].len() as u64, phase: Phase::Training };
                        history.push(line(now, event));
                    }
                    _ => {
                        truth[now].push(done + 1);
                        history.push(line(now, step(done + 1)));
                    }
                }
            }
            for (branch, expected) in truth.iter().enumerate() {
                prop_assert_eq!(&steps(&history, branch as u32), expected);
            }
        }
    }
}
