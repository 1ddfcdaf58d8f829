//! Which network, with what it costs and a drawing of it.

use super::{blocks, field};
use crate::app::{
    state::{Action, State},
    widgets::{self, theme},
};
use crate::{
    format::{bytes, number},
    model::{Frozen, ModelSpec, footprint},
    ops::Storage,
    text,
    train::{Group, Recipe, fields},
    weights::PUBLISHED,
};
use eframe::egui::{Align, FontId, Layout, RichText, Ui};

/// Fields of the model that are always shown; the rest folds away.
const FIRST: [&str; 2] = ["model", "stem"];
/// Fields that only a custom model has.
const CUSTOM: [&str; 4] = ["block", "stages", "widths", "activation"];

pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    let custom = state.recipe.model == "custom";
    let of_model = || fields().iter().filter(|field| field.group == Group::Model);
    for field in of_model() {
        if FIRST.contains(&field.key) || (custom && CUSTOM.contains(&field.key)) {
            field::ui(ui, state, field);
        }
    }
    let (channels, classes, side) = state.data.dataset.as_ref().map_or((3, 10, 32), |dataset| {
        (dataset.train.channels, dataset.classes.len(), dataset.validation.height.max(dataset.validation.width))
    });
    let side = if state.recipe.image_size > 0 { state.recipe.image_size } else { side };
    match state.recipe.spec(channels, classes) {
        Ok(spec) => {
            facts(ui, &spec, &state.recipe, side);
            let least = spec.graph().smallest_side();
            if side < least {
                warning(
                    ui,
                    format!("images of {side} pixels are too small for it: set the image size to {least} or more"),
                );
            }
        }
        Err(error) => warning(ui, error.to_string()),
    }
    starting_weights(ui, state);
    field::group(ui, "Images and padding", "model more", |ui| {
        for field in of_model() {
            if !FIRST.contains(&field.key) && !CUSTOM.contains(&field.key) {
                field::ui(ui, state, field);
            }
        }
    });
}

fn warning(ui: &mut Ui, text: String) {
    ui.label(RichText::new(format!("⚠ {text}")).color(theme::palette(ui).wrong));
}

fn facts(ui: &mut Ui, spec: &ModelSpec, recipe: &Recipe, side: usize) {
    ui.add_space(4.0);
    blocks::ui(ui, spec, side);
    ui.add_space(4.0);
    widgets::fact(ui, "Parameters", number(spec.parameters() as u64));
    let flops = spec.graph().flops(side);
    widgets::fact(ui, "Work for one image", flops_text(flops)).on_hover_text(
        "Floating-point operations forward, twice the multiply-adds; a training step takes about three times as many.",
    );
    let memory = training_memory(spec, side, recipe.batch_size, recipe.precision.storage());
    widgets::fact(ui, "Memory to train, about", bytes(memory)).on_hover_text(format!(
        "Weights, gradients, momentum and the activations of a batch of {} images at {side}x{side}",
        recipe.batch_size
    ));
}

fn flops_text(flops: u64) -> String {
    match flops {
        f if f >= 1_000_000_000 => format!("{:.2} GFLOP", f as f64 / 1e9),
        f => format!("{:.1} MFLOP", f as f64 / 1e6),
    }
}

/// Bytes that training takes on the device; weights come with gradient and momentum.
pub(crate) fn training_memory(spec: &ModelSpec, side: usize, batch: usize, storage: Storage) -> u64 {
    let values = footprint::training(&spec.graph(), [side; 2], Frozen::Nothing);
    storage.bytes() as u64 * batch as u64 * values + 4 * 3 * spec.parameters() as u64
}

/// Where the next run's weights come from.
fn starting_weights(ui: &mut Ui, state: &mut State) {
    let palette = theme::palette(ui);
    let text = state.start_from.as_deref().map_or_else(|| "scratch".to_owned(), text::file_name);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Starts from").color(palette.weak));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let galley = widgets::elided(ui, &text, FontId::proportional(13.0), palette.text, 150.0);
            let menu = ui.menu_button(galley, |ui| starting_menu(ui, state)).response;
            let help = "What the weights are when a new run begins. Trained ones need fewer images and epochs.";
            menu.on_hover_text(help).accessible_name("Starts from");
        });
    });
}

fn starting_menu(ui: &mut Ui, state: &mut State) {
    if ui.button("Scratch").on_hover_text("Random weights, by the recipe's seed").clicked() {
        state.ask(Action::StartFrom(None));
    }
    if ui.button("A file…").on_hover_text("safetensors, PyTorch, MindSpore or ONNX").clicked() {
        state.ask(Action::OpenFiles);
    }
    if let Some(run) = state.run.saved().cloned()
        && ui.button("The run at hand").on_hover_text("Its best weights").clicked()
    {
        state.ask(Action::OfferWeights(run.to_string_lossy().into_owned()));
    }
    ui.separator();
    ui.label(RichText::new("Published, downloaded once").color(theme::palette(ui).weak).small());
    for publisher in ["torchvision", "chenyaofo"] {
        ui.menu_button(publisher, |ui| {
            for published in PUBLISHED.iter().filter(|published| published.name.starts_with(publisher)) {
                let (_, name) = published.name.split_once(':').unwrap_or(("", published.name));
                if ui.button(name).on_hover_text(format!("Trained on {}", published.trained_on)).clicked() {
                    state.ask(Action::OfferWeights(published.name.to_owned()));
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_the_batch_and_is_of_a_known_size() {
        let spec = ModelSpec::named("cifar_resnet20", None, 3, 10).unwrap();
        let more = |storage| training_memory(&spec, 32, 129, storage) - training_memory(&spec, 32, 1, storage);
        // 19 convolutions: 7 of 16x32x32, 6 of 32x16x16, 6 of 64x8x8, two projections; kept twice.
        let kept = 2 * (7 * 16_384 + 6 * 8_192 + 6 * 4_096 + 8_192 + 4_096) + 3 * 1_024;
        // Beside them a few of each size.
        let activations = kept + 3 * (16_384 + 8_192 + 4_096) + 3 * 1_024;
        assert_eq!(more(Storage::F32) / 128, 4 * activations);
        assert_eq!(more(Storage::F16) / 128, 2 * activations);
    }
}
