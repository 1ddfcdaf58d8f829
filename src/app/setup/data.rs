//! Which data: the built-in sample, the known sets, or something of one's own.

use super::{class_counts, ways};
use crate::app::{
    drop,
    state::{Action, State},
    widgets::{self, theme},
};
use crate::data::{Dataset, NAMED, NAMES, Named};
use crate::format::number;
use crate::text;
use crate::train::Recipe;
use eframe::egui::{Button, CollapsingHeader, ProgressBar, RichText, ScrollArea, Ui, vec2};

pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    let palette = theme::palette(ui);
    let busy = state.run.is_live();
    let loaded = state.data.dataset.as_ref().map(|dataset| dataset.spec.clone());
    ui.add_enabled_ui(!busy, |ui| {
        let width = (ui.available_width() - ui.spacing().item_spacing.x) / 2.0;
        for pair in NAMED.chunks(2) {
            ui.horizontal(|ui| {
                for &Named { name, title, about } in pair {
                    let button = Button::selectable(loaded.as_deref() == Some(name), title);
                    let button = button.frame_when_inactive(true).min_size(vec2(width, 26.0));
                    if ui.add(button).on_hover_text(about).clicked() {
                        state.ask(Action::LoadData(name.to_owned()));
                    }
                }
            });
        }
        ui.horizontal(|ui| {
            let open = ui.add(Button::new("Open file…").min_size(vec2(width, 26.0)));
            if open.on_hover_text("A CIFAR archive or an IDX file; images go to Classify (Ctrl+O)").clicked() {
                state.ask(Action::OpenFiles);
            }
            let open = ui.add(Button::new("Open folder…").min_size(vec2(width, 26.0)));
            let help =
                "A folder with a sub-folder of images for each class, CIFAR or IDX files, or a run to go on with";
            if open.on_hover_text(help).clicked() {
                state.ask(Action::OpenFolder);
            }
        });
        recent(ui, state);
    });
    if busy {
        ui.label(RichText::new("The data stays until the run is stopped.").color(palette.weak).small());
    }
    if let Some(loading) = &state.data.loading {
        let (share, text) = loading.progress();
        ui.add(ProgressBar::new(share.unwrap_or(0.0)).desired_height(8.0).fill(palette.accent));
        let mut cancelled = false;
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(text).color(palette.weak));
            cancelled = ui.small_button("Cancel").on_hover_text("A download goes on later where it stopped").clicked();
        });
        if cancelled {
            state.ask(Action::CancelLoading);
        }
    }
    if let Some(problem) = &state.data.problem {
        ui.label(RichText::new(format!("⚠ {problem}")).color(palette.wrong));
    }
    match state.data.dataset.clone() {
        Some(dataset) => {
            about(ui, &dataset, &state.recipe);
            ways::ui(ui, state, &dataset);
        }
        None if state.data.loading.is_none() => {
            let text = format!("Choose a set, or {}.", drop::bring("a folder of images"));
            ui.label(RichText::new(text).color(palette.weak));
        }
        None => {}
    }
}

fn recent(ui: &mut Ui, state: &mut State) {
    let recent = state.settings.recent_data.iter();
    let own: Vec<String> = recent.filter(|spec| !NAMES.contains(&spec.as_str())).cloned().collect();
    if own.is_empty() {
        return;
    }
    ui.menu_button("Recent", |ui| {
        for spec in own {
            if ui.button(&spec).clicked() {
                state.ask(Action::LoadData(spec));
                ui.close();
            }
        }
    });
}

fn about(ui: &mut Ui, dataset: &Dataset, recipe: &Recipe) {
    let palette = theme::palette(ui);
    ui.add_space(4.0);
    let (train, validation) = (&dataset.train, &dataset.validation);
    let kind = if train.channels == 1 { "gray" } else { "colour" };
    widgets::fact(ui, "Images", format!("{}x{} {kind}", train.width, train.height));
    if dataset.has_folds() {
        widgets::fact(ui, "Photographs", number(train.len() as u64));
    } else {
        widgets::fact(ui, "Training", number(train.len() as u64));
        let validation = widgets::fact(ui, "Validation", number(validation.len() as u64));
        validation.on_hover_text(dataset.validation_kind.to_string());
    }
    if dataset.validation_kind != crate::data::ValidationKind::Own {
        ui.label(RichText::new(dataset.validation_kind.to_string()).color(palette.weak).small());
    }
    class_counts::ui(ui, dataset, recipe);
    if !dataset.left_out.is_empty() {
        let text = RichText::new(format!("Left out: {}", dataset.left_out)).color(palette.warning).small();
        ui.label(text).on_hover_text(dataset.left_out.lines().take(40).collect::<Vec<_>>().join("\n"));
    }
    if !dataset.rejected.is_empty() {
        let title = format!("{} files could not be read", number(dataset.rejected.len() as u64));
        CollapsingHeader::new(RichText::new(title).color(palette.warning)).id_salt("rejected").show(ui, |ui| {
            ScrollArea::vertical().max_height(160.0).show(ui, |ui| {
                for file in dataset.rejected.iter().take(200) {
                    ui.label(
                        RichText::new(format!("{}: {}", text::path(&file.path), text::message(&file.reason))).small(),
                    );
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::test_support::harness, data};
    use egui_kittest::kittest::Queryable;

    #[test]
    fn what_is_left_out_of_a_folder_is_said() {
        let folder = tempfile::tempdir().unwrap();
        for class in ["cat", "dog"] {
            let path = folder.path().join(class);
            std::fs::create_dir(&path).unwrap();
            image::GrayImage::new(4, 4).save(path.join("1.png")).unwrap();
        }
        std::fs::write(folder.path().join("cat/2.heic"), "pixels").unwrap();
        let spec = folder.path().to_str().unwrap();
        let dataset = data::load(spec, &data::LoadOptions::default(), &data::Silent).unwrap();
        let harness = harness(|ui| about(ui, &dataset, &Recipe::default()));
        assert!(harness.query_by_label("Left out: 1 .heic file in cat").is_some());
    }
}
