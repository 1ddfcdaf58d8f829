//! A device that goes away in the middle of something: a crashed driver, a cut connection.
//!
//! That can happen wherever results are waited for, deep below whoever can do something about it, and there is nothing to
//! hand back. So it unwinds, past everybody who could not go on either, to the few places that begin such work.

use super::DeviceError;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What unwinds: why the device is gone.
struct Lost(String);

/// Why a device was lost, where that is what unwound.
pub(crate) fn reason(panic: &(dyn std::any::Any + Send)) -> Option<&str> {
    panic.downcast_ref::<Lost>().map(|lost| lost.0.as_str())
}

/// Ends the work on a device that is gone. Nothing is printed; [`unless_lost`] catches it.
pub(crate) fn lost(reason: impl Into<String>) -> ! {
    resume_unwind(Box::new(Lost(reason.into())))
}

/// Does what needs a device.
///
/// # Errors
/// [`DeviceError::Lost`] where the device went away meanwhile. What `work` was about to change is to be forgotten then.
pub(crate) fn unless_lost<T>(work: impl FnOnce() -> T) -> Result<T, DeviceError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| match panic.downcast::<Lost>() {
        Ok(lost) => DeviceError::Lost(lost.0),
        Err(panic) => resume_unwind(panic),
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
