//! The list of networks: by family, each with its size and its work for one image.

use crate::app::widgets::theme;
use crate::{format::operations, model::ModelSpec, train::field};
use eframe::egui::{
    Align, Button, Grid, RichText, ScrollArea, Ui, containers::menu::MenuButton, scroll_area::ScrollBarVisibility,
    style::ScrollStyle, vec2,
};

/// Height of the list, in points.
const HEIGHT: f32 = 380.0;

/// The family of a network, by its name.
fn family(name: &str) -> String {
    let (small, plain) = match name.strip_prefix("cifar_") {
        Some(rest) => (", for small images", rest),
        None => ("", name),
    };
    let end = plain.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(plain.len());
    let family = match &plain[..end] {
        "resnet" if plain.ends_with("_v1") => "ResNet, as first published",
        "resnet" if plain.ends_with('d') => "ResNet-D",
        "resnet" => "ResNet",
        "thin" => "Thin ResNet",
        "wide" => "Wide ResNet",
        "resnext" => "ResNeXt",
        "vgg" => "VGG",
        "mobilenet" => "MobileNetV2",
        "efficientnet" => "EfficientNet-Lite",
        "custom" => "Of your own",
        other => other,
    };
    format!("{family}{small}")
}

/// A button with the network that is chosen, and the list under it; gives the one that was clicked. Work is for images of
/// `channels` and `side` pixels.
pub(super) fn ui(
    ui: &mut Ui,
    chosen: &str,
    names: &[&'static str],
    [channels, classes, side]: [usize; 3],
) -> Option<&'static str> {
    let mut clicked = None;
    let button = Button::new(format!("{chosen} …")).min_size(vec2(126.0, 22.0));
    let (response, _) = MenuButton::from_button(button).ui(ui, |ui| {
        let palette = theme::palette(ui);
        ui.set_min_width(340.0);
        // A bar that stays, so that the list is seen to go on.
        ui.spacing_mut().scroll = ScrollStyle::solid();
        let scroll = ScrollArea::vertical().max_height(HEIGHT).auto_shrink([true, true]);
        scroll.scroll_bar_visibility(ScrollBarVisibility::AlwaysVisible).show(ui, |ui| {
            let mut heading = String::new();
            Grid::new("networks").num_columns(3).spacing([14.0, 2.0]).show(ui, |ui| {
                for name in names {
                    let family = family(name);
                    if family != heading {
                        ui.label(RichText::new(&family).color(palette.weak).small());
                        let [parameters, work] = if heading.is_empty() { ["parameters", "work"] } else { [""; 2] };
                        ui.label(RichText::new(parameters).color(palette.weak).small());
                        ui.label(RichText::new(work).color(palette.weak).small());
                        ui.end_row();
                        heading = family;
                    }
                    let row = ui.add(Button::selectable(chosen == *name, *name));
                    if chosen == *name && !ui.ctx().memory(|memory| memory.focused().is_some()) {
                        row.scroll_to_me(Some(Align::Center));
                        row.request_focus();
                    }
                    if row.clicked() {
                        clicked = Some(*name);
                        ui.close();
                    }
                    if let Ok(spec) = ModelSpec::named(name, None, channels, classes) {
                        let size = format!("{:.1} M", spec.parameters() as f64 / 1e6);
                        ui.label(RichText::new(size).color(palette.weak));
                        let graph = spec.graph();
                        let work = (side >= graph.smallest_side()).then(|| operations(graph.flops(side)));
                        ui.label(RichText::new(work.unwrap_or_default()).color(palette.weak));
                    }
                    ui.end_row();
                }
            });
            crate::app::widgets::focus::follow(ui);
        });
    });
    let help = field("model").map_or("", |field| field.help);
    response.on_hover_text(help).accessible_name("Model");
    clicked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::ARCHITECTURES;

    #[test]
    fn the_members_of_a_family_stand_together() {
        let mut families: Vec<String> = ARCHITECTURES.iter().map(|name| family(name)).collect();
        families.dedup();
        let all = families.len();
        families.sort();
        families.dedup();
        assert_eq!(families.len(), all, "a family is in two parts");
        assert_eq!(family("cifar_resnet8"), "ResNet, for small images");
        assert_eq!(family("wide_resnet50_2"), "Wide ResNet");
    }
}
