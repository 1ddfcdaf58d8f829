//! Which snapshots stay when disk space is short: a pure function, so that it can be reasoned about and tested.

use serde::{Deserialize, Serialize};

/// A state that a run can go back to, as its small JSON file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// As people see it.
    pub name: String,
    /// The branch that it was taken on.
    pub branch: u32,
    /// Updates made until then.
    pub step: u64,
    /// Epochs done, with a fraction.
    pub(crate) epoch: f64,
    /// Seconds since 1970.
    pub(crate) time: f64,
    /// Validation accuracy, where it was measured at that step.
    #[serde(default)]
    pub(crate) accuracy: Option<f64>,
    /// Taken by the program at the end of an epoch; one taken by hand is never thinned out.
    pub(crate) automatic: bool,
    /// Size of its files. Looked up, not stored.
    #[serde(skip)]
    pub(crate) bytes: u64,
}

/// The positions in `snapshots` of those to remove, so that all together stay within `budget` bytes.
///
/// Only automatic ones go. The newest stays as long as it fits at all. Among the others that one goes first whose
/// neighbours on the same branch are closest, measured by its age: what remains is dense near the present and sparse
/// long ago, like the marks of a logarithmic ruler.
pub(crate) fn thin(snapshots: &[SnapshotInfo], budget: u64) -> Vec<usize> {
    let total = |kept: &[usize]| kept.iter().fold(0u64, |sum, &i| sum.saturating_add(snapshots[i].bytes));
    let mut kept: Vec<usize> = (0..snapshots.len()).collect();
    kept.sort_by_key(|&i| (snapshots[i].branch, snapshots[i].step));
    let newest = (0..snapshots.len()).max_by(|&a, &b| {
        let (a, b) = (&snapshots[a], &snapshots[b]);
        a.time.total_cmp(&b.time).then((a.branch, a.step).cmp(&(b.branch, b.step)))
    });
    let mut removed = Vec::new();
    while total(&kept) > budget {
        let automatic = (0..kept.len()).filter(|&at| snapshots[kept[at]].automatic);
        let victim = automatic.min_by(|&a, &b| {
            let key = |at: usize| (Some(kept[at]) == newest, relative_gap(snapshots, &kept, at));
            let ((a_newest, a_gap), (b_newest, b_gap)) = (key(a), key(b));
            a_newest.cmp(&b_newest).then(a_gap.total_cmp(&b_gap))
        });
        let Some(victim) = victim else { break };
        removed.push(kept.remove(victim));
    }
    removed
}

/// Steps between the neighbours of `kept[at]` on its branch, over its own distance from the branch's end. Small where
/// it would be missed least; the first of a branch counts the way from the start.
fn relative_gap(snapshots: &[SnapshotInfo], kept: &[usize], at: usize) -> f64 {
    let own = &snapshots[kept[at]];
    let on_branch = |i: &&usize| snapshots[**i].branch == own.branch;
    let before = kept[..at].iter().rev().find(on_branch).map_or(0, |&i| snapshots[i].step);
    let after = kept[at + 1..].iter().find(on_branch).map(|&i| snapshots[i].step);
    let end = kept.iter().rev().find(on_branch).map_or(own.step, |&i| snapshots[i].step);
    // The last of a branch is where one would take it up again.
    let Some(after) = after else { return f64::MAX };
    (after - before) as f64 / (end - own.step).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshot(branch: u32, step: u64, automatic: bool, bytes: u64) -> SnapshotInfo {
        let name = format!("{branch}-{step}");
        SnapshotInfo { name, branch, step, epoch: 0.0, time: step as f64, accuracy: None, automatic, bytes }
    }

    #[test]
    fn what_remains_is_dense_near_the_present() {
        // One comes each epoch, as in a run, and the budget holds eight.
        let mut all: Vec<SnapshotInfo> = Vec::new();
        for step in 1..=64 {
            all.push(snapshot(0, step, true, 1));
            let gone = thin(&all, 8);
            let mut i = 0;
            all.retain(|_| {
                i += 1;
                !gone.contains(&(i - 1))
            });
        }
        let steps: Vec<u64> = all.iter().map(|s| s.step).collect();
        let gaps: Vec<u64> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.len() == 8 && *steps.last().unwrap() == 64, "{steps:?}");
        assert!(gaps[0] >= 8 && *gaps.last().unwrap() <= 4, "{steps:?}");
    }

    #[test]
    fn a_budget_of_nothing_keeps_what_was_taken_by_hand() {
        let all = [snapshot(0, 1, true, 5), snapshot(0, 2, false, 5), snapshot(1, 3, true, 5)];
        let mut gone = thin(&all, 0);
        gone.sort_unstable();
        assert_eq!(gone, [0, 2]);
    }

    proptest! {
        #[test]
        fn thinning_meets_the_budget_and_spares_what_it_must(
            list in proptest::collection::vec((0u32..3, 0u64..1000, any::<bool>(), 0u64..100), 0..30), budget in 0u64..1500,
        ) {
            let all: Vec<_> = list.into_iter().map(|(b, s, auto, bytes)| snapshot(b, s, auto, bytes)).collect();
            let gone = thin(&all, budget);
            prop_assert!(gone.iter().all(|&i| all[i].automatic));
            let kept: Vec<_> = (0..all.len()).filter(|i| !gone.contains(i)).map(|i| all[i].clone()).collect();
            prop_assert_eq!(kept.len() + gone.len(), all.len());
            let size: u64 = kept.iter().map(|s| s.bytes).sum();
            prop_assert!(size <= budget || kept.iter().all(|s| !s.automatic));
            // No more goes than must, and a second look finds nothing to do.
            if let Some(&last) = gone.last() {
                prop_assert!(size + all[last].bytes > budget);
            }
            prop_assert!(thin(&kept, budget).iter().all(|&i| kept[i].bytes == 0) || size > budget || thin(&kept, budget).is_empty());
        }
    }
}
