//! What a measurement and the window share: inputs on their way, orders for the window, and when each frame came.
//!
//! The script runs on a thread of its own, as a user's hands do: it does not wait for the window, and what it does is
//! stamped with the time at which it was done.

use crate::app::window::Window;
use anyhow::{Context as _, bail};
use eframe::egui::{self, Context, Event, RawInput, Rect, Role};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

/// Something that the window does between two frames.
type Order = Box<dyn FnOnce(&mut Window) + Send>;

/// How long the window may take to answer before it counts as stuck.
const MAX_ANSWER_WAIT: Duration = Duration::from_secs(30);

/// One frame of the window.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub began: Instant,
    /// From the beginning until everything is laid out, tessellated and handed to the painter.
    pub laid_out: Option<Duration>,
    /// When the painter had drawn it.
    pub drawn: Option<Instant>,
    pub inputs: Vec<Input>,
    /// Whether it belongs to what is measured.
    pub counts: bool,
}

/// When an input was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub made: Instant,
    /// Whether its effect shows only in the frame after: what a button does is done at the end of a frame.
    pub settles: bool,
}

/// Where a control stands, by what a screen reader calls it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub role: Role,
    pub name: String,
    pub rect: Rect,
}

#[derive(Default)]
struct Shared {
    inputs: Vec<(Input, Event)>,
    orders: Vec<Order>,
    frames: Vec<Frame>,
    looking: Option<mpsc::Sender<Vec<Place>>>,
    counting: bool,
    closed: bool,
}

/// See the module.
pub(crate) struct Driver {
    pub ctx: Context,
    shared: Mutex<Shared>,
    begun: Condvar,
}

impl Driver {
    pub(crate) fn new(ctx: &Context) -> Arc<Self> {
        Arc::new(Self { ctx: ctx.clone(), shared: Mutex::default(), begun: Condvar::new() })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // A panic elsewhere leaves lists that are still lists.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an event to the window, as if the user had made it now.
    pub(crate) fn input(&self, event: Event, settles: bool) {
        self.shared().inputs.push((Input { made: Instant::now(), settles }, event));
        self.ctx.request_repaint();
    }

    /// Lets the window do something and waits for what it says.
    pub(crate) fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Window) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let (send, answer) = mpsc::channel();
        self.shared().orders.push(Box::new(move |window| {
            // Whoever asked may have run out of patience.
            let _ = send.send(order(window));
        }));
        self.ctx.request_repaint();
        self.wait(&answer)
    }

    /// Where everything in the window stands.
    pub(crate) fn look(&self) -> anyhow::Result<Vec<Place>> {
        let (send, answer) = mpsc::channel();
        self.ctx.enable_accesskit();
        self.shared().looking = Some(send);
        self.ctx.request_repaint();
        let places = self.wait(&answer);
        self.ctx.disable_accesskit();
        places
    }

    fn wait<T>(&self, answer: &mpsc::Receiver<T>) -> anyhow::Result<T> {
        let deadline = Instant::now() + MAX_ANSWER_WAIT;
        loop {
            match answer.recv_timeout(Duration::from_millis(200)) {
                Ok(answer) => return Ok(answer),
                Err(_) if self.is_closed() => bail!("the window was closed before everything was measured"),
                Err(_) if Instant::now() > deadline => {
                    bail!("the window does not draw: let it stand in front, not minimised")
                }
                Err(_) => {}
            }
        }
    }

    /// Whether frames from now on belong to what is measured.
    pub(crate) fn count(&self, counting: bool) {
        self.shared().counting = counting;
    }

    /// All frames so far.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.shared().frames.clone()
    }

    /// Frames that began between two moments.
    pub(crate) fn frames_between(&self, from: Instant, to: Instant) -> usize {
        self.shared().frames.iter().filter(|frame| (from..to).contains(&frame.began)).count()
    }

    /// Waits until no frame has come for `calm`, at most `longest`.
    pub(crate) fn settle(&self, calm: Duration, longest: Duration) {
        let begun = Instant::now();
        loop {
            let since = self.shared().frames.last().map_or(begun, |frame| frame.began).elapsed();
            if since >= calm || begun.elapsed() >= longest {
                return;
            }
            std::thread::sleep(calm.saturating_sub(since));
        }
    }

    pub(crate) fn close(&self) {
        self.shared().closed = true;
        self.begun.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared().closed
    }
}

/// What the window calls.
impl Driver {
    /// A frame begins: it gets the inputs that wait. Returns its number.
    pub(crate) fn begin(&self, raw: &mut RawInput) -> usize {
        let mut shared = self.shared();
        let (inputs, events): (Vec<Input>, Vec<Event>) = std::mem::take(&mut shared.inputs).into_iter().unzip();
        raw.events.extend(events);
        let counts = shared.counting;
        shared.frames.push(Frame { began: Instant::now(), laid_out: None, drawn: None, inputs, counts });
        self.begun.notify_all();
        shared.frames.len() - 1
    }

    pub(crate) fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.shared().orders)
    }

    pub(crate) fn laid_out(&self, frame: usize) {
        if let Some(frame) = self.shared().frames.get_mut(frame) {
            frame.laid_out = Some(frame.began.elapsed());
        }
    }

    pub(crate) fn drawn(&self, frame: usize) {
        if let Some(frame) = self.shared().frames.get_mut(frame) {
            frame.drawn = Some(Instant::now());
        }
    }

    /// Waits until a frame is being drawn, or some time has passed; returns whether one is.
    pub(crate) fn wait_for_drawing(&self) -> bool {
        let drawing = |shared: &Shared| shared.frames.last().is_some_and(|frame| frame.drawn.is_none());
        let shared = self.shared();
        if drawing(&shared) || shared.closed {
            return true;
        }
        let waited = self.begun.wait_timeout(shared, Duration::from_millis(200));
        drawing(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Hears what a screen reader would get, where somebody looks.
    fn seen(&self, update: &egui::accesskit::TreeUpdate) {
        let Some(send) = self.shared().looking.take() else { return };
        let place = |(_, node): &(egui::accesskit::NodeId, egui::accesskit::Node)| {
            let bounds = node.bounds()?;
            let name = node.label().or(node.value())?.to_owned();
            let corner = |x: f64, y: f64| egui::pos2(x as f32, y as f32);
            let rect = Rect::from_min_max(corner(bounds.x0, bounds.y0), corner(bounds.x1, bounds.y1));
            Some(Place { role: node.role(), name, rect })
        };
        let _ = send.send(update.nodes.iter().filter_map(place).collect());
    }
}

/// Gives the driver what a screen reader would get.
pub(crate) struct Looker(pub Arc<Driver>);

impl egui::Plugin for Looker {
    fn debug_name(&self) -> &'static str {
        "looker"
    }

    fn output_hook(&mut self, _: &Context, output: &mut egui::FullOutput) {
        if let Some(update) = &output.platform_output.accesskit_update {
            self.0.seen(update);
        }
    }
}

/// The middle of the control called `name`, the first of that `role` if one is given.
pub(crate) fn find(places: &[Place], role: Option<Role>, name: &str) -> anyhow::Result<egui::Pos2> {
    let fits = |place: &&Place| place.name == name && role.is_none_or(|role| place.role == role);
    let place = places.iter().find(fits);
    Ok(place.with_context(|| format!("the window shows no control called “{name}”"))?.rect.center())
}
