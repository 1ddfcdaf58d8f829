//! A class, drawn: its name, how many photographs it has and how many of them are recognised, and the photographs.

use super::{Classes, can_edit, content, edit, names::Naming};
use crate::{
    app::{
        state::{Action, Actions, State},
        widgets::{self, grid, theme},
    },
    data::{ContentKey, Dataset, Edit, shown_class_name},
    format::{number, plural},
    session::View,
    text,
};
use eframe::egui::{
    self, Color32, CornerRadius, CursorIcon, Rect, RichText, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2,
    vec2,
};
use std::sync::Arc;

/// Side of a photograph, in points.
const SIDE: f32 = 56.0;
const GAP: f32 = 4.0;
/// Lines of photographs of a class that is not open.
const LINES: usize = 2;

impl Classes {
    /// Draws class `class`, and adds to `wanted` the images that can be seen.
    pub(super) fn row(
        &mut self,
        ui: &mut Ui,
        state: &State,
        dataset: &Arc<Dataset>,
        class: usize,
        wanted: &mut Vec<u32>,
        actions: &mut Actions,
    ) {
        let name = dataset.classes[class].clone();
        let top = ui.cursor().top();
        ui.push_id(class, |ui| {
            ui.horizontal(|ui| self.heading(ui, state, dataset, class, actions));
            self.photographs(ui, state, dataset, class, wanted);
        });
        self.end_of_row(ui, top, name, state, actions);
    }

    /// Draws a class that has no photographs yet.
    pub(super) fn waiting_row(&mut self, ui: &mut Ui, state: &State, name: &str, actions: &mut Actions) {
        let top = ui.cursor().top();
        ui.horizontal(|ui| {
            ui.set_min_height(30.0);
            ui.label(RichText::new(text::foreign(name)).strong());
            let weak = RichText::new("no photographs yet: drag some here").color(theme::palette(ui).weak);
            widgets::whole(ui, weak);
            if ui.button("+ Add").on_hover_text("Its first photographs; or drop them on this row").clicked() {
                actions.ask(Action::ChooseImages(name.to_owned()));
            }
        });
        self.end_of_row(ui, top, name.to_owned(), state, actions);
    }

    /// A line below the row that began at `top`, which is where photographs of the class are dropped.
    fn end_of_row(&mut self, ui: &mut Ui, top: f32, name: String, state: &State, actions: &mut Actions) {
        let right = ui.max_rect().right() - 8.0;
        let rect = Rect::from_min_max(pos2(ui.min_rect().left(), top), pos2(right, ui.cursor().top() - 2.0));
        self.take_dragged(ui, rect, &name, state, actions);
        self.places.push((rect, Some(name)));
        let palette = theme::palette(ui);
        ui.painter().hline(rect.x_range(), rect.bottom(), Stroke::new(1.0, palette.border));
        ui.add_space(4.0);
    }

