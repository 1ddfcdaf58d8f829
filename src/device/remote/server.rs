//! The server's side: who is let in, what is kept for them, and who does what they call for.
//!
//! Each session of burn's has a thread of its own, on which all that its client asks for is done in order, so what belongs
//! to a client lives there and goes with it.

use super::{
    About, Content, Offered, Token,
    message::{Answer, Failure, Introduction, Message, OPERATION, decode, encode},
    wire,
};
use crate::{device::unless_lost, format};
use burn::backend::{Flex, FlexDevice};
use burn_remote::{
    IrohIdentity, IrohRelays,
    server::{AuthorizationRequest, BackendServer, IrohTransport, WebSocketTransport},
};
use sha2::{Digest, Sha256};
use std::{
    cell::RefCell,
    collections::HashMap,
    net::TcpListener,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Does what a client calls for, in order, on the client's thread.
pub(crate) trait Handler {
    /// `kept` gives bytes that the server has.
    ///
    /// # Errors
    /// Why it can't be done. After that nothing more is done for the client.
    fn call(&mut self, call: &[u8], kept: &dyn Fn(Content) -> Option<Arc<Vec<u8>>>) -> Result<Vec<u8>, String>;
}

/// Makes a handler for a client on the device of that name.
type Open = dyn Fn(&str) -> Result<Box<dyn Handler>, String> + Send + Sync;

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Clients that use a device at a time.
    pub clients: usize,
    /// Bytes that are kept for all of them.
    pub kept: u64,
    /// How long each may use a device.
    pub time: Option<Duration>,
}

/// How clients come.
pub(crate) enum Transport {
    /// Unencrypted, for one's own network.
    WebSocket(TcpListener),
    /// Encrypted; reached by its identity.
    Iroh { identity: Box<IrohIdentity>, port: u16, relays: Box<IrohRelays> },
}

/// Why a server does not start, or stops.
pub(super) type ServeError = burn_remote::server::ServeError;

/// A server that is about to start.
pub(crate) struct Server {
    shared: Arc<Shared>,
    token: Token,
}

struct Shared {
    about: About,
    limits: Limits,
    open: Box<Open>,
    clients: AtomicUsize,
    kept: Kept,
}

impl Server {
    /// `open` is called on the thread of the client that wants a device.
    pub(crate) fn new(
        about: About,
        token: Token,
        limits: Limits,
        open: impl Fn(&str) -> Result<Box<dyn Handler>, String> + Send + Sync + 'static,
    ) -> Self {
        let kept = Kept { most: limits.kept, all: Mutex::default() };
        let shared = Shared { about, limits, open: Box::new(open), clients: AtomicUsize::new(0), kept };
        Self { shared: Arc::new(shared), token }
    }

    /// Serves until the future is dropped. To be polled within a runtime of tokio's.
    pub(crate) fn serve(self, transport: Transport) -> impl Future<Output = Result<(), ServeError>> + Send + 'static {
        let Self { shared, token } = self;
        let token = Sha256::digest(token.as_str());
        let authorize = move |request: AuthorizationRequest<'_>| {
            // What is behind the colon only tells sessions apart. Digests take as long to compare whatever is wrong.
            let told = request.credential.as_bytes().split(|byte| *byte == b':').next().unwrap_or_default();
            let right = Sha256::digest(told) == token;
            right.then_some(()).ok_or_else(|| format!("{} has another token", request.client))
        };
        let server = BackendServer::<Flex>::new([FlexDevice]).with_authorizer(authorize).with_custom_op(
            OPERATION,
            move |handles, operation, _| {
                if let Some(message) = wire::received(handles, operation) {
                    let answer: Answer = SESSION.with_borrow_mut(|session| {
                        let session = session.get_or_insert_with(|| Session::new(shared.clone()));
                        session.take(&message).map(serde_bytes::ByteBuf::from)
                    });
                    wire::answer(handles, operation, encode(&answer));
                }
            },
        );
        match transport {
            Transport::WebSocket(listener) => {
                Box::pin(server.serve_async(WebSocketTransport::from_listener(listener))) as Serving
            }
            Transport::Iroh { identity, port, relays } => {
                Box::pin(server.serve_async(IrohTransport::new(*identity).with_port(port).with_relays(*relays)))
            }
        }
    }
}

type Serving = std::pin::Pin<Box<dyn Future<Output = Result<(), ServeError>> + Send>>;

