//! What a dispatch is, apart from any runtime: a WGSL template with its constants, a few run-time words, and a grid.
//!
//! The kernels are planned here and in the sibling modules as plain values, and executed through the trait [`Gpu`]: on
//! burn's wgpu client in the program, on a bare `wgpu::Device` in experiments. Shapes travel as run-time words in a
//! small uniform (the last binding), tile sizes as constants of the template, so that one pipeline serves every layer
//! of a network that uses the same tile ([`template`]): a driver takes 5–200 ms to compile a pipeline, a uniform costs microseconds.
//!
//! A kernel that reads or writes activations or their gradients calls the type that they have in memory `stored`: see
//! [`Kernel::storing`].

use super::template;
use crate::ops::Storage;
use serde::{Deserialize, Serialize};

/// The WGSL text of one kernel with its template constants: the identity of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The shader's file name without its ending, unique in `shaders/`.
    pub name: &'static str,
    /// The template text.
    pub template: &'static str,
    /// Values for `{{NAME}}`, `//@if NAME` and the bounds of `//@for`.
    pub constants: Vec<(&'static str, u32)>,
    /// Invocations in a workgroup.
    pub workgroup: [u32; 3],
    /// For kernels that touch activations.
    pub storage: Option<Storage>,
}

impl Kernel {
    /// A kernel with a one-dimensional workgroup of `threads`; the template sees them as `{{WG}}`.
    pub fn new(name: &'static str, template: &'static str, threads: u32) -> Self {
        Kernel { name, template, constants: vec![("WG", threads)], workgroup: [threads, 1, 1], storage: None }
    }

    /// For activations in this storage: the template finds it under the name `stored`, and the constant `HALF` is 1 where
    /// it is [`Storage::F16`].
    pub fn storing(mut self, storage: Storage) -> Self {
        self.storage = Some(storage);
        self.with("HALF", u32::from(storage == Storage::F16))
    }

    /// Sets a template constant.
    pub fn with(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, value));
        self
    }

    /// The WGSL text with every directive resolved.
    ///
    /// # Panics
    /// As [`template::resolve`].
    pub fn source(&self) -> String {
        let head = match self.storage {
            None => "",
            Some(Storage::F32) => "alias stored = f32;\n",
            Some(Storage::F16) => "enable f16;\nalias stored = f16;\n",
        };
        head.to_owned() + &template::resolve(self.name, self.template, &self.constants)
    }
}

/// One dispatch: a kernel, the words of its uniform, and how many workgroups.
#[derive(Clone, Debug)]
pub struct Launch {
    pub kernel: Kernel,
    /// The uniform's words, bound after the buffers. Empty: no uniform.
    pub params: Vec<u32>,
    pub groups: [u32; 3],
}

impl Launch {
    pub fn new(kernel: Kernel, params: Vec<u32>, groups: [u32; 3]) -> Self {
        Launch { kernel, params, groups }
    }

    /// `groups` workgroups in a row, folded into two dimensions where WebGPU's limit of 65,535 a dimension asks for it.
    /// The shader numbers them as `wg.x + wg.y * {{…}}` through [`fold`]'s first number, which every one-dimensional
    /// kernel here takes from `num_workgroups.x`.
    pub fn linear(kernel: Kernel, params: Vec<u32>, groups: usize) -> Self {
        Launch::new(kernel, params, fold(groups))
    }

    /// `invocations` in a row, cut into dispatches of which none touches much more than `portion` of the `bytes` that all
    /// touch together. `params` gives the uniform's words of the dispatch that begins with a certain invocation.
    pub fn portions(
        kernel: Kernel,
        invocations: usize,
        bytes: u64,
        portion: Portion,
        params: impl Fn(u32) -> Vec<u32>,
    ) -> impl Iterator<Item = Launch> {
        let threads = kernel.workgroup[0] as usize;
        let groups = invocations.div_ceil(threads);
        let dispatches = bytes / portion.bytes + 1;
        let at_once = groups.div_ceil(dispatches as usize).max(1);
        (0..groups).step_by(at_once).map(move |first| {
            let mut params = params((first * threads) as u32);
            params.resize(params.len().next_multiple_of(4), 0);
            Launch::linear(kernel.clone(), params, at_once.min(groups - first))
        })
    }
}

