//! Which pane stands where: a tree of tiles that the user rearranges by dragging tabs, remembered between starts.

use super::{pane::Kind, panes::Panes, state::State, theme};
use eframe::egui::{self, Color32, Stroke, StrokeKind, Ui, Visuals, WidgetText};
use egui_tiles::{Behavior, SimplificationOptions, TabState, Tile, TileId, Tiles, Tree, UiResponse};
use serde::{Deserialize, Serialize};

/// Between two panes, in points.
const GAP: f32 = 5.0;

/// The arrangement of the panes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Layout {
    tree: Tree<Kind>,
}

impl Default for Layout {
    /// Curves on the left, pictures on the right.
    fn default() -> Self {
        let mut tiles = Tiles::default();
        let mut tabs = |kinds: &[Kind]| {
            let panes = kinds.iter().map(|&kind| tiles.insert_pane(kind)).collect();
            tiles.insert_tab_tile(panes)
        };
        let charts = tabs(&[Kind::Charts, Kind::Runs, Kind::Report, Kind::Log]);
        let timeline = tabs(&[Kind::Timeline]);
        let right = tabs(&[Kind::Predictions, Kind::Mistakes, Kind::Confusion, Kind::Samples, Kind::Classify]);
        let mut column = egui_tiles::Linear::new(egui_tiles::LinearDir::Vertical, vec![charts, timeline]);
        column.shares.set_share(charts, 0.76);
        column.shares.set_share(timeline, 0.24);
        let left = tiles.insert_container(egui_tiles::Container::Linear(column));
        let mut row = egui_tiles::Linear::new(egui_tiles::LinearDir::Horizontal, vec![left, right]);
        row.shares.set_share(left, 1.15);
        row.shares.set_share(right, 0.85);
        let root = tiles.insert_container(egui_tiles::Container::Linear(row));
        let mut layout = Self { tree: Tree::new(egui::Id::unique("panes"), root, tiles) };
        layout.give_tab(Kind::Report, false);
        layout
    }
}

impl Layout {
    /// Brings `kind` to the front, and back on screen if it is missing from an old layout.
    pub(crate) fn show(&mut self, kind: Kind) {
        if self.tree.tiles.find_pane(&kind).is_none() {
            let pane = self.tree.tiles.insert_pane(kind);
            match self.tree.root().and_then(|root| self.tree.tiles.get_mut(root)) {
                Some(Tile::Container(container)) => container.add_child(pane),
                _ => *self = Self::default(),
            }
        }
        self.tree.make_active(|_, tile| matches!(tile, Tile::Pane(pane) if *pane == kind));
    }

    /// Gives a pane a tab or takes it away; its place is kept.
    fn give_tab(&mut self, kind: Kind, given: bool) {
        if let Some(id) = self.tree.tiles.find_pane(&kind) {
            self.tree.tiles.set_visible(id, given);
        }
    }

    /// Whether a pane has a tab.
    pub(crate) fn has_tab(&self, kind: Kind) -> bool {
        self.tree.tiles.find_pane(&kind).is_some_and(|id| self.tree.tiles.is_visible(id))
    }

    /// With every pane of the program somewhere in the tree; one of a newer version may be missing. The report of a run
    /// is not there yet, even where an older version had its tab in sight.
    pub(crate) fn complete(mut self) -> Self {
        let front: Vec<Kind> = self.front();
        for kind in Kind::ALL {
            if self.tree.tiles.find_pane(&kind).is_none() {
                self.show(kind);
            }
        }
        front.into_iter().for_each(|kind| self.show(kind));
        self.give_tab(Kind::Report, false);
        self
    }

    /// The panes that can be seen.
    pub(crate) fn front(&self) -> Vec<Kind> {
        let pane = |id: &TileId| self.tree.tiles.get_pane(id).copied();
        self.tree.active_tiles().iter().filter_map(pane).collect()
    }

    /// Draws all panes.
    pub(crate) fn ui(&mut self, ui: &mut Ui, panes: &mut Panes, state: &mut State) {
        Kind::ALL.into_iter().for_each(|kind| self.give_tab(kind, panes.get(kind).has_tab()));
        self.gaps(ui);
        let mut shower = Shower { panes, state };
        self.tree.ui(&mut shower, ui);
    }

