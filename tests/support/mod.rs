//! What the end-to-end tests share: the binary in a folder of its own, and data sets that take no time to learn.

mod needs;

pub(crate) use needs::has;
use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// A folder in which the binary runs, with a cache of its own and no display.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kindling"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_DATA_HOME", self.path("share"))
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET")
            .env_remove("KINDLING_LOG")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the binary to its end. `line` is split at spaces.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_args(line.split_whitespace())
    }

    pub(crate) fn run_args<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        ended(self.command(arguments).spawn().expect("the binary starts"))
    }

    /// Runs the binary with bytes on standard input.
    pub(crate) fn run_with_input(&self, line: &str, input: &[u8]) -> Ran {
        let mut child = self.command(line.split_whitespace()).stdin(Stdio::piped()).spawn().expect("the binary starts");
        // One that does not read to the end is no fault of the test.
        let _ = child.stdin.take().expect("piped").write_all(input);
        ended(child)
    }

    pub(crate) fn spawn(&self, line: &str) -> Child {
        self.command(line.split_whitespace()).spawn().expect("the binary starts")
    }
}

/// Sends the signal of that name.
#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    kill(child.id(), name);
}

fn kill(id: u32, signal: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), &id.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// How the binary ended.
pub(crate) struct Ran {
    /// `None` where a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Waits for the end of the binary, which is killed where that does not come: the test fails then, and the others go on.
fn ended(child: Child) -> Ran {
    const MAX_RUN: Duration = Duration::from_secs(900);
    let (done, waiting) = mpsc::channel::<()>();
    let id = child.id();
    let watchdog = thread::spawn(move || {
        if waiting.recv_timeout(MAX_RUN) == Err(RecvTimeoutError::Timeout) {
            kill(id, "KILL");
        }
    });
    let ran = Ran::from(child.wait_with_output().expect("the binary ends"));
    drop(done);
    watchdog.join().expect("kill runs");
    ran
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("standard output is text"),
            stderr: String::from_utf8(output.stderr).expect("standard error is text"),
        }
    }
}

impl Ran {
    /// Asserts that it succeeded.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.status, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Every line of standard output as JSON: with `--json` there is nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The last line of standard output as JSON.
    #[track_caller]
    pub(crate) fn last(&self) -> serde_json::Value {
        self.json().pop().unwrap_or_else(|| panic!("nothing on standard output; {}", self.stderr))
    }
}

/// Side of the made-up images, and how many classes they have.
pub(crate) const SIDE: usize = 12;
pub(crate) const CLASSES: usize = 4;

/// An image of a class: a bright bar in a place of its own, on noise.
pub(crate) fn picture(class: usize, seed: usize) -> Vec<u8> {
    let mut state = (seed * CLASSES + class) as u64 * 2_654_435_761 + 1;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 57) as u8
    };
    let bar = |x: usize, y: usize| if class < 2 { y / 3 == class * 2 } else { x / 3 == (class - 2) * 2 };
    (0..SIDE * SIDE).map(|i| noise() + if bar(i % SIDE, i / SIDE) { 120 } else { 0 }).collect()
}

/// A folder of IDX files with `train` and `test` images.
pub(crate) fn write_idx(folder: &Path, train: usize, test: usize) {
    fs::create_dir_all(folder).expect("a folder");
    for (name, count, first) in [("train", train, 0), ("t10k", test, train)] {
        let mut images = vec![0, 0, 8, 3];
        for size in [count, SIDE, SIDE] {
            images.extend((size as u32).to_be_bytes());
        }
        images.extend((0..count).flat_map(|i| picture(i % CLASSES, first + i)));
        let mut labels = vec![0, 0, 8, 1];
        labels.extend((count as u32).to_be_bytes());
        labels.extend((0..count).map(|i| (i % CLASSES) as u8));
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).expect("a file");
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).expect("a file");
    }
}

/// A picture as a PNG file.
pub(crate) fn png(class: usize, seed: usize) -> Vec<u8> {
    let side = SIDE as u32;
    let image = image::GrayImage::from_raw(side, side, picture(class, seed)).expect("as many bytes as pixels");
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("PNG in memory");
    bytes.into_inner()
}
