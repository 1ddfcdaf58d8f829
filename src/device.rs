//! The compute devices of this machine: list, pick, describe, probe.
//!
//! Adapters are listed and opened by wgpu itself, so that what is shown is what the driver says, a device that fails
//! can say why, and a lost one is noticed. burn then gets the open device. What the machine itself has of memory says
//! [`host`].

mod adapter;
mod choice;
pub(crate) mod host;
mod in_flight;
mod lost;
pub(crate) mod remote;
mod shared;

pub use adapter::{Adapter, Kind};
pub(crate) use adapter::{adapters, automatic};
pub use choice::Choice;
pub(crate) use choice::chosen;
pub(crate) use in_flight::InFlight;
pub(crate) use lost::{lost, refused, unless_lost, unwound};

pub use remote::Address;

use crate::format;
use adapter::{best, found};
use burn::tensor::Device;
use remote::{Link, LinkError, Pending};
use shared::Shared;
use std::sync::{Arc, Mutex, PoisonError, Weak};

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
    #[error("the device refused: {0}")]
    Refused(String),
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
