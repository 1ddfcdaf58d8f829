//! What is done to the window while it is measured: everything that a curious user does in half a minute.

use super::{driver::Driver, user::User};
use eframe::egui::{Key, Modifiers, Role, pos2, vec2};
use std::{thread::sleep, time::Duration};

/// Plays the script once, while a run goes on.
pub(crate) fn play(driver: &Driver) -> anyhow::Result<()> {
    driver.count(true);
    let outcome = parts(driver);
    driver.count(false);
    outcome
}

fn parts(driver: &Driver) -> anyhow::Result<()> {
    let mut user = User::new(driver);
    // Over curves and pictures: hover values, lit cells.
    for to in [(420.0, 250.0), (760.0, 300.0), (500.0, 420.0), (1000.0, 200.0), (1300.0, 500.0), (1050.0, 700.0)] {
        user.glide(pos2(to.0, to.1), 0.7);
    }
    // Through the panes on the right, and paging in one.
    for tab in ["Confusion", "Samples"] {
        user.press(Role::Button, tab)?;
        sleep(Duration::from_millis(400));
    }
    let next = user.find(Role::Button, "Next batch")?;
    for _ in 0..6 {
        user.click(next);
    }
    for tab in ["Classify", "Log", "Charts", "Predictions"] {
        user.press(Role::Button, tab)?;
        sleep(Duration::from_millis(400));
    }
    let grid = user.find(Role::Button, "Least sure")?;
    user.click(grid);
    user.glide(grid + vec2(150.0, 250.0), 0.3);
    user.wheel(-12, 1.2);
    user.wheel(12, 1.2);
    // The setup column: down to the learning rate, which is dragged and then typed.
    user.glide(pos2(165.0, 500.0), 0.5);
    user.wheel(-25, 2.0);
    user.wheel(25, 2.0);
    bring_into_view(&mut user)?;
    let slider = user.find(Role::Slider, "Learning rate slider")?;
    user.glide(slider - vec2(40.0, 0.0), 0.3);
    user.drag(slider + vec2(60.0, 0.0), 1.2);
    user.drag(slider + vec2(10.0, 0.0), 1.2);
    user.press(Role::SpinButton, "Learning rate")?;
    user.key(Key::A, Modifiers::COMMAND);
    user.type_text("0.15");
    user.key(Key::Enter, Modifiers::NONE);
    sleep(Duration::from_millis(300));
    Ok(())
}

/// Scrolls the setup column until the learning rate stands in its middle.
fn bring_into_view(user: &mut User) -> anyhow::Result<()> {
    for _ in 0..12 {
        let y = user.find(Role::Slider, "Learning rate slider")?.y;
        if (200.0..700.0).contains(&y) {
            return Ok(());
        }
        user.wheel(if y > 450.0 { -5 } else { 5 }, 0.4);
        sleep(Duration::from_millis(400));
    }
    anyhow::bail!("the setup column does not scroll to the learning rate")
}
