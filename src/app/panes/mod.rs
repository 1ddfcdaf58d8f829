//! The panes in the middle of the window, one a file.

pub mod charts;
pub mod classify;
pub mod confusion;
pub mod log;
pub mod mistakes;
pub mod predictions;
pub mod report;
pub mod runs;
pub mod samples;
pub mod timeline;
