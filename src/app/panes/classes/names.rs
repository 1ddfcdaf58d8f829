//! A class that gets a name: a new one, or one that is called otherwise from now on.

use super::{Classes, edit};
use crate::{
    app::{
        state::Actions,
        widgets::{self, theme},
    },
    data::Edit,
};
use eframe::egui::{self, CornerRadius, Key, RichText, Sense, Stroke, StrokeKind, TextEdit, Ui};

/// What is being typed.
pub(super) struct Naming {
    /// The class that is renamed; without one, a new class is named.
    pub class: Option<String>,
    pub text: String,
    /// Whether the field has had the focus.
    pub begun: bool,
}

impl Naming {
    pub(super) fn new(class: Option<&str>) -> Self {
        Self { class: class.map(str::to_owned), text: class.unwrap_or_default().to_owned(), begun: false }
    }

    /// The field; gives the name when it is taken, and whether it is over.
    fn field(&mut self, ui: &mut Ui) -> (Option<String>, bool) {
        let field = ui.add(TextEdit::singleline(&mut self.text).hint_text("Name of the class").desired_width(180.0));
        let field = field.accessible_name(if self.class.is_some() { "New name" } else { "Name of the class" });
        if !self.begun {
            field.request_focus();
            self.begun = true;
            return (None, false);
        }
        let (taken, left) = (ui.input(|input| input.key_pressed(Key::Enter)), field.lost_focus());
        let name = self.text.trim();
        ((taken && !name.is_empty()).then(|| name.to_owned()), left || taken)
    }
}

impl Classes {
    /// The field in place of a class's name, while that is typed; whether it is there.
    pub(super) fn renamed(&mut self, ui: &mut Ui, class: &str, actions: &mut Actions) -> bool {
        let Some(naming) = self.naming.as_mut().filter(|naming| naming.class.as_deref() == Some(class)) else {
            return false;
        };
        let (name, over) = naming.field(ui);
        if let Some(to) = name.filter(|name| name != class) {
            edit(actions, Edit::Rename { class: class.to_owned(), to });
        }
        if over {
            self.naming = None;
        }
        true
    }

    /// The last row: a class that is still to be.
    pub(super) fn new_class(&mut self, ui: &mut Ui, actions: &mut Actions) {
        let palette = theme::palette(ui);
        ui.add_space(4.0);
        let row = ui.horizontal(|ui| {
            ui.set_min_height(34.0);
            match self.naming.as_mut().filter(|naming| naming.class.is_none()) {
                Some(naming) => {
                    let (name, over) = naming.field(ui);
                    if let Some(name) = name {
                        edit(actions, Edit::NewClass { name });
                    }
                    if over {
                        self.naming = None;
                    }
                }
                None => {
                    ui.add_space(6.0);
                    if ui.button("+ New class").clicked() {
                        self.naming = Some(Naming::new(None));
                    }
                    let text = "or drop a folder of photographs here";
                    widgets::whole(ui, RichText::new(text).color(palette.weak));
                }
            }
        });
        let rect = row.response.rect.with_max_x(ui.max_rect().right() - 8.0);
        let stroke = Stroke::new(1.0, palette.border);
        ui.painter().rect_stroke(rect, CornerRadius::same(6), stroke, StrokeKind::Inside);
        ui.interact(rect, ui.scope_id().with("new class"), Sense::hover());
        self.places.push((rect, None));
        ui.allocate_space(egui::vec2(1.0, 8.0));
    }
}
