//! The compute devices of this machine: list, pick, describe, probe.
//!
//! Adapters are listed and opened by wgpu itself, so that what is shown is what the driver says, a device that fails
//! can say why, and a lost one is noticed. burn then gets the open device. What the machine itself has of memory says
//! [`host`].

pub(crate) mod host;
mod in_flight;
mod lost;
pub(crate) mod remote;
mod shared;

pub(crate) use in_flight::InFlight;
pub(crate) use lost::{lost, reason as lost_reason, unless_lost};

use crate::format;
use burn::tensor::Device;
use burn_wgpu::{RuntimeOptions, WgpuSetup, try_init_device};
pub use remote::Address;
use remote::{Link, LinkError, Pending};
use serde::{Deserialize, Serialize};
use shared::Shared;
use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

/// Which device to train on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A discrete GPU, else an integrated one, else the CPU; never a software adapter.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The best adapter, a software one when it is the only one.
    BestGpu,
    /// An adapter by its place in [`adapters`].
    Gpu(usize),
    /// One of another machine.
    Remote(&'static Address),
}

impl Choice {
    /// Whether it is one of another machine.
    pub(crate) fn is_remote(self) -> bool {
        matches!(self, Self::Remote(_))
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::BestGpu),
            _ if text.starts_with(remote::SCHEME) => Ok(Self::Remote(text.parse::<Address>()?.interned())),
            _ => text
                .strip_prefix("gpu:")
                .and_then(|index| index.parse().ok())
                .map(Self::Gpu)
                .ok_or_else(|| format!("a device is auto, cpu, gpu, gpu:N or remote:ADDRESS, not “{text}”")),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::BestGpu => f.write_str("gpu"),
            Self::Gpu(index) => write!(f, "gpu:{index}"),
            Self::Remote(address) => address.fmt(f),
        }
    }
}

/// What an adapter is made of; better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A card with memory of its own.
    #[strum(serialize = "discrete GPU")]
    Discrete,
    /// One that shares the processor's memory.
    #[strum(serialize = "integrated GPU")]
    Integrated,
    /// One that a virtual machine passes through.
    #[strum(serialize = "virtual GPU")]
    Virtual,
    /// One that its driver says nothing about.
    #[strum(serialize = "GPU of unknown kind")]
    Other,
    /// A driver that computes on the CPU, such as Mesa's lavapipe.
    #[strum(serialize = "software adapter")]
    Software,
}

/// An adapter as its driver describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Adapter {
    /// For `--device gpu:N`.
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Graphics interface: Vulkan, Metal, Dx12 or Gl.
    pub(crate) backend: String,
    pub(crate) driver: String,
    /// Largest buffer that a kernel can see at once, in bytes.
    pub max_binding: u64,
    /// Shared memory of a workgroup, in bytes.
    pub(crate) workgroup_memory: u32,
    /// Whether kernels may compute in 16-bit floats.
    pub f16: bool,
    /// Why it can't be used, if it can't.
    pub(crate) problem: Option<String>,
}

impl Adapter {
    /// Whether tensors on it take the machine's own memory.
    pub(crate) fn shares_host_memory(&self) -> bool {
        matches!(self.kind, Kind::Integrated | Kind::Software)
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {} {})", self.name, self.kind, self.backend, self.driver)
    }
}

