//! Small pictures of a data set's images, put together on a thread, for the panes that show a choice of them.

use crate::app::{
    background::{Wake, latest::Latest},
    widgets::pictures::{Picture, Sheet, SheetTexture},
};
use crate::data::{Dataset, Split};
use eframe::egui::Context;
use std::sync::Arc;

type Job = (Arc<Dataset>, Vec<u32>);

/// One sheet of images of one split.
pub(crate) struct Thumbnails {
    worker: Latest<Job, Sheet>,
    pub sheet: SheetTexture,
    asked: Vec<u32>,
}

impl Thumbnails {
    /// `split` says which images the positions mean.
    pub(crate) fn new(wake: Wake, split: fn(&Dataset) -> &Split) -> Self {
        let worker = Latest::new("thumbnails", wake, move |(dataset, indices): Job| {
            let picture = |&index: &u32| Some((index, Picture::small(split(&dataset), index)?));
            Sheet::new(indices.iter().filter_map(picture))
        });
        Self { worker, sheet: SheetTexture::default(), asked: Vec::new() }
    }

    /// Asks for these images, unless they were asked for last, and takes what has been made.
    pub(crate) fn want(&mut self, ctx: &Context, dataset: &Arc<Dataset>, indices: Vec<u32>) {
        if let Some(sheet) = self.worker.take() {
            self.sheet.set(ctx, sheet);
        }
        if indices != self.asked {
            self.worker.request((dataset.clone(), indices.clone()));
            self.asked = indices;
        }
    }

    /// Whether pictures are on their way.
    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        self.worker.is_busy()
    }

    /// Forgets everything: the data set is another one.
    pub(crate) fn clear(&mut self) {
        self.sheet.clear();
        self.asked.clear();
    }
}
