//! A window that was last seen on a screen that is gone comes back onto one that is there.
//!
//! eframe opens it where it was closed, and on X11 leaves it there, whether anything can be seen of that place or not.

use std::time::{Duration, Instant};

/// A rectangle in pixels of the whole desktop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    left: i32,
    top: i32,
    width: i32,
    height: i32,
}

/// What has to be seen of a window's upper edge to get hold of it, in pixels.
const HANDLE: (i32, i32) = (120, 24);
/// How long after the start the place is looked at: a window manager sets the window into its frame at leisure. Later the
/// user knows where the window is.
const MAX_PLACING_TIME: Duration = Duration::from_secs(3);

/// Brings the window back, if it has just been opened where nobody sees it. Does nothing where the system does not tell
/// places, as on Wayland, which shows every window.
pub(crate) fn bring_back(frame: &eframe::Frame, opened: Instant) {
    let Some(window) = frame.winit_window().filter(|_| opened.elapsed() < MAX_PLACING_TIME) else { return };
    if window.is_minimized() == Some(true) {
        return;
    }
    let Ok(mut place) = window.outer_position() else { return };
    let size = window.outer_size();
    let area = |left, top, width: u32, height: u32| {
        let side = |value| i32::try_from(value).unwrap_or(i32::MAX);
        Area { left, top, width: side(width), height: side(height) }
    };
    let screens = window.available_monitors().map(|monitor| {
        let (at, size) = (monitor.position(), monitor.size());
        area(at.x, at.y, size.width, size.height)
    });
    let own = area(place.x, place.y, size.width, size.height);
    if let Some((x, y)) = better_place(own, &screens.collect::<Vec<_>>()) {
        (place.x, place.y) = (x, y);
        window.set_outer_position(place);
    }
}

/// Where a window belongs whose upper edge is on none of the screens; `None` for one that can be seen.
fn better_place(window: Area, screens: &[Area]) -> Option<(i32, i32)> {
    let edge = Area { height: HANDLE.1.min(window.height), ..window };
    let seen = |screen: &Area| {
        let (width, height) = overlap(edge, *screen);
        width >= HANDLE.0.min(window.width) && height >= edge.height
    };
    if screens.iter().any(seen) {
        return None;
    }
    // Where most of it is, or else the first, which is the main one.
    let most = |screen: &&Area| {
        let (width, height) = overlap(window, **screen);
        i64::from(width) * i64::from(height)
    };
    let screen = screens.iter().rev().max_by_key(most)?;
    let within = |at: i32, length: i32, from: i32, room: i32| {
        let last = from.saturating_add(room.saturating_sub(length).max(0));
        at.clamp(from, last)
    };
    let x = within(window.left, window.width, screen.left, screen.width);
    Some((x, within(window.top, window.height, screen.top, screen.height)))
}

/// Width and height of what both share.
fn overlap(a: Area, b: Area) -> (i32, i32) {
    let shared = |a: i32, a_length: i32, b: i32, b_length: i32| {
        let end = a.saturating_add(a_length).min(b.saturating_add(b_length));
        end.saturating_sub(a.max(b)).max(0)
    };
    (shared(a.left, a.width, b.left, b.width), shared(a.top, a.height, b.top, b.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn area(left: i32, top: i32, width: i32, height: i32) -> Area {
        Area { left, top, width, height }
    }

    const SCREEN: Area = area(0, 0, 1920, 1080);
    const SECOND: Area = area(1920, 0, 1280, 1024);

    #[test]
    fn a_window_that_can_be_got_hold_of_stays() {
        for window in [area(100, 100, 1400, 900), area(-1200, 0, 1400, 900), area(1780, 1050, 1400, 900), SCREEN] {
            assert_eq!(better_place(window, &[SCREEN]), None, "{window:?}");
        }
        assert_eq!(better_place(area(2000, 50, 800, 600), &[SCREEN, SECOND]), None);
        assert_eq!(better_place(area(5, 5, 100, 10), &[SCREEN]), None, "a tiny one, all of it");
        assert_eq!(better_place(area(9000, 9000, 800, 600), &[]), None, "nothing is known");
    }

    #[test]
    fn a_window_on_a_screen_that_is_gone_comes_back() {
        assert_eq!(better_place(area(2000, 50, 1400, 900), &[SCREEN]), Some((520, 50)));
        assert_eq!(better_place(area(-5000, -5000, 1400, 900), &[SCREEN, SECOND]), Some((0, 0)));
        // Its title bar is above the screen, or all but a sliver is beside it.
        assert_eq!(better_place(area(100, -40, 1400, 900), &[SCREEN]), Some((100, 0)));
        assert_eq!(better_place(area(1900, 100, 1400, 900), &[SCREEN]), Some((520, 100)));
        // Most of it is on the second one.
        assert_eq!(better_place(area(2000, 1010, 800, 600), &[SCREEN, SECOND]), Some((2000, 424)));
        // One that is larger than the screen shows its upper left corner.
        assert_eq!(better_place(area(5000, 0, 4000, 3000), &[SCREEN]), Some((0, 0)));
        assert_eq!(better_place(area(i32::MAX, i32::MIN, 800, 600), &[SCREEN]), Some((1120, 0)));
    }
}
