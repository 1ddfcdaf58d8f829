//! A device elsewhere that goes away: its client says so, tries again until it is there, and goes on from the last
//! checkpoint, as whoever resumes the run would.

use super::Worker;
use crate::{
    device::{self, Choice, Compute, DeviceError, remote::LinkError, unless_lost},
    session::{Command, SessionError, Setup, View, message::Channels},
    train::run_folder::RunFolder,
};
use std::{
    collections::VecDeque,
    rc::Rc,
    sync::{
        Arc, PoisonError,
        mpsc::{self, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

/// What is to be done when the device is there again.
type Orders = VecDeque<Command>;

/// Between two tries.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at what is ordered meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Trains to the end, however often a device elsewhere goes away.
pub(in crate::session) fn run(setup: Setup, channels: Channels) -> Result<(), SessionError> {
    let channels = Rc::new(channels);
    let mut again = setup.to_go_on();
    let mut worker = unless_lost(|| Worker::start(setup, channels.clone()))??;
    loop {
        let reason = match unless_lost(|| worker.train()) {
            Ok(Err(SessionError::DeviceLost(reason))) | Err(DeviceError::Lost(reason)) if again.device.is_remote() => {
                reason
            }
            Err(DeviceError::Lost(reason)) => return Err(SessionError::DeviceLost(reason)),
            Err(other) => return Err(other.into()),
            Ok(ended) => return ended,
        };
        worker.warn(format!("{reason}; it is tried again, to go on from the last checkpoint"));
        worker.shown.status = "Waiting for the device".to_owned();
        worker.publish();
        let paused = worker.paused.then_some(Command::Pause);
        let pending = std::mem::take(&mut worker.pending).into_iter();
        let pending = pending.map(|(key, value)| Command::Set { key: key.to_owned(), value });
        let mut orders: Orders = std::mem::take(&mut worker.kept).into_iter().chain(pending).chain(paused).collect();
        drop(worker);
        again.recipe = RunFolder::open(&again.run_dir).and_then(|run| run.read_recipe())?;
        worker = start_again(&again, &channels, &reason, &mut orders)?;
        worker.kept = orders;
    }
}

/// Opens the device as soon as it is there, and goes on.
fn start_again(
    setup: &Setup,
    channels: &Rc<Channels>,
    reason: &str,
    orders: &mut Orders,
) -> Result<Worker, SessionError> {
    loop {
        // Held, so that the run gets the very same way to it.
        let _open = wait_for_device(setup.device, channels, reason, orders)?;
        match unless_lost(|| Worker::start(setup.to_go_on(), channels.clone())) {
            Err(error) | Ok(Err(SessionError::Device(error))) if passes(&error) => {}
            Err(other) => return Err(other.into()),
            Ok(started) => return started,
        }
    }
}

/// Whether trying again may help.
fn passes(error: &DeviceError) -> bool {
    use LinkError::{Token, Version};
    !matches!(error, DeviceError::Remote(Token { .. } | Version { .. }) | DeviceError::Refused(_))
}

/// Tries until the device is open. Ends with the reason where that is ordered, or where trying does not help.
fn wait_for_device(
    device: Choice,
    channels: &Channels,
    reason: &str,
    orders: &mut Orders,
) -> Result<Compute, SessionError> {
    loop {
        let (send, opened) = mpsc::channel();
        let trying =
            std::thread::Builder::new().name("open".into()).spawn(move || drop(send.send(device::open(device))));
        trying.map_err(SessionError::NoThread)?;
        let error = loop {
            heed(channels, reason, orders)?;
            match opened.recv_timeout(LOOK) {
                Ok(Ok(compute)) => return Ok(compute),
                Ok(Err(error)) => break error,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break DeviceError::Lost(reason.to_owned()),
            }
        };
        if !passes(&error) {
            return Err(error.into());
        }
        say(channels, format!("Waiting for the device: {error}"));
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            heed(channels, reason, orders)?;
            std::thread::sleep(LOOK);
        }
    }
}

/// Looks at what is ordered: whoever stops the run needs not wait for the device. Everything else does.
fn heed(channels: &Channels, reason: &str, orders: &mut Orders) -> Result<(), SessionError> {
    loop {
        match channels.commands.try_recv() {
            Ok(Command::Stop) | Err(TryRecvError::Disconnected) => {
                return Err(SessionError::DeviceLost(reason.to_owned()));
            }
            Ok(order) => orders.push_back(order),
            Err(TryRecvError::Empty) => return Ok(()),
        }
    }
}

fn say(channels: &Channels, status: String) {
    let mut latest = channels.view.lock().unwrap_or_else(PoisonError::into_inner);
    *latest = Arc::new(View { status, ..View::clone(&latest) });
}
