//! A device elsewhere: a server in a process of its own, over a piece of network that the test makes slow, narrow or broken.

#[cfg(unix)]
use crate::support::signal;
use crate::{
    relay,
    support::{Place, has, write_idx},
};
use kindling::train::{Event, History};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const TOKEN: &str = "a-token-for-tests";

/// A network that takes a moment for a step, and whose run is saved often.
const RUN: &str = "--data digits --model custom --stages 1,1 --widths 8,16 --set batch_size=32 --set crop_padding=1 \
                   --set lr=0.1 --set checkpoint_seconds=0.1 --json";

/// A process that is killed at the end.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server.
struct Served {
    child: Killed,
    /// As it printed it.
    line: String,
}

impl Served {
    fn start(place: &Place, device: &str, how: &str) -> Self {
        let line = format!("serve --device {device} --token {TOKEN} {how}");
        let mut command: Command = place.command(line.split_whitespace());
        let mut child = command.stderr(Stdio::null()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next().expect("a line").expect("text");
        Self { child: Killed(child), line }
    }

    fn over_websocket(place: &Place, device: &str) -> Self {
        Self::start(place, device, "--websocket 127.0.0.1:0")
    }

    /// Where it listens.
    fn address(&self) -> SocketAddr {
        let (_, place) = self.line.split_once('@').expect("an address");
        place.split('/').next().expect("a host").parse().expect("an address")
    }
}

fn has_gpu(place: &Place) -> bool {
    let devices = place.run("devices --json").good().json();
    has("gpu", devices.iter().any(|d| d["device"] != "cpu" && d["problem"].is_null()), "there is no GPU adapter")
}

fn place() -> Place {
    let place = Place::new();
    write_idx(&place.path("digits"), 400, 80);
    place
}

/// Its weights in the end.
fn weights(place: &Place, run: &str) -> Vec<u8> {
    fs::read(place.path(run).join("last.safetensors")).expect("weights")
}

fn through(port: u16) -> String {
    format!("remote:ws://{TOKEN}@127.0.0.1:{port}")
}

/// How often the log of a run says that the device went away. Where a run goes on from a checkpoint its history forgets what
/// came after, but its file does not.
fn told(place: &Place, run: &str) -> usize {
    let log = fs::read_to_string(place.path(run).join("events.jsonl")).unwrap_or_default();
    log.matches("to go on from the last checkpoint").count()
}

#[test]
fn a_run_elsewhere_ends_with_the_weights_of_one_here_and_answers_alike() {
    for device in ["cpu", "gpu"] {
        let place = place();
        if device == "gpu" && !has_gpu(&place) {
            continue;
        }
        let served = Served::over_websocket(&place, device);
        place.run(&format!("train {RUN} --epochs 2 --device {device} --run here")).good();
        place.run(&format!("train {RUN} --epochs 2 --device {} --run there", served.line)).good();
        assert!(weights(&place, "here") == weights(&place, "there"), "trained on {device}");
        let [here, there] = [device, &served.line]
            .map(|device| place.run(&format!("eval here --device {device} --json")).good().last());
        assert_eq!(here["accuracy"], there["accuracy"]);
        assert_eq!(here["loss"], there["loss"], "evaluated on {device}");
    }
}

#[test]
fn who_serves_and_who_is_served_are_told_in_one_line_what_is_wrong() {
    let place = place();
    let served = Served::over_websocket(&place, "cpu");
    let port = served.address().port();
    for (device, why) in [
        (format!("remote:ws://another-token-1@127.0.0.1:{port}"), "the token is wrong"),
        (format!("{}/gpu:9", through(port)), "has no device “gpu:9”, but cpu"),
        (through(1), "is `kindling serve` running there?"),
        ("remote:box:4000".to_owned(), "copy the line that `kindling serve` prints"),
    ] {
        let ran = place.run(&format!("train {RUN} --epochs 1 --device {device} --run nothing"));
        assert_ne!(ran.status, Some(0));
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert!(!ran.stderr.contains(TOKEN) && !ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert!(!place.path("nothing").exists());
    }
    let second = place.run(&format!("serve --token {TOKEN} --websocket 127.0.0.1:{port}"));
    assert!(second.status == Some(1) && second.stderr.contains("choose another --websocket"), "{}", second.stderr);
    let other = place.run(&format!("serve --token {TOKEN} --websocket 127.0.0.1:0 --device {}", through(port)));
    assert!(other.stderr.contains("of its own machine"), "{}", other.stderr);
}

/// Runs on while `disturb` does its worst, again and again until the run ends; gives how long it took.
fn disturbed(place: &Place, line: &str, mut disturb: impl FnMut(usize) -> Duration) -> Duration {
    let began = Instant::now();
    let child = place.command(line.split_whitespace()).stdout(Stdio::null()).spawn().expect("the binary starts");
    let mut run = Killed(child);
    for turn in 0.. {
        let wait = disturb(turn);
        let since = Instant::now();
        while since.elapsed() < wait {
            if let Some(status) = run.0.try_wait().expect("a child") {
                assert!(status.success(), "{status}");
                return began.elapsed();
            }
            thread::sleep(Duration::from_millis(5));
        }
        assert!(began.elapsed() < Duration::from_secs(600), "it does not come to an end");
    }
    unreachable!("turns do not end")
}

/// How many cuts and kills of the server: few where all tests run, as many as are asked for.
fn rounds() -> [usize; 2] {
    let asked = std::env::var("KINDLING_CUTS").ok();
    let asked = asked.and_then(|text| text.split_once(',').map(|(a, b)| [a.parse().unwrap(), b.parse().unwrap()]));
    asked.unwrap_or([12, 3])
}

#[test]
fn cuts_and_kills_of_the_server_leave_the_weights_of_an_undisturbed_run() {
    let place = Place::new();
    write_idx(&place.path("digits"), 8000, 80);
    let [cuts, kills] = rounds();
    let epochs = 3 * (cuts + kills);
    place.run(&format!("train {RUN} --epochs {epochs} --device cpu --run calm")).good();
    let mut served = Served::over_websocket(&place, "cpu");
    let address = served.address();
    let (port, conditions) = relay::tcp(address);
    let mut left = (cuts, kills);
    let mut random = 12345u32;
    let line = format!("train {RUN} --epochs {epochs} --device {} --run wild", through(port));
    disturbed(&place, &line, |turn| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if turn > 0 && left.1 > 0 && turn % (cuts / kills + 1) == 0 {
            left.1 -= 1;
            let _ = served.child.0.kill();
            let _ = served.child.0.wait();
            served = Served::start(&place, "cpu", &format!("--websocket {address}"));
        } else if turn > 0 && left.0 > 0 {
            left.0 -= 1;
            conditions.cut();
        }
        match left {
            (0, 0) => Duration::from_secs(600),
            _ => Duration::from_millis(400 + u64::from(random >> 16) % 1600),
        }
    });
    assert_eq!(left, (0, 0), "the run was over too soon to be disturbed as often as it should");
    assert!(weights(&place, "calm") == weights(&place, "wild"));
    let told = told(&place, "wild");
    assert!(told > (cuts + kills) / 2, "told {told} times");
}

#[test]
fn a_silent_network_is_noticed_within_five_seconds_and_training_goes_on_behind_it() {
    let place = place();
    let served = Served::over_websocket(&place, "cpu");
    let (port, conditions) = relay::tcp(served.address());
    let line = format!("train {RUN} --epochs 400 --device {} --run run", through(port));
    let mut silent: Option<Instant> = None;
    let mut noticed = None;
    disturbed(&place, &line, |_| {
        let events = fs::read_to_string(place.path("run").join("events.jsonl")).unwrap_or_default();
        let since = match silent {
            None if events.lines().count() > 20 => {
                conditions.silence(true);
                silent = Some(Instant::now());
                Duration::ZERO
            }
            None => Duration::ZERO,
            Some(since) => since.elapsed(),
        };
        if noticed.is_none() && told(&place, "run") > 0 {
            noticed = Some(since);
        }
        if since > Duration::from_secs(10) {
            conditions.silence(false);
        }
        Duration::from_millis(20)
    });
    let noticed = noticed.expect("it was said");
    assert!(noticed < Duration::from_millis(5500), "after {noticed:?}");
}

/// Steps a second of training with batches of one image, by what the log says of the middle of an epoch.
fn pace(place: &Place, device: &str, run: &str) -> f64 {
    let line = "--data digits --model cifar_resnet8 --set batch_size=1 --set checkpoint_seconds=600 --json";
    place.run(&format!("train {line} --epochs 1 --device {device} --run {run}")).good();
    let history = History::read(&place.path(run).join("events.jsonl")).expect("a log");
    let steps: Vec<(u64, f64)> = history
        .branches
        .values()
        .flat_map(|branch| branch.lines())
        .filter_map(|line| match line.event {
            Event::Step { step, seconds, .. } => Some((step, seconds)),
            _ => None,
        })
        .collect();
    let (first, last) = (steps[2], steps[steps.len() - 2]);
    (last.0 - first.0) as f64 / (last.1 - first.1)
}

#[test]
fn steps_of_milliseconds_wait_for_no_network() {
    let place = Place::new();
    write_idx(&place.path("digits"), 5000, 20);
    let served = Served::over_websocket(&place, "cpu");
    let (port, conditions) = relay::tcp(served.address());
    // The machine may be busy with something else just then.
    let mut best: f64 = 0.0;
    for round in 0..3 {
        conditions.set(Duration::ZERO, 0);
        let near = pace(&place, &through(port), &format!("near{round}"));
        conditions.set(Duration::from_millis(20), 100_000_000);
        let far = pace(&place, &through(port), &format!("far{round}"));
        println!("{near:.0} steps/s near, {far:.0} steps/s with 20 ms each way");
        best = best.max(far / near);
        if best >= 0.8 {
            return;
        }
    }
    panic!("{best:.2} of the steps of a network without delay");
}

/// Encrypted, and found by its identity. A relay of the test's own would be of no use: both sides find the way around it.
#[cfg(unix)]
#[test]
fn a_server_that_is_silent_for_ten_seconds_costs_no_result_over_an_encrypted_network_either() {
    let place = Place::new();
    write_idx(&place.path("digits"), 8000, 80);
    let free = UdpSocket::bind("0.0.0.0:0").expect("a port").local_addr().expect("an address").port();
    let served = Served::start(&place, "cpu", &format!("--relay none --port {free}"));
    place.run(&format!("train {RUN} --epochs 40 --device cpu --run calm")).good();
    let line = format!("train {RUN} --epochs 40 --device {} --run wild", served.line);
    disturbed(&place, &line, |turn| {
        match turn {
            1 => signal(&served.child.0, "STOP"),
            2 => signal(&served.child.0, "CONT"),
            _ => {}
        }
        Duration::from_secs(if turn == 0 { 1 } else { 10 })
    });
    assert!(weights(&place, "calm") == weights(&place, "wild"));
    assert!(told(&place, "wild") > 0, "it was not said");
}

#[test]
fn little_travels_for_a_step() {
    let place = Place::new();
    if !has_gpu(&place) {
        return;
    }
    write_idx(&place.path("digits"), 2560, 80);
    let served = Served::over_websocket(&place, "gpu");
    let (port, conditions) = relay::tcp(served.address());
    let passed = |epochs: usize| {
        let before = conditions.passed();
        let line = "--data digits --model cifar_resnet20 --set batch_size=128 --set checkpoint_seconds=600 --json";
        place.run(&format!("train {line} --epochs {epochs} --device {} --run run{epochs}", through(port))).good();
        let after = conditions.passed();
        (after[0] - before[0], after[1] - before[1])
    };
    // The images travel with the first run.
    passed(2);
    // Of epochs more: what a run begins and ends with is not counted.
    let (one, three, steps) = (passed(1), passed(3), 40);
    let (there, back) = ((three.0 - one.0) / steps, (three.1 - one.1) / steps);
    println!("{there} bytes a step to the device, {back} from it");
    assert!(there <= 20_000, "{there} bytes a step");
}