/// Why no device could be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its error is")]
pub enum DeviceError {
    #[error("no GPU adapter was found; install a Vulkan driver (on Debian: mesa-vulkan-drivers) or use --device cpu")]
    NoAdapter,
    #[error("there is no adapter gpu:{wanted}; `kindling devices` lists {count}")]
    NoSuchAdapter { wanted: usize, count: usize },
    #[error("{name} can't be opened: {reason}; choose another device, or --device cpu")]
    Open { name: String, reason: String },
    #[error(transparent)]
    Remote(#[from] LinkError),
    #[error("the device was lost: {0}")]
    Lost(String),
}

/// A device that tensors can live on.
#[derive(Clone, Debug)]
pub struct Compute {
    /// burn's handle of it.
    pub device: Device,
    /// One line for people.
    pub description: String,
    /// `None` for the CPU.
    pub adapter: Option<Adapter>,
    /// `None` for the CPU.
    queue: Option<(wgpu::Device, wgpu::Queue)>,
    lost: Arc<Mutex<Option<String>>>,
    /// `None` for the CPU.
    wgpu: Option<wgpu::Device>,
    /// As cubecl knows the GPU; `None` for the CPU.
    cube: Option<cubecl::Device>,
    /// The way to a device of another machine, of which there is nothing else here.
    link: Option<Arc<Link>>,
    shared: Arc<Shared>,
}

/// A point in a device's queue.
pub(crate) enum Fence {
    /// Of a GPU.
    Queue(wgpu::SubmissionIndex),
    /// Of a device elsewhere.
    Mark(Pending),
}

impl Compute {
    /// The CPU, which is always there.
    pub fn cpu() -> Self {
        let threads = rayon::current_num_threads();
        Self {
            device: Device::flex(),
            description: format!("CPU ({})", format::plural(threads, "thread")),
            adapter: None,
            queue: None,
            lost: Arc::default(),
            wgpu: None,
            cube: None,
            link: None,
            shared: Arc::default(),
        }
    }

    /// A device of another machine.
    fn elsewhere(link: Arc<Link>) -> Self {
        let offered = link.offered();
        Self {
            description: format!("{} on {}", offered.description, link.about().machine),
            adapter: offered.adapter.clone(),
            link: Some(link),
            ..Self::cpu()
        }
    }

    /// The way to it, where it is on another machine.
    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        self.link.as_ref()
    }

    /// Whether it is this machine's processor, which has no queue: what is called for is done on return.
    pub(crate) fn is_here_and_now(&self) -> bool {
        self.adapter.is_none() && self.link.is_none()
    }

    /// Bytes in use: of a GPU those that are reserved on it, for the CPU those of this process. `None` where the driver or
    /// the system does not say. Does not wait for the device; costs some microseconds.
    pub(crate) fn memory(&self) -> Option<u64> {
        match &self.wgpu {
            Some(device) => Some(device.generate_allocator_report()?.total_reserved_bytes),
            None if self.link.is_some() => None,
            None => host::held(),
        }
    }

    /// Whether tensors on it take the machine's own memory, as those of the CPU do.
    pub(crate) fn shares_host_memory(&self) -> bool {
        self.link.is_none() && self.adapter.as_ref().is_none_or(Adapter::shares_host_memory)
    }

    /// The point in the queue behind all that was submitted so far; `None` for the CPU, which has no queue.
    pub(crate) fn fence(&self) -> Option<Fence> {
        if let Some(link) = &self.link {
            return Some(Fence::Mark(link.mark()));
        }
        self.queue.as_ref().map(|(_, queue)| Fence::Queue(queue.submit([])))
    }

    /// Waits until the device has done everything before `fence`. What is behind it goes on meanwhile.
    pub(crate) fn wait_for(&self, fence: Fence) {
        match fence {
            // A device that is gone has nothing to wait for; `lost` says so.
            Fence::Queue(index) => {
                let until = wgpu::PollType::Wait { submission_index: Some(index), timeout: None };
                let _ = self.queue.as_ref().map(|(device, _)| device.poll(until));
            }
            Fence::Mark(mark) => {
                let _ = mark.wait();
            }
        }
    }

    /// Another device on the same adapter, for work beside this one's.
    pub(crate) fn another(&self) -> Result<(wgpu::Device, wgpu::Queue), DeviceError> {
        let found = self.adapter.as_ref().and_then(|adapter| found().1.get(adapter.index));
        found.ok_or(DeviceError::NoAdapter)?.request()
    }

    /// The GPU as cubecl knows it; `None` for the CPU.
    pub(crate) fn cube(&self) -> Option<&cubecl::Device> {
        self.cube.as_ref()
    }

