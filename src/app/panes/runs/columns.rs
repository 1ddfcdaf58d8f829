//! The columns of the list of runs: what each shows, how it sorts, and the list as CSV.

use super::tags;
use crate::app::widgets::{table, theme::Palette};
use crate::format::{ago, date_and_time, rounded_duration};
use crate::text;
use crate::train::{Recipe, RunSummary, fields};
use eframe::egui::Color32;
use std::{cmp::Ordering, collections::HashMap, path::Path};

/// A column of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Tick,
    Name,
    Data,
    Model,
    Rate,
    Batch,
    Best,
    Target,
    Epochs,
    Begun,
    Trained,
    Differs,
    Tags,
    Notes,
}

/// What is known of a run beside its summary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside<'a> {
    /// It goes on.
    pub live: bool,
    /// In what it is not like most.
    pub differs: &'a str,
    /// Step and seconds after which it reached the target.
    pub reached: Option<(u64, f64)>,
}

impl Column {
    /// From left to right.
    pub(crate) const ALL: [Column; 14] = [
        Column::Tick,
        Column::Name,
        Column::Data,
        Column::Model,
        Column::Rate,
        Column::Batch,
        Column::Best,
        Column::Target,
        Column::Epochs,
        Column::Begun,
        Column::Trained,
        Column::Differs,
        Column::Tags,
        Column::Notes,
    ];

    /// Which a narrow pane shows first.
    const BY_NEED: [Column; 14] = [
        Column::Tick,
        Column::Name,
        Column::Best,
        Column::Target,
        Column::Model,
        Column::Tags,
        Column::Rate,
        Column::Begun,
        Column::Epochs,
        Column::Batch,
        Column::Differs,
        Column::Data,
        Column::Notes,
        Column::Trained,
    ];

    /// Those that `width` points have room for, with or without the target's and the tags'.
    pub(crate) fn shown(width: f32, target: bool, tags: bool) -> Vec<Column> {
        let mut room = width;
        let mut fits = Self::BY_NEED.to_vec();
        fits.retain(|column| (target || *column != Column::Target) && (tags || *column != Column::Tags));
        fits.retain(|column| {
            room -= column.least();
            room >= 0.0
        });
        Self::ALL.into_iter().filter(|column| fits.contains(column)).collect()
    }

    /// Width that its values need, in points.
    fn least(self) -> f32 {
        match self {
            Column::Tick => 26.0,
            Column::Name => 120.0,
            Column::Best => 62.0,
            Column::Target => 84.0,
            Column::Rate => 52.0,
            Column::Batch => 50.0,
            Column::Epochs => 62.0,
            Column::Trained => 74.0,
            Column::Begun => 84.0,
            Column::Data => 74.0,
            Column::Model => 100.0,
            Column::Tags => 100.0,
            Column::Differs | Column::Notes => 110.0,
        }
    }

    /// As the table draws it.
    pub(crate) fn head(self) -> table::Column {
        let (name, help, greatest_first) = match self {
            Column::Tick => ("", "Ticked runs are drawn on the charts", false),
            Column::Name => ("Run", "The name of its folder", false),
            Column::Data => ("Data", "What it was trained on", false),
            Column::Model => ("Model", "The network", false),
            Column::Rate => ("Rate", "The learning rate at its end", true),
            Column::Batch => ("Batch", "Images in a step", true),
            Column::Best => ("Best", "Best validation accuracy of any branch", true),
            Column::Target => ("Target", "Training until the target accuracy of the charts was reached", false),
            Column::Epochs => ("Epochs", "Done, of those that were asked for", true),
            Column::Begun => ("Begun", "When the run began", true),
            Column::Trained => ("Trained", "Time of training, pauses left out", true),
            Column::Differs => ("What differs", "Other fields in which it is not like most of these runs", false),
            Column::Tags => ("Tags", "A press on one shows its runs only; they are given below", false),
            Column::Notes => ("Notes", "Written in the box below", false),
        };
        // What is left over is for names more than for figures.
        let share = if self == Column::Name { 1.4 * self.least() } else { self.least() };
        table::Column { name, help, share, greatest_first }
    }

    /// Text and colour of a cell. `now` in seconds since 1970.
    pub(crate) fn cell(
        self,
        run: &RunSummary,
        Beside { live, differs, reached }: Beside,
        now: f64,
        palette: &Palette,
    ) -> (String, Color32) {
        if self == Column::Notes && run.problem.is_some() {
            return ("can't be read".to_owned(), palette.wrong);
        }
        let text = match self {
            Column::Name if live => format!("▶ {}", run.name),
            Column::Begun => ago(run.created, now),
            Column::Epochs if run.finished => format!("{} ✓", run.epoch),
            Column::Trained => rounded_duration(run.seconds),
            Column::Differs => differs.to_owned(),
            Column::Target => reached.map_or("–".to_owned(), |(_, seconds)| rounded_duration(seconds)),
            Column::Notes => tags::text(&run.notes),
            column => column.value(run),
        };
        let color = match self {
            Column::Name if live => palette.train,
            Column::Name | Column::Best | Column::Epochs => palette.text,
            _ => palette.weak,
        };
        (text, color)
    }

