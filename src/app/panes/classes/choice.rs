//! The photographs that are chosen, and what is done to all of them at once.

use super::edit;
use crate::{
    app::{
        state::Actions,
        widgets::{self, theme},
    },
    data::{ContentKey, Dataset, Edit, shown_class_name},
    format::plural,
};
use eframe::egui::{ComboBox, Key, Modifiers, RichText, Ui};
use std::collections::BTreeMap;

/// By content, with the class that each is in.
#[derive(Default)]
pub(super) struct Choice(BTreeMap<ContentKey, u32>);

impl Choice {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn has(&self, image: ContentKey) -> bool {
        self.0.contains_key(&image)
    }

    /// An image was clicked: it alone is chosen, or it as well.
    pub(super) fn click(&mut self, image: ContentKey, class: u32, as_well: bool) {
        let was = self.0.remove(&image).is_some();
        let alone = was && self.0.is_empty();
        if !as_well {
            self.0.clear();
        }
        if !(was && as_well || alone) {
            self.0.insert(image, class);
        }
    }

    /// An image is dragged: with all others, where it is one of those chosen.
    pub(super) fn dragged(&self, image: ContentKey) -> Vec<ContentKey> {
        if self.has(image) { self.0.keys().copied().collect() } else { vec![image] }
    }

    /// A line with what can be done, where something is chosen.
    pub(super) fn bar(&mut self, ui: &mut Ui, dataset: &Dataset, actions: &mut Actions) {
        if self.0.is_empty() {
            return;
        }
        widgets::toolbar(ui, |ui| {
            widgets::whole(ui, format!("{} chosen", plural(self.0.len(), "photograph")));
            let mut to = None;
            let combo = ComboBox::from_id_salt("move").selected_text("Move to…");
            let inner = combo.show_ui(ui, |ui| {
                for class in dataset.classes.iter().chain(&dataset.waiting) {
                    if ui.button(crate::text::foreign(class)).clicked() {
                        to = Some(class.clone());
                        ui.close();
                    }
                }
            });
            inner.response.accessible_name("Move to a class");
            if let Some(to) = to {
                self.move_to(&to, actions);
            }
            if ui.button("Leave out").on_hover_text("They don't count any more; the files stay (Delete)").clicked() {
                self.leave_out(actions);
            }
            let palette = theme::palette(ui);
            let text = "Ctrl+Up and Ctrl+Down move them to the class above or below";
            widgets::whole(ui, RichText::new(text).color(palette.weak).small());
        });
    }

    pub(super) fn keys(&mut self, ui: &Ui, dataset: &Dataset, actions: &mut Actions) {
        if self.0.is_empty() {
            return;
        }
        let pressed = |modifiers, key| ui.input_mut(|input| input.consume_key(modifiers, key));
        if pressed(Modifiers::NONE, Key::Delete) {
            return self.leave_out(actions);
        }
        if pressed(Modifiers::NONE, Key::Escape) {
            return self.clear();
        }
        let step = match (pressed(Modifiers::COMMAND, Key::ArrowUp), pressed(Modifiers::COMMAND, Key::ArrowDown)) {
            (true, _) => -1,
            (_, true) => 1,
            _ => return,
        };
        let first = self.0.values().next().map_or(0, |&class| i64::from(class));
        let last = dataset.classes.len() as i64 - 1;
        let to = (first + step).clamp(0, last.max(0)) as u32;
        if i64::from(to) != first {
            self.move_to(&dataset.classes[to as usize].clone(), actions);
            // They stay chosen, to be moved on.
            self.0.values_mut().for_each(|class| *class = to);
        }
    }

    fn move_to(&mut self, class: &str, actions: &mut Actions) {
        for &image in self.0.keys() {
            edit(actions, Edit::Move { image, to: class.to_owned() });
        }
    }

    fn leave_out(&mut self, actions: &mut Actions) {
        std::mem::take(&mut self.0).into_keys().for_each(|image| edit(actions, Edit::Exclude { image }));
    }

    /// What the chosen ones are in, for a screen reader.
    pub(super) fn state(&self, image: ContentKey, dataset: &Dataset, class: usize) -> String {
        let name = shown_class_name(&dataset.classes, class);
        if self.has(image) { format!("Photograph of {name}, chosen") } else { format!("Photograph of {name}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_chooses_one_and_with_ctrl_one_more_or_one_less() {
        let key = ContentKey;
        let mut choice = Choice::default();
        choice.click(key(1), 0, false);
        choice.click(key(2), 0, true);
        assert!(choice.has(key(1)) && choice.has(key(2)));
        assert_eq!((choice.dragged(key(2)), choice.dragged(key(3))), (vec![key(1), key(2)], vec![key(3)]));
        choice.click(key(1), 0, true);
        assert!(!choice.has(key(1)) && choice.has(key(2)));
        choice.click(key(2), 0, false);
        assert!(!choice.has(key(2)), "the only one is let go of");
        choice.click(key(1), 0, false);
        choice.click(key(2), 0, true);
        choice.click(key(2), 0, false);
        assert!(!choice.has(key(1)) && choice.has(key(2)), "of several it alone is left");
    }
}
