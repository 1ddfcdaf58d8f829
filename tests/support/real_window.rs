//! The built window in a real X server: it opens, trains on a click, draws curves, and leaves a saved run when it is
//! closed. With `KINDLING_PICTURES=FOLDER` it also leaves the pictures that the README shows.

use super::support::{Place, has};
use image::RgbImage;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// The display, if there is one and the programs that press its keys and look at it.
fn display() -> Option<String> {
    let display = std::env::var("DISPLAY").ok().filter(|name| !name.is_empty());
    let there = |program: &str, argument: &str| {
        Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let missing = match display {
        None => "no DISPLAY",
        Some(_) if !there("xdotool", "help") => "no xdotool",
        Some(_) if !there("import", "-version") => "no ImageMagick",
        Some(_) => return display,
    };
    has("display", false, &format!("the window in a real X server ({missing})"));
    None
}

/// A window that is closed with the test, however that ends.
struct Driver {
    child: Child,
    display: String,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Driver {
    /// The binary, in a place of its own.
    fn open(place: &Place, display: String, arguments: &[&str]) -> Self {
        let mut command = place.command(arguments);
        command.env("DISPLAY", &display).env("XDG_RUNTIME_DIR", place.path("")).stdout(Stdio::null());
        Self { child: command.spawn().expect("the binary starts"), display }
    }

    fn xdotool(&self, arguments: &[&str]) -> Option<String> {
        let out = Command::new("xdotool").args(arguments).env("DISPLAY", &self.display).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    fn picture(&self, name: &str) -> RgbImage {
        let out = Command::new("import").args(["-window", "root", "png:-"]).env("DISPLAY", &self.display).output();
        let image = image::load_from_memory(&out.expect("ImageMagick runs").stdout).expect("a picture").to_rgb8();
        let image =
            image::imageops::crop_imm(&image, 0, 0, 1400.min(image.width()), 900.min(image.height())).to_image();
        if let Some(folder) = std::env::var_os("KINDLING_PICTURES") {
            image.save(PathBuf::from(folder).join(name)).expect("a picture on disk");
        }
        image
    }
}

/// Waits up to `seconds` for something to be there.
fn wait<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {seconds} s");
        sleep(Duration::from_millis(200));
    }
}

fn events(runs: &Path) -> Option<String> {
    let run = fs::read_dir(runs).ok()?.next()?.ok()?;
    fs::read_to_string(run.path().join("events.jsonl")).ok()
}

/// The step of the last checkpoint of the only run.
#[cfg(unix)]
fn saved_step(runs: &Path) -> u64 {
    let run = fs::read_dir(runs).expect("runs").next().expect("a run").expect("readable").path();
    let last = kindling::train::RunFolder::open(&run).expect("a run").last().expect("readable");
    last.expect("a checkpoint").state.step
}

/// Pixels of the left charts that have about this colour.
fn count(picture: &RgbImage, wanted: [u8; 3]) -> usize {
    let near = |pixel: &&image::Rgb<u8>| pixel.0.iter().zip(wanted).all(|(&a, b)| a.abs_diff(b) < 40);
    image::imageops::crop_imm(picture, 380, 140, 500, 320).to_image().pixels().filter(near).count()
}

#[test]
fn the_window_opens_trains_on_a_click_and_saves_when_it_is_closed() {
    let Some(display) = display() else { return };
    let place = Place::new();
    // Where it was closed there is no screen any more. A size of its own shows that this is read.
    let closed = "{\"window\": \"(normal_geometry:(outer_position_pixels:Some((x:-5000.0,y:-3000.0)),scale_factor:1.0,\
                  inner_size_points:(x:1398.0,y:900.0)),fullscreen:false,maximized:false)\"}";
    place.write("share/kindling/app.ron", closed);
    let began = Instant::now();
    let mut driver = Driver::open(&place, display, &[]);
    // Another test's window may be there too; this one's is known by its size.
    let window = wait("the window on the screen", 60, || {
        let ended = driver.child.try_wait().expect("a child of this process");
        assert!(ended.is_none(), "the program ended without a window: {ended:?}");
        let windows = driver.xdotool(&["search", "--name", "Kindling"])?;
        let own = windows.lines().find(|window| {
            let geometry = driver.xdotool(&["getwindowgeometry", window]).unwrap_or_default();
            geometry.contains("Position: 0,0") && geometry.contains("1398x900")
        });
        own.map(str::to_owned)
    });
    // Where a desktop keeps a program's data: the place has no folder of that name yet.
    let runs = place.path("share/kindling/runs");
    // The button in the middle of the empty window; pressed again should the first press have come before it was there.
    wait("a step of training", 60, || {
        if !runs.exists() {
            driver.xdotool(&["mousemove", "867", "424", "click", "1"]);
            sleep(Duration::from_secs(1));
        }
        events(&runs).filter(|text| text.contains("\"event\":\"step\""))
    });
    println!("from start to the first reported step, clicks included: {:.1} s", began.elapsed().as_secs_f64());
    // No cursor on the charts.
    driver.xdotool(&["mousemove", "700", "20"]);
    wait("two epochs", 120, || events(&runs).filter(|text| text.matches("\"event\":\"epoch\"").count() >= 2));
    // What the last frame shows may be a moment old.
    let curves = wait("curves", 20, || {
        let picture = driver.picture("training.png");
        let [training, validation] = [[240, 160, 20], [86, 180, 233]].map(|colour| count(&picture, colour));
        (training > 150 && validation > 50).then_some([training, validation])
    });
    println!("pixels of the curves: {curves:?}");
    driver.xdotool(&["windowfocus", &window]);
    driver.xdotool(&["mousemove", "1100", "20", "key", "2"]);
    sleep(Duration::from_millis(1500));
    driver.picture("samples.png");
    driver.xdotool(&["key", "ctrl+q"]);
    let status = wait("the end", 30, || driver.child.try_wait().ok().flatten());
    assert!(status.success(), "{status}");
    let run = fs::read_dir(&runs).expect("runs").next().expect("a run").expect("readable").path();
    for file in ["recipe.toml", "last.json", "last.safetensors", "best.safetensors"] {
        assert!(run.join(file).is_file(), "{file} is missing");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_to_end_closes_the_window_and_saves() {
    let Some(display) = display() else { return };
    for name in ["TERM", "HUP"] {
        let place = Place::new();
        let mut driver = Driver::open(&place, display.clone(), &["--try"]);
        let runs = place.path("share/kindling/runs");
        wait("a step of training", 60, || events(&runs).filter(|text| text.contains("\"event\":\"step\"")));
        super::signal(&driver.child, name);
        let status = wait("the end", 30, || driver.child.try_wait().ok().flatten());
        assert_eq!(status.code(), Some(130), "{name}");
        assert!(saved_step(&runs) > 0, "{name}");
    }
}

/// As at a logout: Xlib ends the process at once.
#[cfg(unix)]
#[test]
fn a_display_that_goes_away_costs_no_step() {
    use std::io::{BufRead, BufReader};
    if display().is_none() {
        return;
    }
    let place = Place::new();
    let mut server = Command::new("Xvfb");
    server.args(["-displayfd", "1", "-noreset", "-nolisten", "tcp"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut server) = server.spawn() else { return println!("skipped: no Xvfb") };
    let mut number = String::new();
    BufReader::new(server.stdout.take().expect("piped")).read_line(&mut number).expect("its number");
    let mut driver = Driver::open(&place, format!(":{}", number.trim()), &["--try"]);
    let runs = place.path("share/kindling/runs");
    wait("a step of training", 60, || events(&runs).filter(|text| text.contains("\"event\":\"step\"")));
    server.kill().expect("a server that runs");
    server.wait().expect("a child of this process");
    wait("the end", 30, || driver.child.try_wait().ok().flatten());
    assert!(saved_step(&runs) > 0);
}