    fn value(self, run: &RunSummary) -> String {
        let of_recipe = |value: fn(&Recipe) -> String| run.recipe.as_ref().map_or("–".to_owned(), value);
        match self {
            Column::Tick | Column::Differs | Column::Target | Column::Tags => String::new(),
            Column::Name => run.name.clone(),
            Column::Data => short_data(&run.data),
            Column::Model => model(run),
            Column::Rate => of_recipe(|recipe| recipe.lr.to_string()),
            Column::Batch => of_recipe(|recipe| recipe.batch_size.to_string()),
            Column::Best => run.best_accuracy.map_or("–".to_owned(), |best| format!("{:.1} %", best * 100.0)),
            Column::Epochs => format!("{} / {}", run.epoch, run.epochs),
            Column::Begun => run.created.to_string(),
            Column::Trained => run.seconds.to_string(),
            Column::Notes => run.notes.clone(),
        }
    }

    /// Which of two runs comes first; one without a figure comes last in either order.
    pub(crate) fn compare(self, a: &RunSummary, b: &RunSummary, descending: bool) -> Ordering {
        let text = |value: fn(&RunSummary) -> String| value(a).to_lowercase().cmp(&value(b).to_lowercase());
        let figure = |value: fn(&Recipe) -> f64| {
            let own = |run: &RunSummary| run.recipe.as_ref().map(value);
            number(own(a), own(b), descending)
        };
        let way = match self {
            Column::Best => return number(a.best_accuracy, b.best_accuracy, descending),
            Column::Rate => return figure(|recipe| recipe.lr),
            Column::Batch => return figure(|recipe| recipe.batch_size as f64),
            Column::Name => text(|run| run.name.clone()),
            Column::Data => text(|run| run.data.clone()),
            Column::Model => text(model),
            Column::Tags => text(|run| Group::Tag.of(run)),
            Column::Notes => text(|run| tags::text(&run.notes)),
            Column::Epochs => a.epoch.cmp(&b.epoch),
            Column::Trained => a.seconds.total_cmp(&b.seconds),
            Column::Begun | Column::Tick | Column::Differs | Column::Target => a.created.total_cmp(&b.created),
        };
        if descending { way.reverse() } else { way }
    }
}

fn number(a: Option<f64>, b: Option<f64>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.total_cmp(&a),
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => b.is_some().cmp(&a.is_some()),
    }
}

/// The name of the network; the words behind it say its stem and size.
fn model(run: &RunSummary) -> String {
    run.recipe.as_ref().map_or_else(|| run.model.clone(), |recipe| recipe.model.clone())
}

/// The last part of a path; a name as it is.
pub(crate) fn short_data(data: &str) -> String {
    text::file_name(Path::new(data))
}

/// What a list is put into parts by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Group {
    #[default]
    None,
    Data,
    Model,
    Tag,
}

impl Group {
    /// The part that a run belongs to.
    pub(crate) fn of(self, run: &RunSummary) -> String {
        match self {
            Group::None => String::new(),
            Group::Data => short_data(&run.data),
            Group::Model => model(run),
            Group::Tag => {
                let mut tags = tags::of(&run.notes);
                tags.sort();
                let tags: Vec<String> = tags.into_iter().map(|tag| format!("#{tag}")).collect();
                if tags.is_empty() { "no tag".to_owned() } else { tags.join(" ") }
            }
        }
    }
}

/// The order of `runs`: parts by name, and within each the sorting.
pub(crate) fn sort(order: &mut [usize], runs: &[RunSummary], column: Column, descending: bool, group: Group) {
    order.sort_by(|&a, &b| {
        let (a, b) = (&runs[a], &runs[b]);
        group.of(a).cmp(&group.of(b)).then_with(|| column.compare(a, b, descending))
    });
}

/// Of each run the fields in which it is not like most of these, without those that have a column.
pub(crate) fn differences(runs: &[&RunSummary]) -> Vec<String> {
    let mut texts = vec![String::new(); runs.len()];
    for field in fields().iter().filter(|field| !["model", "lr", "batch_size"].contains(&field.key)) {
        let value = |run: &&RunSummary| Some(field.show(&run.recipe.as_ref()?.get(field.key)?));
        let values: Vec<Option<String>> = runs.iter().map(value).collect();
        let mut counts = HashMap::<&str, usize>::new();
        values.iter().flatten().for_each(|value| *counts.entry(value).or_default() += 1);
        // The first of those that are as frequent, so that the answer is always the same.
        let usual = values.iter().flatten().rev().max_by_key(|value| counts[value.as_str()]);
        for (text, value) in texts.iter_mut().zip(&values) {
            if let Some(value) = value.as_ref().filter(|value| Some(*value) != usual) {
                let gap = if text.is_empty() { "" } else { ", " };
                *text += &format!("{gap}{} {value}", field.key);
            }
        }
    }
    texts
}