    fn heading(&mut self, ui: &mut Ui, state: &State, dataset: &Dataset, class: usize, actions: &mut Actions) {
        let palette = theme::palette(ui);
        let name = &dataset.classes[class];
        if !self.renamed(ui, name, actions) {
            let shown = shown_class_name(&dataset.classes, class);
            let strong = ui.visuals().strong_text_color();
            let font = egui::FontId::proportional(14.0);
            let room = (ui.available_width() - 330.0).max(80.0);
            let galley = widgets::elided(ui, &shown, font, strong, room);
            ui.label(galley).on_hover_text(shown);
        }
        let members = self.members[class].len();
        widgets::whole(
            ui,
            RichText::new(plural(members, if dataset.are_photographs() { "photograph" } else { "image" }))
                .color(palette.weak),
        );
        if let Some((right, judged)) = state.run.view().and_then(|view| recognised(view, class)) {
            let text = format!("{} of {} recognised", number(right.into()), number(judged.into()));
            let color = if right * 10 < judged * 7 { palette.warning } else { palette.weak };
            widgets::whole(ui, RichText::new(text).color(color))
                .on_hover_text("By heads that had not seen them: those framed in red were taken for something else");
        }
        if !can_edit(state) {
            return;
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.add_space(10.0);
            ui.menu_button("…", |ui| self.menu(ui, dataset, class, actions))
                .response
                .on_hover_text("Rename, merge, add photographs")
                .accessible_name(format!("More of {}", text::foreign(name)));
            if ui.button("+ Add").on_hover_text("More photographs of it; or drop them on this row").clicked() {
                actions.ask(Action::ChooseImages(name.clone()));
            }
        });
    }

    fn menu(&mut self, ui: &mut Ui, dataset: &Dataset, class: usize, actions: &mut Actions) {
        let name = &dataset.classes[class];
        if ui.button("Rename").clicked() {
            self.naming = Some(Naming::new(Some(name)));
            ui.close();
        }
        ui.menu_button("Merge into", |ui| {
            for into in dataset.classes.iter().filter(|other| *other != name) {
                if ui.button(text::foreign(into)).clicked() {
                    edit(actions, Edit::Merge { class: name.clone(), into: into.clone() });
                    ui.close();
                }
            }
        });
        if ui.button("Add photographs…").clicked() {
            actions.ask(Action::ChooseImages(name.clone()));
            ui.close();
        }
    }

    fn photographs(&mut self, ui: &mut Ui, state: &State, dataset: &Dataset, class: usize, wanted: &mut Vec<u32>) {
        let name = &dataset.classes[class];
        let members = &self.members[class];
        let width = ui.available_width() - 12.0;
        let columns = (((width + GAP) / (SIDE + GAP)) as usize).max(1);
        let open = self.open.contains(name);
        let shown = if open { members.len() } else { members.len().min(LINES * columns) };
        let lines = shown.div_ceil(columns);
        let size = vec2(width.max(SIDE), lines as f32 * (SIDE + GAP));
        let (area, _) = ui.allocate_exact_size(size, Sense::hover());
        let mut clicked = None;
        for (at, &image) in members[..shown].iter().enumerate() {
            let (line, column) = (at / columns, at % columns);
            let corner = area.min + vec2(column as f32, line as f32) * (SIDE + GAP);
            let place = Rect::from_min_size(corner, vec2(SIDE, SIDE));
            if !ui.is_rect_visible(place) {
                continue;
            }
            wanted.push(image);
            // Those of a known set have no names of their own, and stay where they are.
            let Some(key) = content(dataset, image) else {
                self.picture(ui, place, image);
                continue;
            };
            let response = ui.interact(place, ui.scope_id().with(("photograph", key.0, at)), Sense::click_and_drag());
            let said = self.choice.state(key, dataset, class);
            response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &said));
            self.draw(ui, place, image, key, state, class, response.hovered() || response.has_focus());
            if can_edit(state) {
                response.dnd_set_drag_payload(self.choice.dragged(key));
                if response.clicked() {
                    clicked = Some((key, ui.input(|input| input.modifiers.command)));
                }
            }
            response.on_hover_ui(|ui| hover(ui, state, dataset, image));
        }
        if let Some((key, as_well)) = clicked {
            self.choice.click(key, class as u32, as_well);
        }
        if shown < members.len() || (open && members.len() > LINES * columns) {
            let text = if open { "Show fewer".to_owned() } else { format!("Show all {}", members.len()) };
            if ui.small_button(text).clicked() && !self.open.remove(name) {
                self.open.insert(name.clone());
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a place and what is in it")]
    fn draw(&self, ui: &Ui, place: Rect, image: u32, key: ContentKey, state: &State, class: usize, hovered: bool) {
        let (palette, corner) = (theme::palette(ui), CornerRadius::same(3));
        let place = self.picture(ui, place, image);
        let wrong = state.run.view().and_then(|view| taken_for(view, image)).is_some_and(|found| found != class);
        let stroke = match (self.choice.has(key), hovered, wrong) {
            (true, ..) => Some(Stroke::new(3.0, palette.accent)),
            (_, true, _) => Some(Stroke::new(2.0, palette.text)),
            (.., true) => Some(Stroke::new(2.0, palette.wrong)),
            _ => None,
        };
        if let Some(stroke) = stroke {
            ui.painter().rect_stroke(place, corner, stroke, StrokeKind::Inside);
        }
    }

    /// Draws an image in its proportions; gives where it lies in `place`.
    fn picture(&self, ui: &Ui, place: Rect, image: u32) -> Rect {
        match self.thumbnails.sheet.get(image) {
            Some((texture, part)) => {
                let fitted = grid::fit(ui, place, texture, part);
                ui.painter().image(texture, fitted, part, Color32::WHITE);
                fitted
            }
            None => {
                ui.painter().rect_filled(place, CornerRadius::same(3), theme::palette(ui).raised);
                place
            }
        }
    }

    /// Photographs that are dragged here from another class.
    fn take_dragged(&mut self, ui: &mut Ui, rect: Rect, name: &str, state: &State, actions: &mut Actions) {
        if !can_edit(state) {
            return;
        }
        let over = ui.input(|input| input.pointer.hover_pos()).is_some_and(|at| rect.contains(at));
        let Some(dragged) = egui::DragAndDrop::payload::<Vec<ContentKey>>(ui.ctx()).filter(|_| over) else { return };
        let palette = theme::palette(ui);
        ui.set_cursor_icon(CursorIcon::Grabbing);
        ui.painter().rect_stroke(rect, CornerRadius::same(6), Stroke::new(2.0, palette.accent), StrokeKind::Inside);
        if ui.input(|input| input.pointer.any_released()) {
            egui::DragAndDrop::clear_payload(ui.ctx());
            for &image in dragged.iter() {
                edit(actions, Edit::Move { image, to: name.to_owned() });
            }
            self.choice.clear();
        }
    }
}

/// Right ones among those of a class that were judged.
fn recognised(view: &View, class: usize) -> Option<(u32, u32)> {
    view.head.as_ref()?;
    let confusion = view.confusion.as_ref()?;
    let judged = (0..confusion.classes).map(|other| confusion.get(class, other)).sum::<u32>();
    (judged > 0).then(|| (confusion.get(class, class), judged))
}

/// What heads of folds took an image for.
fn taken_for(view: &View, image: u32) -> Option<usize> {
    view.head.as_ref().filter(|head| head.dataset.has_folds())?;
    let items = &view.validated.items;
    let at = items.binary_search_by_key(&image, |item| item.index).ok()?;
    Some(items[at].top().0)
}

fn hover(ui: &mut Ui, state: &State, dataset: &Dataset, image: u32) {
    let file = dataset.train.sources.as_ref().and_then(|files| files.get(image as usize));
    ui.label(text::foreign(file.map_or("", String::as_str)));
    let truth = dataset.train.labels.get(image as usize).map(|&label| label as usize);
    if let Some(found) = state.run.view().and_then(|view| taken_for(view, image)) {
        let (sign, color) = widgets::verdict(theme::palette(ui), Some(found) == truth);
        let name = shown_class_name(&dataset.classes, found);
        ui.label(RichText::new(format!("{sign} taken for {name}")).color(color));
    }
}
