//! What a test needs of the machine that it runs on. A test that misses it says `skipped: …` and ends well, unless
//! `KINDLING_REQUIRE` names it (`gpu`, `display`).
//!
//! It uses nothing of the crate: the tests within it include the file as well.
#![allow(dead_code, reason = "each of them uses a part")]

use std::fmt::Display;

/// What was looked for, if it is there; else the error says what is skipped, and why.
#[track_caller]
pub(crate) fn found<T, E: Display>(what: &str, result: Result<T, E>) -> Option<T> {
    let missing = match result {
        Ok(found) => return Some(found),
        Err(missing) => missing,
    };
    let required = std::env::var("KINDLING_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == what), "{what} is required: {missing}");
    println!("skipped: {missing}");
    None
}

/// Whether something is there; `missing` says what is skipped, and why, where it isn't.
#[track_caller]
pub(crate) fn has(what: &str, there: bool, missing: &str) -> bool {
    found(what, there.then_some(()).ok_or(missing)).is_some()
}
