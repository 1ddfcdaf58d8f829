//! The client's side: calls go out in their order, answers come back in it, and somebody listens whether the server is still
//! there.

use super::{
    About, Address, Content, Host, Offered,
    message::{Answer, Failure, Introduction, Message, VERSION, decode, encode},
    wire::{self, Answering},
};
use crate::device::{lost, refused};
use burn_remote::{ConnectError, EndpointAddr, HostSpec, IrohHost, RemoteDevice};
use std::{
    net::{TcpStream, ToSocketAddrs},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(4);
/// Between two questions whether it is there.
const BETWEEN_PINGS: Duration = Duration::from_secs(1);
/// How long a server may take to open a device.
const OPENING: Duration = Duration::from_secs(60);
/// How long it may take to reach a server.
const REACHING: Duration = Duration::from_secs(20);
/// Bytes that are kept on the server travel in pieces of this many.
const PIECE: usize = 4 << 20;
/// Pieces under way at a time.
const PIECES: usize = 3;

/// Why there is no link. Each reads as one line.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    #[error("{host}: the token is wrong; copy the line that `kindling serve` prints there")]
    Token { host: String },
    #[error("{host} runs Kindling {theirs} and this is {VERSION}: use the same version on both machines")]
    Version { host: String, theirs: String },
    #[error("{host} can't be reached: {reason}; is `kindling serve` running there?")]
    Unreachable { host: String, reason: String },
    #[error("{host}: {reason}")]
    Refused { host: String, reason: String },
    #[error("the system gives no more threads ({0})")]
    NoThread(Arc<std::io::Error>),
}

/// A way to a device elsewhere, for as long as it is not cut. Dropping it tells the server that nobody needs the device any
/// more.
pub(crate) struct Link {
    state: Arc<State>,
    jobs: mpsc::Sender<Job>,
    about: About,
    offered: Offered,
    host: String,
    ids: AtomicU64,
}

/// What the threads of a link share.
#[derive(Default)]
struct State {
    cut: OnceLock<String>,
    /// In microseconds: the shortest of late.
    latency: AtomicU64,
}

impl State {
    fn cut(&self, reason: impl Into<String>) {
        let _ = self.cut.set(reason.into());
    }
}

struct Job {
    message: Vec<u8>,
    answer: Option<mpsc::Sender<Vec<u8>>>,
}

/// An answer that is on its way.
pub(crate) struct Pending {
    state: Arc<State>,
    host: String,
    answer: mpsc::Receiver<Vec<u8>>,
}

impl Pending {
    /// The answer, if it is there.
    ///
    /// # Errors
    /// What the server says that went wrong.
    pub(crate) fn poll(&self) -> Option<Result<Vec<u8>, Failure>> {
        self.answer.try_recv().ok().map(read)
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// What the server says that went wrong, or that the connection is cut.
    pub(crate) fn wait(self) -> Result<Vec<u8>, Failure> {
        self.wait_for(Duration::MAX)
    }

    /// [`Pending::wait`], but not for longer than this.
    fn wait_for(self, most: Duration) -> Result<Vec<u8>, Failure> {
        let since = Instant::now();
        loop {
            if since.elapsed() > most {
                return Err(Failure::lost(format!("{} does not answer", self.host)));
            }
            match self.answer.recv_timeout(Duration::from_millis(20)) {
                Ok(answer) => return read(answer),
                Err(mpsc::RecvTimeoutError::Timeout) if self.state.cut.get().is_none() => {}
                Err(_) => return Err(Failure::lost(self.state.cut.get().cloned().unwrap_or_else(|| gone(&self.host)))),
            }
        }
    }
}

fn gone(host: &str) -> String {
    format!("the connection to {host} is cut")
}

fn read(answer: Vec<u8>) -> Result<Vec<u8>, Failure> {
    decode::<Answer>(&answer)?.map(serde_bytes::ByteBuf::into_vec)
}

impl Link {
    /// Opens the device that an address means. Waits until it is open, for seconds where nobody answers.
    ///
    /// # Errors
    /// [`LinkError`]
    pub(crate) fn open(address: &Address) -> Result<Arc<Self>, LinkError> {
        let host = address.host.to_string();
        let state = Arc::<State>::default();
        let work = Line::open(address, &state)?;
        let refused = |reason| LinkError::Refused { host: host.clone(), reason };
        let ask = |message: &Message| work.ask(message).wait_for(OPENING).map_err(|failure| failure.reason);
        let introduction = ask(&Message::About).and_then(|bytes| decode::<Introduction>(&bytes)).map_err(refused)?;
        if introduction.version != VERSION {
            return Err(LinkError::Version { host, theirs: introduction.version });
        }
        let about: About = decode(&introduction.about).map_err(refused)?;
        let opened = ask(&Message::Open { device: address.device.clone() }).and_then(|bytes| decode::<Offered>(&bytes));
        let offered = opened.map_err(refused)?;
        let Line { jobs, .. } = work;
        let link = Arc::new(Self { state: state.clone(), jobs, about, offered, host, ids: AtomicU64::new(1) });
        watch(Line::open(address, &state)?, Arc::downgrade(&link))?;
        Ok(link)
    }