thread_local! {
    /// Of the client whose thread this is.
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// What belongs to one session of a client.
struct Session {
    shared: Arc<Shared>,
    since: Instant,
    work: Option<Work>,
    /// Bytes of which not all have come.
    coming: HashMap<Content, Vec<u8>>,
    /// Why nothing more is done.
    failed: Option<Failure>,
}

/// A client's work on a device.
struct Work {
    handler: Box<dyn Handler>,
    _place: Place,
}

/// One of the places for clients.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Result<Self, String> {
        let taken = Self(shared.clone());
        let before = shared.clients.fetch_add(1, Ordering::Relaxed);
        match before < shared.limits.clients {
            true => Ok(taken),
            false => Err(format!("all of the server's places are taken ({})", shared.limits.clients)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, since: Instant::now(), work: None, coming: HashMap::new(), failed: None }
    }

    /// Does what a message asks for. What fails, or panics, is the last that is done.
    fn take(&mut self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        let work = || decode(message).and_then(|message| self.obey(message));
        let done = match catch_unwind(AssertUnwindSafe(|| unless_lost(work))) {
            Ok(Ok(done)) => done.map_err(Failure::from),
            Ok(Err(lost)) => Err(Failure::lost(lost.to_string())),
            Err(panic) => Err(fault(&*panic).into()),
        };
        if let Err(failure) = &done {
            tracing::warn!("a client's work ends: {}", failure.reason);
            self.failed = Some(failure.clone());
            self.work = None;
        }
        done
    }

    fn obey(&mut self, message: Message) -> Result<Vec<u8>, String> {
        let shared = self.shared.clone();
        match message {
            Message::About => return Ok(encode(&Introduction::of(&shared.about))),
            // What was called for before is done.
            Message::Ping | Message::Mark => {}
            Message::Open { device } => {
                let offered = shared.about.offered(device.as_deref())?;
                let place = Place::take(&shared)?;
                self.work = Some(Work { handler: (shared.open)(&offered.name)?, _place: place });
                tracing::info!("a client works on {}", offered.name);
                return Ok(encode(offered));
            }
            Message::Has(content) => return Ok(vec![u8::from(shared.kept.get(content).is_some())]),
            Message::Store { content, total, piece } => self.store(content, total, &piece)?,
            Message::Call(call) => {
                if let Some(most) = shared.limits.time.filter(|most| self.since.elapsed() > *most) {
                    return Err(format!(
                        "the server gives a client {} and no more",
                        format::duration(most.as_secs_f64())
                    ));
                }
                let work = self.work.as_mut().ok_or("no device was opened")?;
                return work.handler.call(&call, &|content| shared.kept.get(content));
            }
            Message::Close => self.work = None,
        }
        Ok(Vec::new())
    }

    fn store(&mut self, content: Content, total: u64, piece: &[u8]) -> Result<(), String> {
        let most = self.shared.limits.kept;
        let coming: u64 = self.coming.values().map(|bytes| bytes.len() as u64).sum();
        if total > most || coming + piece.len() as u64 > most {
            return Err(format!("the server keeps {} of images and no more", format::bytes(most)));
        }
        let bytes = self.coming.entry(content).or_default();
        bytes.extend_from_slice(piece);
        if bytes.len() as u64 >= total
            && let Some(bytes) = self.coming.remove(&content)
        {
            if Content::of(&bytes) != content {
                return Err("the images came to harm on their way".to_owned());
            }
            self.shared.kept.put(content, bytes);
        }
        Ok(())
    }
}

fn fault(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("a fault on the server ({})", text.unwrap_or("unknown"))
}

impl About {
    /// The device of a name, or the best one.
    fn offered(&self, name: Option<&str>) -> Result<&Offered, String> {
        let is = |offered: &&Offered| match name {
            None => true,
            Some("gpu") => offered.adapter.is_some(),
            Some(name) => offered.name == name,
        };
        self.devices.iter().find(is).ok_or_else(|| {
            let names: Vec<_> = self.devices.iter().map(|offered| offered.name.as_str()).collect();
            format!("it has no device “{}”, but {}", crate::text::foreign(name.unwrap_or_default()), names.join(", "))
        })
    }
}

/// Bytes by their content, those that were asked for last at the end.
struct Kept {
    most: u64,
    all: Mutex<Vec<(Content, Arc<Vec<u8>>)>>,
}

impl Kept {
    fn get(&self, content: Content) -> Option<Arc<Vec<u8>>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(other, _)| *other == content)?;
        let found = all.remove(at);
        let bytes = found.1.clone();
        all.push(found);
        Some(bytes)
    }

    /// What has no room any more goes, the oldest first; whoever works with it still has it.
    fn put(&self, content: Content, bytes: Vec<u8>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((content, Arc::new(bytes)));
        let mut held: u64 = all.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        while held > self.most && all.len() > 1 {
            held -= all.remove(0).1.len() as u64;
        }
    }
}