/// The list for a spreadsheet: figures, then every field of the recipe.
pub(crate) fn csv(runs: &[&RunSummary]) -> String {
    let line = |cells: Vec<String>| cells.iter().map(|cell| text::csv_cell(cell)).collect::<Vec<_>>().join(",") + "\n";
    let own = ["run", "data", "best_accuracy", "epoch", "step", "begun", "seconds", "notes"];
    let keys = fields().iter().map(|field| field.key);
    let mut text = line(own.into_iter().chain(keys.clone()).map(str::to_owned).collect());
    for run in runs {
        let mut cells = vec![
            run.name.clone(),
            run.data.clone(),
            run.best_accuracy.map(|best| best.to_string()).unwrap_or_default(),
            run.epoch.to_string(),
            run.step.to_string(),
            date_and_time(run.created),
            run.seconds.to_string(),
            run.notes.clone(),
        ];
        let value = |key| run.recipe.as_ref().and_then(|recipe| recipe.get(key)).map(|value| value.to_string());
        cells.extend(keys.clone().map(|key| value(key).unwrap_or_default()));
        text += &line(cells);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::app::widgets::theme;
    use std::path::PathBuf;

    pub(crate) fn run(name: &str, best: Option<f64>, created: f64) -> RunSummary {
        RunSummary {
            path: PathBuf::from(name),
            name: name.to_owned(),
            data: "/data/Pets".to_owned(),
            model: "resnet18".to_owned(),
            notes: format!("about {name}\nmore"),
            created,
            seconds: 1.0,
            step: 10,
            epoch: 1,
            epochs: 5,
            best_accuracy: best,
            finished: false,
            recipe: None,
            problem: None,
        }
    }

    #[test]
    fn runs_are_sorted_and_one_without_a_figure_comes_last() {
        let mut runs = [run("a", None, 1.0), run("C", Some(0.9), 3.0), run("b", Some(0.2), 2.0)];
        let names = |runs: &[RunSummary], column, descending, group| -> Vec<String> {
            let mut order: Vec<usize> = (0..runs.len()).collect();
            sort(&mut order, runs, column, descending, group);
            order.into_iter().map(|at| runs[at].name.clone()).collect()
        };
        assert!(Column::Best.head().greatest_first && !Column::Name.head().greatest_first);
        assert_eq!(names(&runs, Column::Name, false, Group::None), ["a", "b", "C"]);
        assert_eq!(names(&runs, Column::Best, true, Group::None), ["C", "b", "a"]);
        assert_eq!(names(&runs, Column::Best, false, Group::None), ["b", "C", "a"]);
        assert_eq!(names(&runs, Column::Begun, true, Group::None), ["C", "b", "a"]);
        runs[1].data = "zebras".into();
        assert_eq!(names(&runs, Column::Best, true, Group::Data), ["b", "a", "C"]);
        runs[0].notes = "#good #Fast".into();
        runs[2].notes = "#fast it is #good".into();
        assert_eq!(names(&runs, Column::Name, false, Group::Tag), ["a", "b", "C"]);
    }

    #[test]
    fn a_cell_is_short_enough_to_be_read() {
        let palette = theme::palette_of(eframe::egui::Theme::Dark);
        let text = |column: Column| column.cell(&run("a", Some(0.842), 1.0), Beside::default(), 100.0, palette).0;
        let texts = [Column::Data, Column::Best, Column::Epochs, Column::Begun, Column::Notes].map(text);
        assert_eq!(texts, ["Pets", "84.2 %", "1 / 5", "1 min ago", "about a"]);
    }

    #[test]
    fn a_narrow_pane_shows_what_matters_most_whole() {
        let narrow = Column::shown(420.0, false, false);
        assert_eq!(narrow, [Column::Tick, Column::Name, Column::Model, Column::Rate, Column::Best]);
        assert!(narrow.iter().map(|column| column.least()).sum::<f32>() <= 420.0);
        assert_eq!(Column::shown(2000.0, true, true), Column::ALL);
    }

    #[test]
    fn what_differs_is_what_most_others_have_otherwise() {
        let of = |flip: bool, lr: f64| {
            let recipe = Recipe { flip, lr, ..Recipe::default() };
            RunSummary { recipe: Some(recipe), ..run("a", None, 1.0) }
        };
        let runs = [of(false, 0.1), of(true, 0.2), of(false, 0.1)];
        assert_eq!(differences(&runs.iter().collect::<Vec<_>>()), ["", "flip true", ""]);
    }

    #[test]
    fn the_list_is_a_table_for_a_spreadsheet() {
        let mut one = run("a", Some(0.5), 1.0);
        one.notes = "say \"hi\", then".into();
        one.recipe = Some(Recipe { lr: 0.25, ..Recipe::default() });
        let text = csv(&[&one]);
        let (head, line) = text.trim_end().split_once('\n').unwrap();
        assert!(head.starts_with("run,data,best_accuracy,") && head.contains(",lr,"), "{head}");
        assert!(line.contains("\"say \"\"hi\"\", then\"") && line.contains(",0.25,"), "{line}");
    }
}
