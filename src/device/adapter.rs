//! The adapters of this machine, listed and opened by wgpu itself.

use super::{Compute, DeviceError};
use burn_wgpu::{RuntimeOptions, WgpuSetup, try_init_device};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

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

pub(super) struct Found {
    adapter: wgpu::Adapter,
    pub about: Adapter,
}

/// The adapters of this process. Found once: some drivers are slow to start, and adapters that come later are rare.
pub(super) fn found() -> &'static (wgpu::Instance, Vec<Found>) {
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
pub(super) fn best<'a>(adapters: impl IntoIterator<Item = &'a Adapter>, worst: Kind) -> Option<&'a Adapter> {
    let usable = adapters.into_iter().filter(|adapter| adapter.problem.is_none() && adapter.kind <= worst);
    usable.min_by_key(|adapter| adapter.kind)
}

impl Found {
    fn fail(&self, reason: impl ToString) -> DeviceError {
        DeviceError::Open { name: self.about.to_string(), reason: reason.to_string() }
    }

    pub(super) fn request(&self) -> Result<(wgpu::Device, wgpu::Queue), DeviceError> {
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

    pub(super) fn open(&self) -> Result<Compute, DeviceError> {
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
