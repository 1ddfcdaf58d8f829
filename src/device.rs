//! The compute devices of this machine: list, pick, describe, probe.
//!
//! Adapters are listed and opened by wgpu itself, so that what is shown is what the driver says, a device that fails
//! can say why, and a lost one is noticed. burn then gets the open device. What the machine itself has of memory says
//! [`host`].

pub(crate) mod host;
mod shared;

use crate::format;
use burn::tensor::Device;
use burn_wgpu::{RuntimeOptions, WgpuSetup, try_init_device};
use serde::Serialize;
use shared::Shared;
use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
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
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::BestGpu),
            _ => text
                .strip_prefix("gpu:")
                .and_then(|index| index.parse().ok())
                .map(Self::Gpu)
                .ok_or_else(|| format!("a device is auto, cpu, gpu or gpu:N, not “{text}”")),
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
        }
    }
}

/// What an adapter is made of; better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::Display)]
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
#[derive(Clone, Debug, Serialize)]
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
    shared: Arc<Shared>,
}

/// A point in a GPU's queue.
#[derive(Debug)]
pub(crate) struct Fence(wgpu::SubmissionIndex);

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
            shared: Arc::default(),
        }
    }

    /// Bytes in use: of a GPU those that are reserved on it, for the CPU those of this process. `None` where the driver or
    /// the system does not say. Does not wait for the device; costs some microseconds.
    pub(crate) fn memory(&self) -> Option<u64> {
        match &self.wgpu {
            Some(device) => Some(device.generate_allocator_report()?.total_reserved_bytes),
            None => host::held(),
        }
    }

    /// Whether tensors on it take the machine's own memory, as those of the CPU do.
    pub(crate) fn shares_host_memory(&self) -> bool {
        self.adapter.as_ref().is_none_or(Adapter::shares_host_memory)
    }

    /// The point in the queue behind all that was submitted so far; `None` for the CPU, which has no queue.
    pub(crate) fn fence(&self) -> Option<Fence> {
        self.queue.as_ref().map(|(_, queue)| Fence(queue.submit([])))
    }

    /// Waits until the GPU has done everything before `fence`. What is behind it goes on meanwhile.
    pub(crate) fn wait_for(&self, fence: Fence) {
        if let Some((device, _)) = &self.queue {
            let until = wgpu::PollType::Wait { submission_index: Some(fence.0), timeout: None };
            // A device that is gone has nothing to wait for; `lost` says so.
            let _ = device.poll(until);
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
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a [`Compute::description`] is that of the CPU.
pub(crate) fn describes_cpu(description: &str) -> bool {
    description.starts_with("CPU (")
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
    }
}

/// Opens a device. A GPU is opened once a process; later calls give the same one, unless it was lost.
pub fn open(choice: Choice) -> Result<Compute, DeviceError> {
    // No driver is asked for the CPU: that would take its time and its memory.
    if choice == Choice::Cpu {
        return Ok(Compute::cpu());
    }
    let all = &found().1;
    let known = || all.iter().map(|found| &found.about);
    let index = match choice {
        Choice::Cpu | Choice::Auto => match automatic(known()) {
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
