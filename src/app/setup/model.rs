//! Which network, with what it costs and a drawing of it.

use super::{blocks, field, kept, model_list};
use crate::app::{
    state::{Action, State},
    widgets::{self, theme},
};
use crate::{
    data::Dataset,
    device,
    format::{bytes, number, operations},
    model::ModelSpec,
    text,
    train::{
        Group, Kind, Value, fields,
        memory_estimate::{Images, Place, memory_estimate},
    },
    weights::PUBLISHED,
};
use eframe::egui::{Align, Button, FontId, Layout, RichText, Ui, containers::menu::MenuButton, vec2};

/// Fields of the model that are always shown; the rest folds away.
const FIRST: [&str; 2] = ["model", "stem"];
/// Fields that only a custom model has.
const CUSTOM: [&str; 4] = ["block", "stages", "widths", "activation"];

pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    let custom = state.recipe.model == "custom";
    let of_model = || fields().iter().filter(|field| field.group == Group::Model);
    let (channels, classes, side) = state.data.dataset.as_ref().map_or((3, 10, 32), |dataset| {
        (dataset.train.channels, dataset.classes.len(), dataset.validation.height.max(dataset.validation.width))
    });
    let side = if state.recipe.image_size > 0 { state.recipe.image_size } else { side };
    for field in of_model() {
        match (field.key, field.kind) {
            ("model", Kind::Choice(names)) => network(ui, state, names, [channels, classes, side]),
            (key, _) if FIRST.contains(&key) || (custom && CUSTOM.contains(&key)) => field::ui(ui, state, field),
            _ => {}
        }
    }
    match state.recipe.spec(channels, classes) {
        Ok(spec) => {
            facts(ui, state, &spec, side);
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
                if field.key == "working_size" {
                    kept::ui(ui, state);
                }
            }
        }
    });
}

/// The name of the network, with the list of all.
fn network(ui: &mut Ui, state: &mut State, names: &[&'static str], images: [usize; 3]) {
    let mut chosen = None;
    ui.horizontal(|ui| {
        ui.label("Model")
            .on_hover_text("The network that learns: larger ones take longer and, with enough images, see more");
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            chosen = model_list::ui(ui, &state.recipe.model, names, images);
        });
    });
    if let Some(name) = chosen {
        state.set("model", Value::Text(name.to_owned()));
    }
}

fn warning(ui: &mut Ui, text: String) {
    ui.label(RichText::new(format!("⚠ {text}")).color(theme::palette(ui).wrong));
}

fn facts(ui: &mut Ui, state: &State, spec: &ModelSpec, side: usize) {
    ui.add_space(4.0);
    blocks::ui(ui, spec, side);
    ui.add_space(4.0);
    widgets::fact(ui, "Parameters", number(spec.parameters() as u64));
    let flops = spec.graph().flops(side);
    widgets::fact(ui, "Work for one image", operations(flops)).on_hover_text(
        "Floating-point operations forward, twice the multiply-adds; a training step takes about three times as many.",
    );
    let (estimate, help) = memory(state, spec, side);
    widgets::fact(ui, "Memory to train, about", bytes(estimate)).on_hover_text(help);
}

/// What a run takes at its height, with what that counts.
fn memory(state: &State, spec: &ModelSpec, side: usize) -> (u64, String) {
    let recipe = &state.recipe;
    let of = |split: fn(&Dataset) -> usize, unknown| state.data.dataset.as_deref().map_or(unknown, split);
    let images = Images {
        size: [side; 2],
        training: of(|dataset| dataset.train.len(), usize::MAX),
        validation: of(|dataset| dataset.validation.len(), 0),
        photographs: state.data.dataset.as_deref().is_some_and(Dataset::are_photographs),
    };
    let adapters = state.devices.adapters.as_deref().unwrap_or_default();
    let place = match device::chosen(state.devices.choice, adapters) {
        None => Place::Cpu,
        Some(adapter) if adapter.shares_host_memory() => Place::Shared,
        Some(_) => Place::Gpu,
    };
    let whose = if place == Place::Gpu { "Of the GPU" } else { "Of this machine, beside what the window takes itself" };
    let help = format!(
        "{whose}, at the height of a run: weights, gradients, moments, and the activations of batches of {} images to \
         train on and up to {} to validate, at {side}x{side}",
        recipe.batch_size, recipe.eval_batch
    );
    (memory_estimate(spec, recipe, images, place), help)
}

/// Where the next run's weights come from.
fn starting_weights(ui: &mut Ui, state: &mut State) {
    let palette = theme::palette(ui);
    let text = state.start_from.as_deref().map_or_else(|| "random weights".to_owned(), text::file_name);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Starts from").color(palette.weak));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let text = widgets::elided(ui, &text, FontId::proportional(13.0), palette.text, 190.0);
            ui.label(text);
        });
    });
    let menu = Button::new("Use pretrained weights…").min_size(vec2(ui.available_width(), 24.0));
    let (menu, _) = MenuButton::from_button(menu).ui(ui, |ui| starting_menu(ui, state));
    let help = "What the weights are when a new run begins. Pretrained ones need fewer images and epochs.";
    menu.on_hover_text(help);
}

fn starting_menu(ui: &mut Ui, state: &mut State) {
    if ui.button("Random weights").on_hover_text("From scratch, by the recipe's seed").clicked() {
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
    use crate::app::test_support::{harness, state};
    use egui_kittest::kittest::Queryable;

    #[test]
    fn pretrained_weights_have_a_button_that_says_so() {
        let mut state = state();
        let mut harness = harness(move |ui| starting_weights(ui, &mut state));
        harness.get_by_label("random weights");
        harness.get_by_label("Use pretrained weights…").click();
        harness.run();
        harness.get_by_label_contains("torchvision");
        harness.get_by_label("A file…");
    }
}
