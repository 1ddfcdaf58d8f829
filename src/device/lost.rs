//! A device that goes away in the middle of something: a crashed driver, a cut connection.
//!
//! That can happen wherever results are waited for, deep below whoever can do something about it, and there is nothing to
//! hand back. So it unwinds, past everybody who could not go on either, to the few places that begin such work.

use super::DeviceError;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What unwinds: why there are no results.
enum Unwound {
    /// The device is gone, or the way to it.
    Lost(String),
    /// It is there and does not do what it is asked for.
    Refused(String),
}

impl From<&Unwound> for DeviceError {
    fn from(unwound: &Unwound) -> Self {
        match unwound {
            Unwound::Lost(reason) => Self::Lost(reason.clone()),
            Unwound::Refused(reason) => Self::Refused(reason.clone()),
        }
    }
}

/// What happened to a device, where that is what unwound.
pub(crate) fn unwound(panic: &(dyn std::any::Any + Send)) -> Option<DeviceError> {
    panic.downcast_ref::<Unwound>().map(DeviceError::from)
}

/// Ends the work on a device that is gone. Nothing is printed; [`unless_lost`] catches it.
pub(crate) fn lost(reason: impl Into<String>) -> ! {
    resume_unwind(Box::new(Unwound::Lost(reason.into())))
}

/// Ends the work on a device that refuses it; else as [`lost`].
pub(crate) fn refused(reason: impl Into<String>) -> ! {
    resume_unwind(Box::new(Unwound::Refused(reason.into())))
}

/// Does what needs a device.
///
/// # Errors
/// [`DeviceError::Lost`] where the device went away meanwhile, [`DeviceError::Refused`] where it refused. What `work` was about to change is to be forgotten then.
pub(crate) fn unless_lost<T>(work: impl FnOnce() -> T) -> Result<T, DeviceError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| match unwound(&*panic) {
        Some(error) => error,
        None => resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_says_why_and_other_panics_go_on() {
        assert_eq!(unless_lost(|| 7).expect("nothing is lost"), 7);
        let error = unless_lost(|| lost("unplugged")).expect_err("it is gone");
        assert_eq!(error.to_string(), "the device was lost: unplugged");
        let other = catch_unwind(|| unless_lost(|| panic!("a fault"))).expect_err("a panic");
        assert_eq!(other.downcast_ref(), Some(&"a fault"));
    }
}
