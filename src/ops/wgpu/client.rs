//! [`Gpu`] on burn's wgpu client: dispatches become launches of WGSL source kernels in the client's stream.

use super::{
    compiled::Compiled,
    launch::{Adapter, DispatchLimit, Found, Gpu, Kernel, Launch, Tiles},
    trial::Trials,
};
use crate::{
    device::Compute,
    ops::{Profile, Timer},
};
use burn_cubecl::{
    CubeDevice,
    template::{KernelSource, SourceKernel, SourceTemplate},
};
use cubecl::{
    CubeCount, CubeDim, ExecutionMode, MemoryScope,
    client::Client,
    prelude::KernelId,
    server::{Handle, KernelArguments, MetadataBindingInfo},
};
use cubecl_common::bytes::Bytes;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// Launches after which a software adapter is waited for to take them: less than cubecl's queue has room for, where who
/// waits for room keeps one of the processor's cores busy that the adapter computes on.
const LAUNCHES_AT_ONCE: usize = 16;

/// What is known of a GPU for as long as it is open.
#[derive(Default)]
pub(crate) struct Context {
    pub compiled: Arc<Compiled>,
    /// For its products, once they are known.
    pub tiles: OnceLock<Tiles>,
    /// Which kernels it was found to compute rightly.
    pub trials: OnceLock<Trials>,
    launched: AtomicUsize,
}

/// A device and the client that queues work on it.
#[derive(Clone)]
pub struct Wgpu {
    pub(crate) client: Client,
    pub(crate) device: CubeDevice,
    pub(crate) context: Arc<Context>,
    pub(crate) profile: Arc<Profile>,
}

impl Wgpu {
    /// The GPU that a device is; `None` for the CPU.
    pub fn of(compute: &Compute) -> Option<Self> {
        let device = compute.cube()?.clone();
        let context: Arc<Context> = compute.shared();
        if let Some(adapter) = &compute.adapter {
            context.trials.get_or_init(|| Trials::of(adapter));
        }
        Some(Wgpu { client: device.client(), device, context, profile: compute.shared() })
    }

    fn is_software(&self) -> bool {
        self.client.properties().identity.physical.is_none()
    }

    /// Bytes that the largest tensor may have.
    pub(crate) fn largest_tensor(&self) -> u64 {
        self.client.properties().memory.max_page_size
    }

    /// Bytes that the process has taken from the device, in use or kept for later.
    pub fn bytes_reserved(&self) -> u64 {
        self.client.memory_report(MemoryScope::Device).usage().bytes_reserved
    }
}

/// A part of an allocation, in values from its beginning.
pub(crate) fn part(whole: &Handle, start: usize, count: usize) -> Handle {
    let end = whole.size_in_used() - 4 * (start + count) as u64;
    whole.clone().offset_start(4 * start as u64).offset_end(end)
}

impl Gpu for Wgpu {
    type Buffer = Handle;

    fn adapter(&self) -> Adapter {
        let properties = self.client.properties();
        let hardware = &properties.hardware;
        let software = self.is_software();
        // cubecl does not say whether a software adapter can shuffle. Mesa's can.
        let same = hardware.plane_size_min == hardware.plane_size_max;
        let shuffles = software && same && properties.identity.name.contains("llvmpipe");
        Adapter {
            software,
            subgroup: if shuffles { hardware.plane_size_min } else { 0 },
            max_binding: properties.memory.max_page_size,
            max_shared: hardware.max_shared_memory_size as u32,
            limit: DispatchLimit::SHORT,
            tiles: self.context.tiles.get().copied().unwrap_or(Tiles::DEFAULT),
        }
    }

    fn empty(&self, bytes: usize) -> Handle {
        // A binding must hold one vec4 at least.
        self.client.empty(bytes.max(16))
    }

    fn upload(&self, bytes: &[u8]) -> Handle {
        // A binding must hold one vec4 at least.
        let mut padded = Vec::with_capacity(bytes.len().max(16));
        padded.extend_from_slice(bytes);
        padded.resize(bytes.len().max(16), 0);
        self.client.create(Bytes::from_bytes_vec(padded))
    }

    fn part(&self, whole: &Handle, start: usize, count: usize) -> Handle {
        part(whole, start, count)
    }

    fn is_shared(&self, buffer: &Handle) -> bool {
        !buffer.can_mut()
    }

    fn span(&self, name: &dyn Fn() -> String) -> Option<Timer<'_>> {
        self.profile.time(name)
    }

    fn allows(&self, kernel: &dyn Fn() -> String, trial: &dyn Fn() -> Option<Found>) -> bool {
        self.context.trials.get().is_none_or(|trials| trials.allow(&kernel(), trial))
    }

    fn read(&self, buffer: &Handle) -> Option<Vec<u8>> {
        // Who launches the step itself tells of a device that is gone.
        self.client.read_one(buffer.clone()).ok().map(|bytes| bytes.to_vec())
    }

    fn dispatch(&self, launch: Launch, buffers: &[&Handle]) {
        self.profile.launch(launch.kernel.name);
        let [x, y, z] = launch.groups;
        let mut arguments =
            KernelArguments::new().with_buffers(buffers.iter().map(|handle| (*handle).clone().binding()).collect());
        let pairs = launch.uniform.words.chunks(2);
        let pairs = pairs.map(|w| u64::from(w[0]) | u64::from(w.get(1).copied().unwrap_or(0)) << 32);
        arguments = arguments.with_info(MetadataBindingInfo::custom(pairs.collect()));
        let [wx, wy, wz] = launch.kernel.workgroup;
        let kernel =
            SourceKernel::new(Source(launch.kernel, self.context.compiled.clone()), CubeDim::new_3d(wx, wy, wz));
        self.client.launch(Box::new(kernel), CubeCount::Static(x, y, z), arguments);
        let launched = || self.context.launched.fetch_add(1, Ordering::Relaxed);
        if self.is_software() && launched().is_multiple_of(LAUNCHES_AT_ONCE) {
            // Whoever reads a result is told of what went wrong.
            let _ = self.client.flush();
        }
    }
}

/// A kernel as burn's templates want it.
struct Source(Kernel, Arc<Compiled>);

impl KernelSource for Source {
    /// Asked for once, when the client is about to make the pipeline.
    fn source(&self) -> SourceTemplate {
        self.1.wait_for(&self.0);
        SourceTemplate::new(self.0.source())
    }

    fn id(&self) -> KernelId {
        // Unchecked: the shaders bound their own loops, and counters that enforce it cost registers.
        let Kernel { name, constants, workgroup, storage, inserted, .. } = self.0.clone();
        let info = (name, constants, workgroup, storage, inserted);
        KernelId::new::<Self>().info(info).mode(ExecutionMode::Unchecked)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}
