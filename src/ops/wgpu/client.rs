//! [`Gpu`] on burn's wgpu client: dispatches become launches of WGSL source kernels in the client's stream.

use super::{
    super::tally,
    ahead,
    launch::{Adapter, DispatchLimit, Gpu, Kernel, Launch},
    tune,
};
use crate::ops::Storage;
use burn::tensor::{DType, Shape};
use burn_cubecl::{
    CubeDevice,
    kernel::into_contiguous,
    template::{KernelSource, SourceKernel, SourceTemplate},
    tensor::CubeTensor,
};
use cubecl::{
    CubeCount, CubeDim, ExecutionMode, MemoryScope,
    client::Client,
    prelude::KernelId,
    server::{Handle, KernelArguments, MetadataBindingInfo},
};

/// A device and the client that queues work on it.
#[derive(Clone)]
pub struct Wgpu {
    pub client: Client,
    pub device: CubeDevice,
}

impl Wgpu {
    /// The device that a tensor lives on.
    pub fn of(tensor: &CubeTensor) -> Self {
        Wgpu { client: tensor.client.clone(), device: tensor.device.clone() }
    }

    /// A contiguous tensor over `handle`.
    pub fn tensor(&self, handle: Handle, shape: impl Into<Shape>) -> CubeTensor {
        self.tensor_of(handle, shape, DType::F32)
    }

    /// [`Wgpu::tensor`] of activations.
    pub fn activation(&self, handle: Handle, shape: impl Into<Shape>, storage: Storage) -> CubeTensor {
        self.tensor_of(handle, shape, storage.dtype())
    }

    /// [`Wgpu::tensor`] of 32-bit integers.
    pub fn tensor_int(&self, handle: Handle, shape: impl Into<Shape>) -> CubeTensor {
        self.tensor_of(handle, shape, DType::I32)
    }

    fn tensor_of(&self, handle: Handle, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
        CubeTensor::new_contiguous(self.client.clone(), self.device.clone(), shape.into(), handle, dtype)
    }

    /// Bytes that the process has taken from the device, in use or kept for later.
    pub fn bytes_reserved(&self) -> u64 {
        self.client.memory_report(MemoryScope::Device).usage().bytes_reserved
    }
}

/// How a tensor of activations is stored.
pub fn storage(tensor: &CubeTensor) -> Storage {
    if tensor.dtype == DType::F16 { Storage::F16 } else { Storage::F32 }
}

/// The memory of a tensor, made contiguous where it is not.
pub fn memory(tensor: CubeTensor) -> Handle {
    if tensor.is_contiguous() { tensor.handle } else { into_contiguous(tensor).handle }
}

/// Like [`memory`], for a tensor that is still needed.
pub fn memory_of(tensor: &CubeTensor) -> Handle {
    memory(tensor.clone())
}

/// A part of an allocation, in values from its beginning.
pub fn part(whole: &Handle, start: usize, count: usize) -> Handle {
    let end = whole.size_in_used() - 4 * (start + count) as u64;
    whole.clone().offset_start(4 * start as u64).offset_end(end)
}

impl Gpu for Wgpu {
    type Buffer = Handle;

    fn adapter(&self) -> Adapter {
        let properties = self.client.properties();
        let hardware = &properties.hardware;
        let software = properties.identity.physical.is_none();
        // cubecl does not say whether a software adapter can shuffle. Mesa's, the one with eight lanes, can.
        let eight = software && hardware.plane_size_min == 8 && hardware.plane_size_max == 8;
        let shuffles = eight && properties.identity.name.contains("llvmpipe");
        Adapter {
            software,
            subgroup: if shuffles { 8 } else { 0 },
            max_binding: properties.memory.max_page_size,
            max_shared: hardware.max_shared_memory_size as u32,
            limit: DispatchLimit::SHORT,
            tiles: tune::tiles(&self.client),
        }
    }

    fn empty(&self, bytes: usize) -> Handle {
        // A binding must hold one vec4 at least.
        self.client.empty(bytes.max(16))
    }

    fn dispatch(&self, launch: Launch, buffers: &[&Handle]) {
        tally::launch(launch.kernel.name);
        let [x, y, z] = launch.groups;
        let mut arguments =
            KernelArguments::new().with_buffers(buffers.iter().map(|handle| (*handle).clone().binding()).collect());
        let pairs = launch.uniform.words.chunks(2);
        let pairs = pairs.map(|w| u64::from(w[0]) | u64::from(w.get(1).copied().unwrap_or(0)) << 32);
        arguments = arguments.with_info(MetadataBindingInfo::custom(pairs.collect()));
        let [wx, wy, wz] = launch.kernel.workgroup;
        let kernel = SourceKernel::new(Source(launch.kernel), CubeDim::new_3d(wx, wy, wz));
        self.client.launch(Box::new(kernel), CubeCount::Static(x, y, z), arguments);
    }
}

/// A kernel as burn's templates want it.
struct Source(Kernel);

impl KernelSource for Source {
    /// Asked for once, when the client is about to make the pipeline.
    fn source(&self) -> SourceTemplate {
        ahead::wait_for(&self.0);
        SourceTemplate::new(self.0.source())
    }

    fn id(&self) -> KernelId {
        // Unchecked: the shaders bound their own loops, and counters that enforce it cost registers.
        let info = (self.0.name, self.0.constants.clone(), self.0.workgroup, self.0.storage);
        KernelId::new::<Self>().info(info).mode(ExecutionMode::Unchecked)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}
