//! `kindling bench`: the numbers that the README quotes, one measurement a file.

mod head;
mod kernels;
mod load;
mod peak;
mod step;
mod ui;
mod wgsl;

use super::Outcome;
use crate::{device::Compute, median::median, train::Precision};
use anyhow::bail;
use clap::{Args, Subcommand};

/// Measure how fast this machine trains
#[derive(Args, Clone, Debug)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    Step(step::Step),
    Kernels(kernels::Kernels),
    Load(load::Load),
    Head(head::Head),
    Ui(ui::Ui),
}

impl Bench {
    /// Whether it opens the window.
    pub(crate) fn draws(&self) -> bool {
        matches!(self.what, What::Ui(_))
    }

    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self.what {
            What::Step(step) => step.run()?,
            What::Kernels(kernels) => kernels.run()?,
            What::Load(load) => load.run()?,
            What::Head(head) => head.run()?,
            What::Ui(ui) => ui.run()?,
        }
        Ok(Outcome::Done)
    }
}

/// A figure under the wrong name would be worse than none.
fn check_precision(precision: Precision, compute: &Compute) -> anyhow::Result<()> {
    if !precision.storage().is_on(compute) {
        let name: &str = precision.into();
        bail!("{} does not compute in {name}; `kindling devices` says which device does", compute.description)
    }
    Ok(())
}

/// Rounded to `digits` behind the point, so that JSON stays readable.
fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// To four significant digits, where a kernel's figure may be a millionth of another's.
fn significant(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_is_not_nothing() {
        assert_eq!([0.0, 3.069_4e-7, 12_345.6].map(significant), [0.0, 3.069e-7, 12_350.0]);
    }
}
