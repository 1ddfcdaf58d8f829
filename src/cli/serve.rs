//! `kindling serve`: this machine's devices for others.

use super::{Outcome, output};
use crate::{
    device::{
        self, Choice, Compute,
        host::{self, machine_name},
        remote::{About, Address, Host as Place, Limits, Offered, Server, Token, Transport},
    },
    format,
    model::host::Host,
    ops::wgpu::Wgpu,
    session::interrupt,
    text,
};
use anyhow::{Context, bail};
use burn_remote::{IrohIdentity, IrohRelays};
use clap::Args;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    time::Duration,
};

/// What images may stay where the system does not say how much memory it has.
const KEPT: u64 = 4 << 30;
/// What a client may take where nothing is known.
const MEMORY: u64 = 8 << 30;

/// Let other machines train on this one
///
/// Prints one line for each device, to be copied to `--device` on the other machine, or into *Add a remote device…* in
/// its window. Whoever has the line may use the device; it holds a token that stays the same until another is chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct Serve {
    /// Offer this device alone: cpu, gpu or gpu:N [default: all that can be used]
    #[arg(long)]
    device: Option<Choice>,

    /// Serve over a WebSocket, unencrypted, on this address instead: for a network of one's own
    #[arg(long, value_name = "HOST:PORT")]
    websocket: Option<SocketAddr>,

    /// What clients have to know: 12 letters, digits, - and _ or more [default: one that is made at first]
    #[arg(long)]
    token: Option<Token>,

    /// UDP port to be reached at directly; another one for each server of a machine
    #[arg(long, default_value_t = 4917, conflicts_with = "websocket")]
    port: u16,

    /// How clients find this machine from elsewhere: public (relays of n0, who see no content), none, or a relay's URL
    #[arg(long, default_value = "public", conflicts_with = "websocket", value_parser = relays)]
    relay: IrohRelays,

    /// Gigabytes that a client may take of a device [default: what there is]
    #[arg(long, value_name = "GB")]
    memory: Option<f64>,

    /// Clients at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,

    /// Hours that a client may go on
    #[arg(long)]
    hours: Option<f64>,
}

fn relays(text: &str) -> Result<IrohRelays, String> {
    match text {
        "none" => Ok(IrohRelays::Disabled),
        text => text.parse().map_err(|_| "public, none, or the URL of a relay (https://…)".to_owned()),
    }
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let memory = self.memory.map(|gigabytes| (gigabytes.max(0.0) * 1e9) as u64);
        let kept = memory.or_else(|| host::free().map(|free| free / 4)).unwrap_or(KEPT);
        let devices = self.offered(kept)?;
        let token = match &self.token {
            Some(token) => token.clone(),
            None => kept_token()?,
        };
        let time = self.hours.map(|hours| Duration::from_secs_f64((hours.max(0.0) * 3600.0).min(1e9)));
        let limits = Limits { clients: usize::from(self.clients), kept, time };
        let (transport, place) = self.transport()?;
        for offered in &devices {
            let address = Address::new(token.clone(), place.clone()).with_device(&offered.name);
            output::note(format_args!("{}:", offered.description));
            output::line(format_args!("{address}"))?;
        }
        if let Transport::WebSocket(_) = transport {
            output::note("unencrypted: whoever can listen on this network sees the token and the images");
        }
        output::note(format_args!(
            "serving {} at a time; Ctrl+C ends it",
            format::plural(usize::from(self.clients), "client")
        ));
        let about = About { machine: machine_name(), devices };
        let server = Server::new(about, token, limits, move |name| {
            let choice: Choice = name.parse()?;
            let compute = device::open(choice).map_err(|error| error.to_string())?;
            let memory = memory.unwrap_or_else(|| room(&compute));
            Ok(Box::new(Host::new(compute, memory)))
        });
        interrupt::watch();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let serving = runtime.spawn(server.serve(transport));
            while !serving.is_finished() && !interrupt::requested() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            if serving.is_finished() { serving.await?.context("the server ended") } else { Ok(()) }
        })?;
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(Outcome::Interrupted)
    }

    /// The devices that clients may choose from, the best one first.
    fn offered(&self, kept: u64) -> anyhow::Result<Vec<Offered>> {
        if self.device.is_some_and(Choice::is_remote) {
            bail!("a server offers devices of its own machine: cpu, gpu or gpu:N");
        }
        let adapters = device::adapters();
        let choices = match self.device {
            Some(choice) => vec![choice],
            None => {
                let best = device::automatic(&adapters).map(|adapter| adapter.index);
                let usable = adapters.iter().filter(|adapter| adapter.problem.is_none());
                let mut choices: Vec<_> = usable.map(|adapter| Choice::Gpu(adapter.index)).collect();
                choices.sort_by_key(|choice| Some(*choice) != best.map(Choice::Gpu));
                choices.insert(usize::from(best.is_some()), Choice::Cpu);
                choices
            }
        };
        choices.into_iter().map(|choice| Ok(Host::offers(&device::open(choice)?, kept))).collect()
    }

    /// How clients come, and what they are told of it.
    fn transport(&self) -> anyhow::Result<(Transport, Place)> {
        if let Some(address) = self.websocket {
            let listener = TcpListener::bind(address).with_context(|| {
                format!("{address}: no server can listen there; choose another --websocket HOST:PORT")
            })?;
            let address = reachable(listener.local_addr()?);
            return Ok((Transport::WebSocket(listener), Place::WebSocket(address.to_string())));
        }
        // Whether it is free, said before anything is started.
        drop(
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, self.port)).with_context(|| {
                format!("UDP port {}: no server can listen there; choose another --port", self.port)
            })?,
        );
        let identity =
            IrohIdentity::load_or_create(own_folder()?.join("server.key")).context("the server's identity")?;
        let addresses = [self.port].map(|port| reachable((Ipv4Addr::UNSPECIFIED, port).into())).to_vec();
        let place = Place::Iroh { id: identity.id(), addresses, relays: self.relay.clone() };
        Ok((
            Transport::Iroh { identity: Box::new(identity), port: self.port, relays: Box::new(self.relay.clone()) },
            place,
        ))
    }
}

/// Bytes of a device's memory that a client may take where nobody said so.
fn room(compute: &Compute) -> u64 {
    let own = Wgpu::of(compute).filter(|_| !compute.shares_host_memory());
    let own = own.and_then(|gpu| gpu.client.properties().memory.max_memory());
    own.or_else(host::free).unwrap_or(MEMORY)
}

/// An address of this machine that others reach, where it listens on all of them: that of the way out, though nothing is sent.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let way_out = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        Ok(socket.local_addr()?.ip())
    };
    SocketAddr::new(way_out().unwrap_or(Ipv4Addr::LOCALHOST.into()), address.port())
}

/// Where identity and token stay, for this user alone.
fn own_folder() -> anyhow::Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "kindling").context("this user has no folder for settings")?;
    let folder = folders.data_dir().join("server");
    std::fs::create_dir_all(&folder).with_context(|| text::path(&folder))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
            .with_context(|| text::path(&folder))?;
    }
    Ok(folder)
}

/// The token of this machine's servers, made when there is none.
fn kept_token() -> anyhow::Result<Token> {
    let path = own_folder()?.join("token");
    if let Ok(text) = std::fs::read_to_string(&path) {
        return text.trim().parse().map_err(|error: String| anyhow::anyhow!("{}: {error}", text::path(&path)));
    }
    let token = Token::random();
    crate::atomic::write_bytes(&path, token.as_str().as_bytes()).with_context(|| text::path(&path))?;
    Ok(token)
}
