//! Which pane stands where: a tree of tiles that the user rearranges by dragging tabs, remembered between starts.

use super::pane_id::PaneId;
use eframe::egui;
use egui_tiles::{Tile, TileId, Tiles, Tree};
use serde::{Deserialize, Serialize};

/// The arrangement of the panes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) tree: Tree<PaneId>,
}

impl Default for Layout {
    /// Curves on the left, pictures on the right.
    fn default() -> Self {
        let mut tiles = Tiles::default();
        let mut tabs = |panes: &[PaneId]| {
            let panes = panes.iter().map(|pane| tiles.insert_pane(pane.clone())).collect();
            tiles.insert_tab_tile(panes)
        };
        let charts = tabs(&[PaneId::CHARTS, PaneId::SAMPLES, PaneId::RUNS, PaneId::REPORT, PaneId::LOG]);
        let timeline = tabs(&[PaneId::TIMELINE]);
        let right =
            tabs(&[PaneId::PREDICTIONS, PaneId::CLASSES, PaneId::MISTAKES, PaneId::CONFUSION, PaneId::CLASSIFY]);
        let mut column = egui_tiles::Linear::new(egui_tiles::LinearDir::Vertical, vec![charts, timeline]);
        column.shares.set_share(charts, 0.76);
        column.shares.set_share(timeline, 0.24);
        let left = tiles.insert_container(egui_tiles::Container::Linear(column));
        let mut row = egui_tiles::Linear::new(egui_tiles::LinearDir::Horizontal, vec![left, right]);
        row.shares.set_share(left, 1.15);
        row.shares.set_share(right, 0.85);
        let root = tiles.insert_container(egui_tiles::Container::Linear(row));
        let mut layout = Self { tree: Tree::new(egui::Id::unique("panes"), root, tiles) };
        layout.give_tab(&PaneId::REPORT, false);
        layout
    }
}

impl Layout {
    /// Brings `pane` to the front, and back on screen if it is missing from an old layout.
    pub(crate) fn show(&mut self, pane: &PaneId) {
        if self.tree.tiles.find_pane(pane).is_none() {
            let root = self.tree.root();
            self.add(pane, root);
        }
        self.tree.make_active(|_, tile| matches!(tile, Tile::Pane(known) if known == pane));
    }

    /// Adds a pane to the container `to`.
    fn add(&mut self, pane: &PaneId, to: Option<TileId>) {
        let tile = self.tree.tiles.insert_pane(pane.clone());
        match to.and_then(|id| self.tree.tiles.get_mut(id)) {
            Some(Tile::Container(container)) => container.add_child(tile),
            _ => *self = Self::default(),
        }
    }

    /// Gives a pane a tab or takes it away; its place is kept.
    pub(crate) fn give_tab(&mut self, pane: &PaneId, given: bool) {
        if let Some(id) = self.tree.tiles.find_pane(pane) {
            self.tree.tiles.set_visible(id, given);
        }
    }

    /// Whether a pane has a tab.
    pub(crate) fn has_tab(&self, pane: &PaneId) -> bool {
        self.tree.tiles.find_pane(pane).is_some_and(|id| self.tree.tiles.is_visible(id))
    }

    /// With every pane of `all` somewhere in the tree, and no other: a layout of another version may lack one, which comes
    /// beside the one before it, and may have one more. The report of a run is not there yet, even where an older version
    /// had its tab in sight.
    pub(crate) fn complete(mut self, all: &[PaneId]) -> Self {
        let front = self.front();
        let unknown = |tile: &Tile<PaneId>| matches!(tile, Tile::Pane(pane) if !all.contains(pane));
        let strange: Vec<TileId> =
            self.tree.tiles.iter().filter(|(_, tile)| unknown(tile)).map(|(&id, _)| id).collect();
        strange.into_iter().for_each(|id| drop(self.tree.remove_recursively(id)));
        let mut before = None;
        for pane in all {
            if self.tree.tiles.find_pane(pane).is_none() {
                let beside = before.and_then(|before| self.tree.tiles.find_pane(before));
                let tabs = beside.and_then(|id| self.tree.tiles.parent_of(id)).or(self.tree.root());
                self.add(pane, tabs);
            }
            before = Some(pane);
        }
        front.iter().filter(|pane| all.contains(pane)).for_each(|pane| self.show(pane));
        self.give_tab(&PaneId::REPORT, false);
        self
    }

    /// The panes that can be seen.
    pub(crate) fn front(&self) -> Vec<PaneId> {
        let pane = |id: &TileId| self.tree.tiles.get_pane(id).cloned();
        self.tree.active_tiles().iter().filter_map(pane).collect()
    }
}
