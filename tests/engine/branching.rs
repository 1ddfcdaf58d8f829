//! Going back again and again: whatever way a run takes through its snapshots, each branch stays what a run that never
//! went further would be, and none is lost.

use super::support::{finish, folder, recipe, setup, until};
use kindling::{
    data::rng::Rng,
    session::{Command, Event, Session},
    train::{History, Recipe, RunFolder, SnapshotInfo, Value},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Steps of an epoch of the small data set.
const EPOCH: u64 = 6;
/// How often the walk goes back.
const REWINDS: usize = 10;
/// It goes back to a snapshot of its first steps, so that it stays short.
const EARLY: u64 = 5 * EPOCH;
const RATES: [f64; 3] = [0.05, 0.02, 0.01];

/// A constant schedule, so that a rate belongs to a step and not to the length of the run. Momentum and averaged
/// weights are memories that a snapshot must hold too.
fn walker(epochs: u64) -> Recipe {
    let epochs = format!("epochs={epochs}");
    recipe(&[&epochs, "schedule=constant", "warmup_epochs=0", "ema_decay=0.9", "mixup=0.2", "flip=true"])
}

/// The learning rate of each step that led to a state: all that tells two states of this walk apart.
type Way = Vec<f64>;

/// The files of a state, weights and optimiser, by the number of steps that led there.
type States = BTreeMap<u64, [Vec<u8>; 2]>;

/// The way of each branch, from its events alone. Also checks that the events of a branch explain one another.
fn ways(history: &History) -> BTreeMap<u32, Way> {
    let way = |&branch: &u32| {
        let (mut way, mut rate, mut last) = (Way::new(), RATES[0], 0);
        for line in history.path(branch) {
            match &line.event {
                Event::Step { step, lr, .. } => {
                    assert!(*step > last, "branch {branch}: step {step} after {last}");
                    assert_eq!(*lr, rate, "branch {branch}: the rate of step {step}");
                    way.resize(*step as usize, rate);
                    last = *step;
                }
                Event::Changed { step, key, from, to } if key == "lr" => {
                    assert_eq!(from, &Value::Float(rate), "branch {branch}: the rate before step {step}");
                    // Steps until then were made, whether or not a line says so.
                    way.resize(*step as usize, rate);
                    let Value::Float(to) = to else { panic!("a rate is a number") };
                    rate = *to;
                }
                _ => {}
            }
        }
        let epochs: Vec<u64> = history
            .path(branch)
            .filter_map(|line| if let Event::Epoch { epoch, .. } = line.event { Some(epoch) } else { None })
            .collect();
        assert_eq!(epochs, (1..=way.len() as u64 / EPOCH).collect::<Vec<_>>(), "branch {branch}: its epochs");
        (branch, way)
    };
    history.branches.keys().map(way).collect()
}

/// A session that goes on with the run where it stands, with the recipe that it has.
fn resume(run: &Path) -> Session {
    let recipe = RunFolder::open(run).unwrap().read_recipe().unwrap();
    Session::start(setup(run, recipe, true))
}

/// Walks until it has gone back `REWINDS` times, then stops. Every now and then the program ends and the run is resumed.
fn walk(run: &Path, rng: &mut Rng) {
    let mut left = REWINDS;
    while left > 0 {
        // No walk comes to the end of so many epochs.
        let session = match run.exists() {
            true => resume(run),
            false => Session::start(setup(run, walker(1000), false)),
        };
        let lives = 1 + rng.below(4);
        for _ in 0..lives.min(left) {
            // Some way on: to the end of an epoch, or somewhere within one.
            let (count, mut seen) = (1 + rng.below(3), 0);
            let at_epoch = rng.below(2) == 0;
            until(&session, |event| {
                let counts =
                    matches!(event, Event::Snapshot { .. }) || (!at_epoch && matches!(event, Event::Step { .. }));
                seen += usize::from(counts);
                seen >= count
            });
            if rng.below(3) == 0 {
                session.send(Command::Snapshot { name: Some(format!("by hand {left}")) });
                until(&session, |event| matches!(event, Event::Snapshot { name, .. } if name.starts_with("by hand")));
            }
            session.send(Command::Pause);
            until(&session, |event| matches!(event, Event::Phase { phase: kindling::train::Phase::Paused, .. }));
            let snapshots = RunFolder::open(run).unwrap().snapshots();
            let early: Vec<&SnapshotInfo> = snapshots.iter().filter(|snapshot| snapshot.step <= EARLY).collect();
            if early.is_empty() {
                session.send(Command::Resume);
                continue;
            }
            let target = early[rng.below(early.len())];
            // A rate may change where an epoch begins, so that the run beside can follow it.
            let changes = match target.step % EPOCH {
                0 => vec![("lr".to_owned(), Value::Float(RATES[rng.below(3)]))],
                _ => Vec::new(),
            };
            session.send(Command::Rewind { snapshot: target.name.clone(), changes });
            session.send(Command::Resume);
            let went = until(&session, |event| matches!(event, Event::Resumed { snapshot: Some(_), .. }));
            let warning = went.iter().find(|event| matches!(event, Event::Warning { .. }));
            assert!(warning.is_none(), "{warning:?}");
            left -= 1;
        }
        session.stop();
    }
}

/// The weights and the optimiser of a snapshot or a last state, byte for byte.
fn bytes(weights: PathBuf, optimiser: PathBuf) -> [Vec<u8>; 2] {
    [weights, optimiser].map(|path| std::fs::read(path).unwrap())
}

/// The states at the ends of epochs of a run that takes `way` and never goes back.
fn straight(run: &Path, way: &[f64]) -> States {
    let rates: Vec<f64> = way.iter().step_by(EPOCH as usize).copied().collect();
    let mut done = 0;
    while done < rates.len() {
        let same = rates[done..].iter().take_while(|&&rate| rate == rates[done]).count();
        let recipe = Recipe { lr: rates[done], ..walker((done + same) as u64) };
        let events = finish(setup(run, recipe, done > 0));
        assert!(events.iter().any(|event| matches!(event, Event::Done { .. })), "{events:#?}");
        done += same;
    }
    let folder = RunFolder::open(run).unwrap();
    let state = |info: SnapshotInfo| {
        let (_, files) = folder.snapshot(&info.name).unwrap();
        (info.step, bytes(files.weights, files.optimiser))
    };
    folder.snapshots().into_iter().map(state).collect()
}

#[test]
fn a_random_walk_through_snapshots_leaves_every_branch_whole() {
    let (_guard, at) = folder();
    let run = at("walk");
    let mut rng = Rng::new(&[20_261_122]);
    walk(&run, &mut rng);

    let folder = RunFolder::open(&run).unwrap();
    let history = History::read(&folder.events_path()).unwrap();
    assert_eq!((history.branches.len(), history.unreadable), (REWINDS + 1, 0));
    let before = ways(&history);

    // Each branch can be taken up where it ended, and goes on to the end of its epoch and one more.
    for branch in 0..=REWINDS as u32 {
        let session = resume(&run);
        let own = folder.snapshots().into_iter().filter(|snapshot| snapshot.branch == branch);
        let end = own.max_by_key(|snapshot| snapshot.step).unwrap_or_else(|| panic!("branch {branch} is lost"));
        assert!(end.step as usize >= before[&branch].len(), "the end of branch {branch} is lost");
        session.send(Command::Rewind { snapshot: end.name, changes: Vec::new() });
        let went = until(&session, |event| matches!(event, Event::Resumed { snapshot: Some(_), .. }));
        assert!(!went.iter().any(|event| matches!(event, Event::Warning { .. })), "{went:#?}");
        until(&session, |event| matches!(event, Event::Epoch { .. }) && event.step() > end.step);
        session.stop();
    }

    let history = History::read(&folder.events_path()).unwrap();
    let after = ways(&history);
    for (branch, way) in &before {
        assert!(after[branch].starts_with(way), "branch {branch} changed when others went on");
    }

    // Every snapshot is the state of a run that took the same way and never went further.
    let mut runs: Vec<(Way, States)> = Vec::new();
    let mut compared = 0;
    let mut longest: Vec<&Way> = after.values().collect();
    longest.sort_by_key(|way| std::cmp::Reverse(way.len()));
    for way in longest {
        let whole = &way[..way.len() / EPOCH as usize * EPOCH as usize];
        if !runs.iter().any(|(known, _)| known.starts_with(whole)) {
            let states = straight(&at(&format!("straight {}", runs.len())), whole);
            runs.push((whole.to_vec(), states));
        }
    }
    for info in folder.snapshots().into_iter().filter(|info| info.step % EPOCH == 0 && info.step > 0) {
        let way = &after[&info.branch][..info.step as usize];
        let (_, states) = runs.iter().find(|(known, _)| known.starts_with(way)).unwrap();
        let (_, files) = folder.snapshot(&info.name).unwrap();
        assert!(bytes(files.weights, files.optimiser) == states[&info.step], "snapshot {} differs", info.name);
        compared += 1;
    }
    assert!(compared > REWINDS, "only {compared} snapshots could be compared");
}

#[test]
fn going_back_to_a_snapshot_that_has_to_make_room_still_works() {
    let (_guard, at) = folder();
    let run = at("a");
    finish(setup(&run, walker(3), false));
    let oldest = RunFolder::open(&run).unwrap().snapshots().remove(0);
    // Room for next to nothing: the snapshot of the end that is left drives every automatic one out.
    let mut recipe = walker(4);
    recipe.snapshot_megabytes = 0;
    let session = Session::start(setup(&run, recipe, true));
    session.send(Command::Rewind { snapshot: oldest.name.clone(), changes: Vec::new() });
    let events = until(&session, |event| matches!(event, Event::Epoch { .. }));
    assert!(events.iter().any(|event| matches!(event, Event::SnapshotRemoved { name, .. } if *name == oldest.name)));
    assert!(events.iter().any(|event| matches!(event, Event::Resumed { snapshot: Some(_), step: EPOCH, .. })));
    session.stop();
}

#[test]
fn a_worse_branch_does_not_replace_the_best_weights_of_the_run() {
    let (_guard, at) = folder();
    let run = at("a");
    let events = finish(setup(&run, recipe(&["epochs=8"]), false));
    let Some(Event::Done { best_accuracy: Some(best), .. }) = events.last_done() else { panic!("{events:#?}") };
    assert!(best > 0.5, "{best}");
    let weights = std::fs::read(run.join("best.safetensors")).unwrap();
    let first = RunFolder::open(&run).unwrap().snapshots().remove(0);
    // From the first epoch on with a rate of next to nothing: the branch gets better, but not as good.
    let session = Session::start(setup(&run, recipe(&["epochs=9"]), true));
    session.send(Command::Rewind {
        snapshot: first.name,
        changes: vec![("lr".to_owned(), Value::Float(0.005)), ("epochs".to_owned(), Value::Int(3))],
    });
    let events = until(&session, |event| matches!(event, Event::Done { .. }));
    session.stop();
    assert!(events.iter().any(|event| matches!(event, Event::Epoch { best: true, .. })), "{events:#?}");
    let Some(Event::Done { accuracy: Some(accuracy), best_accuracy: Some(best_accuracy), .. }) = events.last_done()
    else {
        panic!("{events:#?}")
    };
    assert!(accuracy < best && best_accuracy == best, "{accuracy} {best_accuracy} {best}");
    assert!(std::fs::read(run.join("best.safetensors")).unwrap() == weights, "the best weights are gone");
    assert_eq!(kindling::train::run_list::summarise(&run).best_accuracy.map(|a| a as f32), Some(best));
}

/// The event with which a run says that it is done.
trait LastDone {
    fn last_done(&self) -> Option<Event>;
}

impl LastDone for Vec<Event> {
    fn last_done(&self) -> Option<Event> {
        self.iter().rev().find(|event| matches!(event, Event::Done { .. })).cloned()
    }
}