    /// What others keep of the device for as long as it is open: one value of each type, the same for all clones.
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.shared.of()
    }

    /// Why the device is gone, once it is: a crashed driver, a sleeping machine, an unplugged card.
    pub(crate) fn lost(&self) -> Option<String> {
        if let Some(link) = &self.link {
            return link.cut().map(str::to_owned);
        }
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a [`Compute::description`] is that of this machine's CPU: behind another's the machine is named.
pub(crate) fn describes_cpu(description: &str) -> bool {
    description.starts_with("CPU (") && description.ends_with(')')
}

struct Found {
    adapter: wgpu::Adapter,
    about: Adapter,
}

/// The adapters of this process. Found once: some drivers are slow to start, and adapters that come later are rare.
fn found() -> &'static (wgpu::Instance, Vec<Found>) {
    static FOUND: OnceLock<(wgpu::Instance, Vec<Found>)> = OnceLock::new();
    FOUND.get_or_init(|| {
        let ask = |backends| {
            let descriptor =
                wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
            let instance = wgpu::Instance::new(descriptor);
            let adapters = cubecl::future::block_on(instance.enumerate_adapters(backends));
            (instance, adapters)
        };
        // The same card shows up once for each graphics interface. OpenGL is only asked where there is nothing else:
        // merely starting it makes some drivers write to standard error.
        let (instance, all) = match ask(wgpu::Backends::PRIMARY) {
            (_, adapters) if adapters.is_empty() => ask(wgpu::Backends::GL),
            found => found,
        };
        let adapters = all
            .into_iter()
            .enumerate()
            .map(|(index, adapter)| Found { about: describe(index, &adapter), adapter })
            .collect();
        (instance, adapters)
    })
}

fn describe(index: usize, adapter: &wgpu::Adapter) -> Adapter {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let compute = adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
    Adapter {
        index,
        name: info.name,
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => Kind::Discrete,
            wgpu::DeviceType::IntegratedGpu => Kind::Integrated,
            wgpu::DeviceType::VirtualGpu => Kind::Virtual,
            wgpu::DeviceType::Cpu => Kind::Software,
            wgpu::DeviceType::Other => Kind::Other,
        },
        backend: info.backend.to_string(),
        driver: [info.driver, info.driver_info].join(" ").trim().to_owned(),
        max_binding: limits.max_storage_buffer_binding_size,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        f16: adapter.features().contains(wgpu::Features::SHADER_F16),
        problem: (!compute).then(|| "its driver has no compute shaders".to_owned()),
    }
}

/// All adapters, in the order that `gpu:N` counts.
pub(crate) fn adapters() -> Vec<Adapter> {
    found().1.iter().map(|found| found.about.clone()).collect()
}

/// What [`Choice::Auto`] takes of these; `None` is the CPU.
pub(crate) fn automatic<'a>(adapters: impl IntoIterator<Item = &'a Adapter>) -> Option<&'a Adapter> {
    best(adapters, Kind::Integrated)
}

/// The best that can be used, none worse than `worst`.
fn best<'a>(adapters: impl IntoIterator<Item = &'a Adapter>, worst: Kind) -> Option<&'a Adapter> {
    let usable = adapters.into_iter().filter(|adapter| adapter.problem.is_none() && adapter.kind <= worst);
    usable.min_by_key(|adapter| adapter.kind)
}

/// Which of `adapters` a choice means; `None` is the processor.
pub(crate) fn chosen(choice: Choice, adapters: &[Adapter]) -> Option<&Adapter> {
    match choice {
        Choice::Cpu => None,
        Choice::Auto => automatic(adapters),
        Choice::BestGpu => best(adapters, Kind::Software),
        Choice::Gpu(index) => adapters.get(index),
        Choice::Remote(_) => None,
    }
}

