//! What a user has in hand: a pointer that glides, buttons, a wheel, keys, sixty times a second as a mouse reports.

use super::driver::{Driver, find};
use eframe::egui::{
    Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, Role, TouchPhase, vec2,
};
use std::{thread::sleep, time::Duration};

/// Between two reports of the mouse.
const REPORT: Duration = Duration::from_micros(16_667);
/// Between the press and the release of a button.
const PRESS: Duration = Duration::from_millis(70);

/// See the module.
pub(crate) struct User<'a> {
    driver: &'a Driver,
    at: Pos2,
}

impl<'a> User<'a> {
    pub(crate) fn new(driver: &'a Driver) -> Self {
        // The window need not have the desktop's attention to be measured.
        driver.input(Event::WindowFocused(true), false);
        Self { driver, at: Pos2::new(700.0, 450.0) }
    }

    /// Moves the pointer there, which takes `seconds`.
    pub(crate) fn glide(&mut self, to: Pos2, seconds: f32) {
        let reports = (seconds / REPORT.as_secs_f32()).ceil().max(1.0) as u32;
        let from = self.at;
        for report in 1..=reports {
            self.at = from + (to - from) * (report as f32 / reports as f32);
            self.driver.input(Event::PointerMoved(self.at), false);
            sleep(REPORT);
        }
    }

    fn button(&self, pressed: bool) {
        let (button, modifiers) = (PointerButton::Primary, Modifiers::NONE);
        self.driver.input(Event::PointerButton { pos: self.at, button, pressed, modifiers }, true);
    }

    pub(crate) fn click(&mut self, at: Pos2) {
        self.glide(at, 0.3);
        self.button(true);
        sleep(PRESS);
        self.button(false);
        sleep(PRESS * 2);
    }

    /// Clicks the control called so, wherever it stands now. Looking for it is not measured.
    pub(crate) fn press(&mut self, role: Role, name: &str) -> anyhow::Result<()> {
        let at = self.find(role, name)?;
        self.click(at);
        Ok(())
    }

    /// Where the control called so stands. What was done before may take a moment to bring it up.
    pub(crate) fn find(&self, role: Role, name: &str) -> anyhow::Result<Pos2> {
        const TRIES: u32 = 20;
        self.driver.count(false);
        let look = || find(&self.driver.look()?, Some(role), name);
        let found = (1..TRIES).find_map(|_| {
            look().ok().or_else(|| {
                sleep(Duration::from_millis(250));
                None
            })
        });
        let found = found.map_or_else(look, Ok);
        self.driver.count(true);
        found
    }

    /// Takes hold where the pointer is and lets go at `to`.
    pub(crate) fn drag(&mut self, to: Pos2, seconds: f32) {
        self.button(true);
        self.glide(to, seconds);
        self.button(false);
        sleep(PRESS);
    }

    /// Turns the wheel by `lines` clicks, up where positive, `seconds` long.
    pub(crate) fn wheel(&mut self, lines: i32, seconds: f32) {
        for _ in 0..lines.unsigned_abs() {
            let event = Event::MouseWheel {
                unit: MouseWheelUnit::Line,
                delta: vec2(0.0, lines.signum() as f32),
                phase: TouchPhase::Move,
                source: MouseWheelSource::Wheel,
                modifiers: Modifiers::NONE,
            };
            self.driver.input(event, false);
            sleep(Duration::from_secs_f32(seconds / lines.unsigned_abs() as f32));
        }
    }

    pub(crate) fn key(&mut self, key: Key, modifiers: Modifiers) {
        for pressed in [true, false] {
            let event = Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
            self.driver.input(event, false);
            sleep(PRESS);
        }
    }

    /// Types into what has the focus, eight characters a second.
    pub(crate) fn type_text(&mut self, text: &str) {
        for character in text.chars() {
            self.driver.input(Event::Text(character.to_string()), false);
            sleep(Duration::from_millis(125));
        }
    }
}
