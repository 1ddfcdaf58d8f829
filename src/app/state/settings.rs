//! What the window remembers from one day to the next.

use super::{actions::ChartChange, layout::Layout};
use crate::app::{history::X, widgets::theme};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Kept in eframe's storage. A missing or odd entry has its default, so that an older or newer file still opens.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub(crate) theme: theme::Choice,
    /// Scale of everything on screen; 1 is the desktop's own.
    pub(crate) zoom: f32,
    /// What was last loaded as data, newest first.
    pub(crate) recent_data: Vec<String>,
    /// The folder of the last run, to offer it again.
    pub(crate) last_run: Option<PathBuf>,
    /// Where the user wants runs to be kept, if that was ever said.
    pub(crate) runs_folder: Option<PathBuf>,
    /// Weight of the exponential average on the charts, from 0 to below 1.
    pub(crate) smoothing: f32,
    pub(crate) x: X,
    /// Names of the charts with a logarithmic scale.
    pub(crate) log_scale: Vec<String>,
    /// Whether the charts show what happened at a step, and the snapshots.
    pub(crate) marks: bool,
    pub(crate) snapshot_marks: bool,
    /// Whether the run before stands behind a new one on the charts.
    pub(crate) ghost: bool,
    /// Whether values beyond measure count for the range of a chart.
    pub(crate) outliers: bool,
    /// Names of charts whose values are shown between two, and these.
    pub(crate) limits: Vec<(String, [f64; 2])>,
    /// Validation accuracy that is wanted, in percent.
    pub(crate) target: Option<f64>,
    /// Whether the setup column is out of the way.
    pub(crate) setup_hidden: bool,
    /// Devices of other machines, the newest first.
    pub(crate) remote_devices: Vec<RemoteDevice>,
    pub(crate) layout: Layout,
}

/// Entries of the list of recent data.
const RECENT: usize = 8;

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: theme::Choice::System,
            zoom: 1.0,
            recent_data: Vec::new(),
            last_run: None,
            runs_folder: None,
            smoothing: 0.6,
            x: X::Step,
            log_scale: Vec::new(),
            marks: true,
            snapshot_marks: false,
            ghost: true,
            outliers: false,
            limits: Vec::new(),
            target: None,
            setup_hidden: false,
            remote_devices: Vec::new(),
            layout: Layout::default(),
        }
    }
}

/// A device of another machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RemoteDevice {
    /// As `--device` takes it.
    pub address: String,
    /// One line for people.
    pub what: String,
    /// From a question to its answer when it was added.
    pub latency_ms: u32,
}

impl Settings {
    /// Puts a device on top of those of other machines.
    pub(crate) fn keep_remote(&mut self, device: RemoteDevice) {
        self.remote_devices.retain(|known| known.address != device.address);
        self.remote_devices.insert(0, device);
    }

    /// Draws the charts otherwise from now on.
    pub(crate) fn change_charts(&mut self, change: ChartChange) {
        match change {
            ChartChange::Smoothing(weight) => self.smoothing = weight,
            ChartChange::X(x) => self.x = x,
            ChartChange::Marks(shown) => self.marks = shown,
            ChartChange::SnapshotMarks(shown) => self.snapshot_marks = shown,
            ChartChange::Ghost(shown) => self.ghost = shown,
            ChartChange::Outliers(counted) => self.outliers = counted,
            ChartChange::Limits(chart, limits) => {
                self.limits.retain(|(key, _)| key != chart);
                self.limits.extend(limits.map(|limits| (chart.to_owned(), limits)));
            }
            ChartChange::Target(percent) => self.target = percent,
            ChartChange::LogScale(chart, logarithmic) => {
                self.log_scale.retain(|key| key != chart);
                if logarithmic {
                    self.log_scale.push(chart.to_owned());
                }
            }
        }
    }

    /// Between which values the chart of that name is shown, where that was said.
    pub(crate) fn limits_of(&self, chart: &str) -> Option<[f64; 2]> {
        self.limits.iter().find(|(key, _)| key == chart).map(|(_, limits)| *limits)
    }

    /// Puts `spec` on top of the recent data.
    pub(crate) fn remember_data(&mut self, spec: &str) {
        self.recent_data.retain(|known| known != spec);
        self.recent_data.insert(0, spec.to_owned());
        self.recent_data.truncate(RECENT);
    }
}