    /// What the server is.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// The device.
    pub(crate) fn offered(&self) -> &Offered {
        &self.offered
    }

    /// Who the server is, for people.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Why the link is of no more use, once it is not.
    pub(crate) fn cut(&self) -> Option<&str> {
        self.state.cut.get().map(String::as_str)
    }

    /// From a question to its answer, of late.
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_micros(self.state.latency.load(Ordering::Relaxed))
    }

    /// From a question to its answer, now: the shortest of three.
    ///
    /// # Errors
    /// Where there is no answer.
    pub(crate) fn measured(&self) -> Result<Duration, Failure> {
        let once = || {
            let asked = Instant::now();
            self.mark().wait_for(OPENING).map(|_| asked.elapsed())
        };
        Ok(once()?.min(once()?).min(once()?))
    }

    /// A name for something on the server that no other thing there has.
    pub(crate) fn name(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    fn send(&self, message: &Message, answered: bool) -> Pending {
        send(&self.jobs, &self.state, &self.host, message, answered)
    }

    /// Calls whoever does the work, and goes on.
    pub(crate) fn tell(&self, call: Vec<u8>) {
        self.send(&Message::Call(call), false);
    }

    /// Calls whoever does the work; what it answers comes when all calls before it are done.
    pub(crate) fn ask(&self, call: Vec<u8>) -> Pending {
        self.send(&Message::Call(call), true)
    }

    /// Answered when all calls so far are done.
    pub(crate) fn mark(&self) -> Pending {
        self.send(&Message::Mark, true)
    }

    /// Has the server keep bytes, where it does not have them yet. Waits until it has them.
    ///
    /// # Errors
    /// Where it has no room for them.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Result<Content, String> {
        let content = Content::of(bytes);
        let answer = self.ended(self.send(&Message::Has(content), true))?;
        if answer == [1] {
            return Ok(content);
        }
        let mut under_way = std::collections::VecDeque::new();
        for piece in bytes.chunks(PIECE) {
            let total = bytes.len() as u64;
            under_way.push_back(self.send(&Message::Store { content, total, piece: piece.to_vec() }, true));
            if under_way.len() > PIECES
                && let Some(first) = under_way.pop_front()
            {
                self.ended(first)?;
            }
        }
        under_way.into_iter().try_for_each(|piece| self.ended(piece).map(drop))?;
        Ok(content)
    }

    /// The answer of a server that is there; a loss unwinds.
    fn ended(&self, pending: Pending) -> Result<Vec<u8>, String> {
        pending.wait().map_err(|failure| if failure.lost { self.lose(failure) } else { failure.reason })
    }

    /// The answer. Where there is none that unwinds, and nothing more can be had of this link.
    pub(crate) fn answer(&self, pending: Pending) -> Vec<u8> {
        pending.wait().unwrap_or_else(|failure| self.lose(failure))
    }

    fn lose(&self, Failure { reason, lost: again }: Failure) -> ! {
        self.state.cut(reason.clone());
        if again { lost(reason) } else { refused(reason) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.send(&Message::Close, false);
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.offered.name, self.host)
    }
}

fn send(jobs: &mpsc::Sender<Job>, state: &Arc<State>, host: &str, message: &Message, answered: bool) -> Pending {
    let (sender, answer) = mpsc::channel();
    let message = encode(message);
    // Where the thread is gone the link is cut.
    let _ = jobs.send(Job { message, answer: answered.then_some(sender) });
    Pending { state: state.clone(), host: host.to_owned(), answer }
}

/// A session with the server, and the threads that it takes: burn may block for as long as a socket does, and whoever asks
/// must not.
struct Line {
    jobs: mpsc::Sender<Job>,
    state: Arc<State>,
    host: String,
}

