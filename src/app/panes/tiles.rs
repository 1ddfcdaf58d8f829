//! Draws the panes as tiles that the user rearranges by dragging tabs.

use super::Panes;
use crate::app::{
    state::{Actions, PaneId, State, layout::Layout},
    widgets::theme,
};
use eframe::egui::{Color32, Stroke, StrokeKind, Ui, Visuals, WidgetText};
use egui_tiles::{Behavior, SimplificationOptions, TabState, TileId, Tiles, UiResponse};

/// Between two panes, in points.
const GAP: f32 = 5.0;

/// Draws all panes as `layout` has them, and changes it as the user does.
pub(crate) fn ui(ui: &mut Ui, layout: &mut Layout, panes: &mut Panes, state: &State, actions: &mut Actions) {
    for id in Panes::ALL {
        layout.give_tab(id, panes.get(id).is_some_and(|pane| pane.has_tab()));
    }
    gaps(ui, layout);
    layout.tree.ui(&mut Shower { panes, state, actions }, ui);
}

/// Draws what is between the panes, around where they stood in the frame before.
fn gaps(ui: &Ui, layout: &Layout) {
    let stroke = Stroke::new(GAP, theme::palette(ui).window);
    let tiles = &layout.tree.tiles;
    for id in layout.tree.active_tiles() {
        let tabs = matches!(tiles.get_container(id), Some(egui_tiles::Container::Tabs(_)));
        if let Some(rect) = tiles.rect(id).filter(|_| tabs) {
            ui.painter().rect_stroke(rect, 0.0, stroke, StrokeKind::Outside);
        }
    }
}

struct Shower<'a> {
    panes: &'a mut Panes,
    state: &'a State,
    actions: &'a mut Actions,
}

impl Behavior<PaneId> for Shower<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _: TileId, pane: &mut PaneId) -> UiResponse {
        // The window's own colour is that of the panes.
        let frame = theme::pane_frame(theme::palette(ui)).fill(Color32::TRANSPARENT);
        frame.show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            if let Some(pane) = self.panes.get(pane) {
                pane.ui(ui, self.state, self.actions);
            }
        });
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &PaneId) -> WidgetText {
        self.panes.get(pane).map(|pane| pane.title(self.state)).unwrap_or_default().into()
    }

    fn tab_bar_height(&self, _: &eframe::egui::Style) -> f32 {
        30.0
    }

    fn gap_width(&self, _: &eframe::egui::Style) -> f32 {
        GAP
    }

    fn min_size(&self) -> f32 {
        180.0
    }

    fn tab_title_spacing(&self, _: &Visuals) -> f32 {
        12.0
    }

    fn tab_bar_color(&self, visuals: &Visuals) -> Color32 {
        visuals.panel_fill
    }

    fn tab_bg_color(&self, visuals: &Visuals, _: &Tiles<PaneId>, _: TileId, state: &TabState) -> Color32 {
        let theme = if visuals.dark_mode { eframe::egui::Theme::Dark } else { eframe::egui::Theme::Light };
        if state.active { theme::palette_of(theme).pane } else { visuals.panel_fill }
    }

    fn tab_outline_stroke(&self, _: &Visuals, _: &Tiles<PaneId>, _: TileId, _: &TabState) -> Stroke {
        Stroke::NONE
    }

    fn tab_bar_hline_stroke(&self, visuals: &Visuals) -> Stroke {
        Stroke::new(1.0, visuals.window_stroke.color)
    }

    fn tab_text_color(&self, visuals: &Visuals, _: &Tiles<PaneId>, _: TileId, state: &TabState) -> Color32 {
        if state.active { visuals.text_color() } else { visuals.weak_text_color() }
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions { all_panes_must_have_tabs: true, ..SimplificationOptions::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{
        background::Wake,
        panes::pane::Pane,
        test_support::{self, harness},
    };
    use eframe::egui;
    use eframe::egui::accesskit::Role;
    use egui_kittest::kittest::{NodeT, Queryable};
    use egui_tiles::Tree;
    use std::{cell::RefCell, rc::Rc, sync::Arc};

    #[test]
    fn every_pane_has_a_place_and_can_be_brought_to_the_front() {
        let mut layout = Layout::default().complete(Panes::ALL);
        for pane in Panes::ALL {
            layout.show(pane);
            assert!(layout.tree.tiles.find_pane(pane).is_some());
        }
    }

    /// Draws a frame with `layout` and gives the tabs' names.
    fn tabs(layout: Layout, panes: Panes) -> (Layout, Vec<String>) {
        let all = Rc::new(RefCell::new((layout, panes, test_support::state())));
        let shared = all.clone();
        let harness = harness(move |ui| {
            let (layout, panes, state) = &mut *shared.borrow_mut();
            super::ui(ui, layout, panes, state, &mut Actions::default());
        });
        let tab = |name: &&str| {
            harness.query_all_by_label_contains(name).any(|node| node.accesskit_node().role() == Role::Button)
        };
        let names = ["Charts", "Runs", "NaN report", "Log"].into_iter().filter(tab).map(str::to_owned).collect();
        let layout = all.borrow().0.clone();
        (layout, names)
    }

    #[test]
    fn the_report_has_a_tab_only_when_there_is_something_to_report() {
        // As an earlier version saved it: the report's tab in sight, and in front.
        let mut old = Layout::default();
        old.give_tab(&PaneId::REPORT, true);
        old.show(&PaneId::REPORT);
        assert!(old.front().contains(&PaneId::REPORT));
        let saved = serde_json::to_string(&old).unwrap();
        let layout = serde_json::from_str::<Layout>(&saved).unwrap().complete(Panes::ALL);
        assert!(!layout.has_tab(&PaneId::REPORT));
        let panes = || Panes::new(&(Arc::new(|| ()) as Wake));
        let (layout, names) = tabs(layout, panes());
        assert_eq!(names, ["Charts", "Runs", "Log"]);
        assert!(layout.front().contains(&PaneId::CHARTS) && !layout.front().contains(&PaneId::REPORT));
        let mut reported = panes();
        reported.report.on_event(&test_support::not_finite());
        let (mut layout, names) = tabs(layout, reported);
        assert_eq!(names, ["Charts", "Runs", "NaN report", "Log"]);
        layout.show(&PaneId::REPORT);
        assert!(layout.has_tab(&PaneId::REPORT) && layout.front().contains(&PaneId::REPORT));
    }

    #[test]
    fn an_old_layout_gets_the_panes_that_it_lacks() {
        let mut layout = Layout { tree: Tree::new_tabs(egui::Id::unique("panes"), vec![PaneId::CHARTS]) };
        layout = layout.complete(Panes::ALL);
        assert!(Panes::ALL.iter().all(|pane| layout.tree.tiles.find_pane(pane).is_some()));
    }
}