    /// Draws what is between the panes, around where they stood in the frame before.
    fn gaps(&self, ui: &Ui) {
        let stroke = Stroke::new(GAP, theme::palette(ui).window);
        for id in self.tree.active_tiles() {
            let tabs = matches!(self.tree.tiles.get_container(id), Some(egui_tiles::Container::Tabs(_)));
            if let Some(rect) = self.tree.tiles.rect(id).filter(|_| tabs) {
                ui.painter().rect_stroke(rect, 0.0, stroke, StrokeKind::Outside);
            }
        }
    }
}

struct Shower<'a> {
    panes: &'a mut Panes,
    state: &'a mut State,
}

impl Behavior<Kind> for Shower<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _: TileId, kind: &mut Kind) -> UiResponse {
        // The window's own colour is that of the panes.
        let frame = theme::pane_frame(theme::palette(ui)).fill(Color32::TRANSPARENT);
        frame.show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            self.panes.get(*kind).ui(ui, self.state);
        });
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, kind: &Kind) -> WidgetText {
        self.panes.get(*kind).title(self.state).into()
    }

    fn tab_bar_height(&self, _: &egui::Style) -> f32 {
        30.0
    }

    fn gap_width(&self, _: &egui::Style) -> f32 {
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

    fn tab_bg_color(&self, visuals: &Visuals, _: &Tiles<Kind>, _: TileId, state: &TabState) -> Color32 {
        let theme = if visuals.dark_mode { egui::Theme::Dark } else { egui::Theme::Light };
        if state.active { theme::palette_of(theme).pane } else { visuals.panel_fill }
    }

    fn tab_outline_stroke(&self, _: &Visuals, _: &Tiles<Kind>, _: TileId, _: &TabState) -> Stroke {
        Stroke::NONE
    }

    fn tab_bar_hline_stroke(&self, visuals: &Visuals) -> Stroke {
        Stroke::new(1.0, visuals.window_stroke.color)
    }

    fn tab_text_color(&self, visuals: &Visuals, _: &Tiles<Kind>, _: TileId, state: &TabState) -> Color32 {
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
        pane::Pane,
        test_support::{self, harness},
    };
    use eframe::egui::accesskit::Role;
    use egui_kittest::kittest::{NodeT, Queryable};
    use std::{cell::RefCell, rc::Rc, sync::Arc};

    #[test]
    fn every_pane_has_a_place_and_can_be_brought_to_the_front() {
        let mut layout = Layout::default().complete();
        for kind in Kind::ALL {
            layout.show(kind);
            assert!(layout.tree.tiles.find_pane(&kind).is_some());
        }
    }

    /// Draws a frame with `layout` and gives the tabs' names.
    fn tabs(layout: Layout, panes: Panes) -> (Layout, Vec<String>) {
        let all = Rc::new(RefCell::new((layout, panes, test_support::state())));
        let shared = all.clone();
        let harness = harness(move |ui| {
            let (layout, panes, state) = &mut *shared.borrow_mut();
            layout.ui(ui, panes, state);
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
        old.give_tab(Kind::Report, true);
        old.show(Kind::Report);
        assert!(old.front().contains(&Kind::Report));
        let saved = serde_json::to_string(&old).unwrap();
        let layout = serde_json::from_str::<Layout>(&saved).unwrap().complete();
        assert!(!layout.has_tab(Kind::Report));
        let panes = || Panes::new(&(Arc::new(|| ()) as Wake));
        let (layout, names) = tabs(layout, panes());
        assert_eq!(names, ["Charts", "Runs", "Log"]);
        assert!(layout.front().contains(&Kind::Charts) && !layout.front().contains(&Kind::Report));
        let mut reported = panes();
        reported.report.on_event(&test_support::not_finite());
        let (mut layout, names) = tabs(layout, reported);
        assert_eq!(names, ["Charts", "Runs", "NaN report", "Log"]);
        layout.show(Kind::Report);
        assert!(layout.has_tab(Kind::Report) && layout.front().contains(&Kind::Report));
    }

    #[test]
    fn an_old_layout_gets_the_panes_that_it_lacks() {
        let mut layout = Layout { tree: Tree::new_tabs(egui::Id::unique("panes"), vec![Kind::Charts]) };
        layout = layout.complete();
        assert!(Kind::ALL.iter().all(|kind| layout.tree.tiles.find_pane(kind).is_some()));
    }
}