/// Opens a device. A GPU is opened once a process; later calls give the same one, unless it was lost.
pub fn open(choice: Choice) -> Result<Compute, DeviceError> {
    // No driver is asked for the CPU: that would take its time and its memory.
    if choice == Choice::Cpu {
        return Ok(Compute::cpu());
    }
    if let Choice::Remote(address) = choice {
        return open_elsewhere(address);
    }
    let all = &found().1;
    let known = || all.iter().map(|found| &found.about);
    let index = match choice {
        Choice::Cpu | Choice::Remote(_) | Choice::Auto => match automatic(known()) {
            Some(adapter) => adapter.index,
            None => return Ok(Compute::cpu()),
        },
        Choice::BestGpu => best(known(), Kind::Software).ok_or(DeviceError::NoAdapter)?.index,
        Choice::Gpu(wanted) => wanted,
    };
    let found = all.get(index).ok_or(DeviceError::NoSuchAdapter { wanted: index, count: all.len() })?;
    static OPEN: Mutex<Vec<Compute>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |c: &&Compute| c.lost().is_none() && c.adapter.as_ref().is_some_and(|a| a.index == index);
    if let Some(compute) = open.iter().find(same) {
        return Ok(compute.clone());
    }
    let compute = found.open()?;
    open.push(compute.clone());
    Ok(compute)
}

/// Links are shared as GPUs are: one to a device, while somebody uses it, until it is cut.
fn open_elsewhere(address: &'static Address) -> Result<Compute, DeviceError> {
    static OPEN: Mutex<Vec<(&Address, Weak<Link>)>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, link)| link.upgrade().is_some_and(|link| link.cut().is_none()));
    if let Some(link) = open.iter().find(|(other, _)| *other == address).and_then(|(_, link)| link.upgrade()) {
        return Ok(Compute::elsewhere(link));
    }
    let link = Link::open(address)?;
    open.push((address, Arc::downgrade(&link)));
    Ok(Compute::elsewhere(link))
}

impl Found {
    fn fail(&self, reason: impl ToString) -> DeviceError {
        DeviceError::Open { name: self.about.to_string(), reason: reason.to_string() }
    }

    fn request(&self) -> Result<(wgpu::Device, wgpu::Queue), DeviceError> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("training"),
            required_features: self.adapter.features()
                - wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
                - wgpu::Features::all_experimental_mask(),
            required_limits: self.adapter.limits(),
            // cubecl keeps pools of its own.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        cubecl::future::block_on(self.adapter.request_device(&descriptor)).map_err(|e| self.fail(e))
    }

    fn open(&self) -> Result<Compute, DeviceError> {
        if let Some(problem) = &self.about.problem {
            return Err(self.fail(problem));
        }
        let (device, queue) = self.request()?;
        let lost = Arc::new(Mutex::new(None));
        let note = Arc::clone(&lost);
        let wgpu = Some(device.clone());
        device.set_device_lost_callback(move |reason, message| {
            let mut lost = note.lock().unwrap_or_else(PoisonError::into_inner);
            lost.get_or_insert_with(|| format!("{reason:?}: {message}"));
        });
        let line = (device.clone(), queue.clone());
        let setup = WgpuSetup {
            instance: found().0.clone(),
            adapter: self.adapter.clone(),
            device,
            queue,
            backend: self.adapter.get_info().backend,
        };
        let options = RuntimeOptions::try_default().map_err(|e| self.fail(e))?;
        let device = try_init_device(setup, options).map_err(|e| self.fail(e))?;
        Ok(Compute {
            cube: Some(cubecl::Device::Wgpu(device.clone())),
            shared: Arc::default(),
            device: device.into(),
            description: self.about.to_string(),
            adapter: Some(self.about.clone()),
            queue: Some(line),
            lost,
            wgpu,
            link: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, kind: Kind) -> Adapter {
        Adapter {
            index,
            name: "RTX".into(),
            kind,
            backend: "Vulkan".into(),
            driver: String::new(),
            max_binding: 1 << 30,
            workgroup_memory: 32_768,
            f16: false,
            problem: None,
        }
    }

    #[test]
    fn automatic_never_takes_a_software_adapter() {
        let chosen = |adapters: &[Adapter]| automatic(adapters).map(|adapter| adapter.index);
        assert_eq!(chosen(&[adapter(0, Kind::Software)]), None);
        assert_eq!(chosen(&[adapter(0, Kind::Integrated), adapter(1, Kind::Discrete)]), Some(1));
        let broken = Adapter { problem: Some("no compute".into()), ..adapter(0, Kind::Discrete) };
        assert_eq!(chosen(&[broken]), None);
    }
}
