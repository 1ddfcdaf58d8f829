//! The data set that the next run learns from.

use crate::app::background::loading::Loading;
use crate::data::{Dataset, LoadOptions};
use std::{path::PathBuf, sync::Arc};

/// The data at hand, and those on their way.
#[derive(Default)]
pub struct Data {
    /// What was loaded last.
    pub dataset: Option<Arc<Dataset>>,
    pub(crate) loading: Option<Loading<Dataset>>,
    /// Why the last attempt to load data failed, until the next.
    pub(crate) problem: Option<String>,
    /// What the data at hand were last found to be right for, or loaded anew for: a recipe and a run.
    pub(super) suited: Option<(LoadOptions, Option<PathBuf>)>,
}

impl Data {
    /// Takes what somebody has made of the data at hand.
    pub(crate) fn take_edited(&mut self, dataset: Arc<Dataset>) {
        self.dataset = Some(dataset);
    }

    /// Takes what was loaded.
    pub(crate) fn take(&mut self, dataset: Dataset) {
        self.suited = None;
        self.dataset = Some(Arc::new(dataset));
        self.problem = None;
    }
}
