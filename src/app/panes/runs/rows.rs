//! The lines of the list of runs: each a run, or the heading of a part that folds.

use super::columns::Group;
use crate::train::RunSummary;
use std::collections::HashSet;

/// A line of the list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Row {
    /// The heading of a part: its name, how many runs it has, and the best accuracy of any.
    Part(String, usize, Option<f64>),
    /// By position in the list.
    Run(usize),
}

/// The lines of the list: the runs in their order, with a heading over each part, without what is folded.
pub(crate) fn rows(runs: &[RunSummary], order: &[usize], group: Group, folded: &HashSet<String>) -> Vec<Row> {
    if group == Group::None {
        return order.iter().map(|&at| Row::Run(at)).collect();
    }
    let mut rows = Vec::new();
    for part in order.chunk_by(|&a, &b| group.of(&runs[a]) == group.of(&runs[b])) {
        let name = group.of(&runs[part[0]]);
        let best = part.iter().filter_map(|&at| runs[at].best_accuracy).max_by(f64::total_cmp);
        if !folded.contains(&name) {
            rows.extend(part.iter().map(|&at| Row::Run(at)));
        }
        rows.insert(
            rows.len() - if folded.contains(&name) { 0 } else { part.len() },
            Row::Part(name, part.len(), best),
        );
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::panes::runs::columns::tests::run;

    #[test]
    fn parts_have_a_heading_and_fold() {
        let mut runs = [run("a", Some(0.2), 1.0), run("b", Some(0.9), 2.0), run("c", None, 3.0)];
        runs[1].data = "zebras".into();
        let order = [0, 2, 1];
        let part = |name: &str, count, best| Row::Part(name.to_owned(), count, best);
        let open = rows(&runs, &order, Group::Data, &HashSet::new());
        let all = [part("Pets", 2, Some(0.2)), Row::Run(0), Row::Run(2), part("zebras", 1, Some(0.9)), Row::Run(1)];
        assert_eq!(open, all);
        let folded = rows(&runs, &order, Group::Data, &HashSet::from(["Pets".to_owned()]));
        assert_eq!(folded, [part("Pets", 2, Some(0.2)), part("zebras", 1, Some(0.9)), Row::Run(1)]);
        assert_eq!(rows(&runs, &order, Group::None, &HashSet::new()).len(), 3);
    }
}
