//! A piece of network between a client and a server: it delays, it is narrow, and it is cut when the test says so.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// Bytes that may be under way in one direction before whoever sends has to wait.
const CHUNKS_UNDER_WAY: usize = 512;
const CHUNK: usize = 8 << 10;

/// What the piece of network is like.
#[derive(Default)]
pub(crate) struct Conditions {
    /// In each direction, in microseconds.
    delay: AtomicU64,
    /// Bits a second in each direction; as many as there are where it is 0.
    width: AtomicU64,
    silent: AtomicBool,
    /// Bytes from the client, and to it.
    passed: [AtomicU64; 2],
    connections: Mutex<Vec<TcpStream>>,
}

impl Conditions {
    /// What travels takes so long from now on, and at most so many bits a second pass.
    pub(crate) fn set(&self, delay: Duration, bits_per_s: u64) {
        self.delay.store(delay.as_micros() as u64, Relaxed);
        self.width.store(bits_per_s, Relaxed);
    }

    /// Ends all connections there are.
    pub(crate) fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// While it is silent nothing passes, and nobody is told: new connections are taken and lead nowhere.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.store(silent, Relaxed);
    }

    /// Bytes that have passed from the client, and to it.
    pub(crate) fn passed(&self) -> [u64; 2] {
        [0, 1].map(|way| self.passed[way].load(Relaxed))
    }

    /// When what came now is to go on, on a way that is free then.
    fn due(&self, bytes: usize, free: &mut Instant) -> Instant {
        let width = self.width.load(Relaxed);
        let takes = if width == 0 { 0.0 } else { bytes as f64 * 8.0 / width as f64 };
        *free = (*free).max(Instant::now()) + Duration::from_secs_f64(takes);
        *free + Duration::from_micros(self.delay.load(Relaxed))
    }

    fn wait(&self, due: Instant) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        while self.silent.load(Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A relay for TCP. Gives the port that it listens on.
pub(crate) fn tcp(server: SocketAddr) -> (u16, Arc<Conditions>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, conditions) = (listener.local_addr().unwrap().port(), Arc::<Conditions>::default());
    let shared = conditions.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            let shared = shared.clone();
            thread::spawn(move || {
                while shared.silent.load(Relaxed) {
                    thread::sleep(Duration::from_millis(5));
                }
                // Where there is no server the client is told so.
                let Ok(server) = TcpStream::connect(server) else { return };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                    shared.connections.lock().unwrap().push(stream.try_clone().unwrap());
                }
                pump(client.try_clone().unwrap(), server.try_clone().unwrap(), 0, &shared);
                pump(server, client, 1, &shared);
            });
        }
    });
    (port, conditions)
}

fn pump(mut from: TcpStream, mut to: TcpStream, way: usize, conditions: &Arc<Conditions>) {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(CHUNKS_UNDER_WAY);
    let reading = conditions.clone();
    thread::spawn(move || {
        let (mut buffer, mut free) = (vec![0; CHUNK], Instant::now());
        while let Ok(length) = from.read(&mut buffer)
            && length > 0
        {
            let due = reading.due(length, &mut free);
            if sender.send((due, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    let writing = conditions.clone();
    thread::spawn(move || {
        for (due, bytes) in receiver {
            writing.wait(due);
            writing.passed[way].fetch_add(bytes.len() as u64, Relaxed);
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