/// The most workgroups that WebGPU guarantees a dimension.
pub const MAX_GROUPS: usize = 65_535;

/// `groups` in a row as a grid within WebGPU's limits; the last row may be partly empty, so shaders check.
pub fn fold(groups: usize) -> [u32; 3] {
    if groups <= MAX_GROUPS {
        return [groups.max(1) as u32, 1, 1];
    }
    let rows = groups.div_ceil(MAX_GROUPS);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}

/// What one dispatch may do at most, so that none occupies a slow GPU for more than 100 ms: longer ones freeze the desktop
/// that shares the GPU, and trip Windows' watchdog after two seconds. More is split into several dispatches.
///
/// Convolutions are bound by arithmetic, which a slow GPU does 200 billion of in a second; the passes over whole
/// activations by memory, of which it moves 20 GB. A binding is 2 GiB at most and a pass touches up to five, so it can come
/// to that; what else there is touches two small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Arithmetic operations.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl Portion {
    pub const SHORT: Portion = Portion { flops: 20_000_000_000, bytes: 2_000_000_000 };
}

/// What a workgroup of the tiled product computes: `pixels` by `channels`, each invocation 8 pixels by 4 × `vectors`
/// channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tile {
    pub pixels: u32,
    pub channels: u32,
    pub vectors: u32,
}

impl Tile {
    /// For products of up to 16 output channels, as in the first stage of a CIFAR network: a wider one would compute
    /// channels that nobody wants.
    pub const THIN: Tile = Tile { pixels: 128, channels: 16, vectors: 1 };
}

/// The tile for products of 17 to 32 output channels, and for wider ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tiles {
    pub narrow: Tile,
    pub wide: Tile,
}

impl Tiles {
    /// Good on every GPU, until [`super::tune`] knows better.
    pub const DEFAULT: Tiles = Tiles {
        narrow: Tile { pixels: 128, channels: 32, vectors: 1 },
        wide: Tile { pixels: 64, channels: 64, vectors: 1 },
    };

    pub fn of(&self, channels: usize) -> Tile {
        match channels {
            ..=16 => Tile::THIN,
            17..=32 => self.narrow,
            _ => self.wide,
        }
    }
}

/// What the planner needs to know of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// A software adapter (`wgpu::DeviceType::Cpu`): workgroup memory and parallelism are worth nothing there.
    pub software: bool,
    /// The number of lanes where every subgroup has the same and the shaders may shuffle across it, else 0.
    pub subgroup: u32,
    /// The largest storage binding, in bytes.
    pub max_binding: u64,
    /// Bytes of workgroup memory.
    pub max_shared: u32,
    /// What one dispatch may do.
    pub portion: Portion,
    /// For the tiled product.
    pub tiles: Tiles,
}

impl Adapter {
    /// WebGPU's default limits on a GPU without subgroups: what every adapter offers.
    pub const DEFAULT: Adapter = Adapter {
        software: false,
        subgroup: 0,
        max_binding: 128 << 20,
        max_shared: 16 << 10,
        portion: Portion::SHORT,
        tiles: Tiles::DEFAULT,
    };

    /// Invocations in a workgroup of a kernel that treats values one by one: a software adapter runs eight at a time.
    pub fn threads(&self) -> u32 {
        if self.software { 8 } else { 128 }
    }

    /// Invocations that share one sum: barriers are dear on a software adapter, idle lanes on a GPU.
    pub fn sharers(&self) -> u32 {
        if self.software { 1 } else { 64 }
    }
}

/// Something that runs dispatches, in order, each seeing what the ones before wrote.
pub trait Gpu {
    /// A range of device memory; a clone names the same range.
    type Buffer: Clone;
    fn adapter(&self) -> Adapter;
    /// Uninitialised memory of at least `bytes` bytes.
    fn empty(&self, bytes: usize) -> Self::Buffer;
    /// Queues the dispatch; buffer `i` is bound at `@binding(i)`, the uniform after the last.
    fn dispatch(&self, launch: Launch, buffers: &[&Self::Buffer]);
}