impl Line {
    fn open(address: &Address, state: &Arc<State>) -> Result<Self, LinkError> {
        let device = connect_in_time(address)?;
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (outbox, answers) = mpsc::channel::<(Answering, mpsc::Sender<Vec<u8>>)>();
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
            spawned.map(drop).map_err(|error| LinkError::NoThread(Arc::new(error)))
        };
        spawn(
            "remote",
            Box::new(move || {
                for Job { message, answer } in inbox {
                    let answering = wire::send(&device, message, answer.is_some());
                    if let Some(pair) = answering.zip(answer)
                        && outbox.send(pair).is_err()
                    {
                        return;
                    }
                }
            }),
        )?;
        let (cut, host) = (state.clone(), address.host.to_string());
        let name = host.clone();
        spawn(
            "answers",
            Box::new(move || {
                for (answering, sender) in answers {
                    match cubecl::future::block_on(answering) {
                        // Whoever asked may be gone.
                        Ok(answer) => drop(sender.send(answer)),
                        Err(error) => {
                            tracing::debug!("{name}: {error}");
                            return cut.cut(gone(&name));
                        }
                    }
                }
            }),
        )?;
        Ok(Self { jobs, state: state.clone(), host })
    }

    fn ask(&self, message: &Message) -> Pending {
        send(&self.jobs, &self.state, &self.host, message, true)
    }
}

/// Asks every second, on a thread and a session of its own, whether the server is there, until the link is gone or cut.
fn watch(line: Line, link: Weak<Link>) -> Result<(), LinkError> {
    let work = move || {
        let mut latencies = [Duration::MAX; 4];
        for turn in 0.. {
            let asked = Instant::now();
            let answer = line.ask(&Message::Ping);
            if answer.answer.recv_timeout(SILENCE).is_err() {
                line.state.cut(format!("{} does not answer", line.host));
            }
            latencies[turn % latencies.len()] = asked.elapsed();
            let shortest = latencies.iter().min().copied().unwrap_or_default();
            line.state.latency.store(shortest.as_micros() as u64, Ordering::Relaxed);
            if line.state.cut.get().is_some() || link.strong_count() == 0 {
                return;
            }
            thread::sleep(BETWEEN_PINGS);
        }
    };
    let spawned = thread::Builder::new().name("remote watch".into()).spawn(work);
    spawned.map(drop).map_err(|error| LinkError::NoThread(Arc::new(error)))
}

/// [`connect`], which burn may wait in for ever.
fn connect_in_time(address: &Address) -> Result<RemoteDevice, LinkError> {
    let (send, connected) = mpsc::channel();
    let (theirs, host) = (address.clone(), address.host.to_string());
    let connecting = thread::Builder::new().name("connect".into()).spawn(move || drop(send.send(connect(&theirs))));
    connecting.map_err(|error| LinkError::NoThread(Arc::new(error)))?;
    connected.recv_timeout(REACHING).unwrap_or_else(|_| {
        let reason = format!("no answer in {} s", REACHING.as_secs());
        Err(LinkError::Unreachable { host, reason })
    })
}

/// Opens a session. burn remembers a session by its address and what it was told there, and a cut one is dead for good: so
/// each is told a number behind the token, which the server does not look at.
fn connect(address: &Address) -> Result<RemoteDevice, LinkError> {
    let credential = format!("{}:{:016x}", address.token.as_str(), rand::random::<u64>());
    let host = match &address.host {
        Host::WebSocket(place) => {
            reach(place).map_err(|reason| LinkError::Unreachable { host: place.clone(), reason })?;
            HostSpec::websocket(&format!("ws://{place}"))
        }
        Host::Iroh { id, addresses, relays } => {
            let host = IrohHost::new(EndpointAddr::new(*id)).with_relays(relays.clone());
            HostSpec::iroh(addresses.iter().fold(host, |host, address| host.with_address(*address)))
        }
    };
    host.with_credential(credential.as_str()).connect(0).map_err(|error| {
        let host = address.host.to_string();
        match error {
            ConnectError::Unauthorized => LinkError::Token { host },
            ConnectError::IncompatibleProtocol { .. } => LinkError::Version { host, theirs: "of another time".into() },
            ConnectError::Unreachable { reason } => LinkError::Unreachable { host, reason },
            other => LinkError::Unreachable { host, reason: other.to_string() },
        }
    })
}

/// Whether somebody listens there: burn tries for a quarter of a minute before it says so.
fn reach(place: &str) -> Result<(), String> {
    let mut reason = "no such machine".to_owned();
    for address in place.to_socket_addrs().map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, SILENCE) {
            Ok(_) => return Ok(()),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}
