//! What a dispatch is, apart from any runtime: a WGSL template with its constants, a few run-time words, a grid, and
//! what it must at least do.
//!
//! The kernels are planned here and in the sibling modules as plain values, and executed through the trait [`Gpu`]: on
//! burn's wgpu client, or kept by a [recorder](super::recorder). Shapes travel at run time in a small
//! [uniform](crate::ops::wgsl_type) (the last binding), tile sizes as constants of the template, so that one pipeline
//! serves every layer of a network that uses the same tile ([`template`]): a driver takes 5–200 ms to compile a
//! pipeline, a uniform costs microseconds.
//!
//! A kernel that reads or writes activations or their gradients calls the type that they have in memory `stored`: see
//! [`Kernel::storing`].

use super::template;
use crate::ops::{
    Storage, Timer,
    wgsl_type::{Kind, WgslType},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The WGSL text of one kernel with its template constants: the identity of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
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
    /// Statements for the template's line `//@insert`.
    pub inserted: String,
}

/// The kernel in `shaders/` of that name, with a single invocation and no constants yet.
macro_rules! kernel {
    ($name:literal) => {
        $crate::ops::wgpu::launch::Kernel::new(
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl")),
        )
    };
}
pub(crate) use kernel;

impl Kernel {
    /// A template with a single invocation; `kernel!` takes it from its file.
    pub(crate) fn new(name: &'static str, template: &'static str) -> Self {
        Kernel { name, template, constants: Vec::new(), workgroup: [1; 3], storage: None, inserted: String::new() }
    }

    /// Makes the workgroup a one-dimensional one of `count` invocations; the template sees them as `{{WG}}`.
    pub(crate) fn threads(mut self, count: u32) -> Self {
        self.workgroup = [count, 1, 1];
        self.with("WG", count)
    }

    /// For activations in this storage: the template finds it under the name `stored`, and the constant `HALF` is 1 where
    /// it is [`Storage::F16`].
    pub(crate) fn storing(mut self, storage: Storage) -> Self {
        self.storage = Some(storage);
        self.with("HALF", u32::from(storage == Storage::F16))
    }

    /// Puts statements where the template has the line `//@insert`.
    pub(crate) fn inserting(mut self, statements: String) -> Self {
        self.inserted = statements;
        self
    }

    /// Sets a template constant.
    pub(crate) fn with(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, value));
        self
    }

    /// The WGSL text with every directive resolved.
    ///
    /// # Panics
    /// As [`template::resolve`].
    pub(crate) fn source(&self) -> String {
        let head = match self.storage {
            None => "",
            Some(Storage::F32) => "alias stored = f32;\n",
            Some(Storage::F16) => "enable f16;\nalias stored = f16;\n",
            Some(Storage::Bf16) => unreachable!("WGSL has no such type"),
        };
        let template = self.template.replace("//@insert", &self.inserted);
        head.to_owned() + &template::resolve(self.name, &template, &self.constants)
    }
}

/// The words of a launch's uniform.
#[derive(Clone, Debug)]
pub(crate) struct Uniform {
    /// In whole fours, as some drivers want a uniform to be.
    pub words: Vec<u32>,
    /// The struct that they are.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "tests hold it against the struct that naga finds in the shader")
    )]
    pub kind: Kind,
}

impl Uniform {
    fn of<P: WgslType>(params: &P) -> Self {
        let mut words = bytemuck::cast_slice(std::slice::from_ref(params)).to_vec();
        words.resize(words.len().next_multiple_of(4), 0);
        Uniform { words, kind: P::KIND }
    }
}

/// The least that a dispatch does, apart from any adapter: the figures that a measured time is held against.
///
/// Bytes count every tensor once as it is read or written; a kernel that reads an operand several times, as a tiled
/// product does where the tile is smaller than the matrix, moves more, mostly from caches. Additions and
/// multiplications count one each, as is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// What the dispatch does in a step.
    pub role: &'static str,
    pub flops: u64,
    pub bytes: u64,
}

impl Cost {
    pub(crate) fn new(role: &'static str, flops: usize, bytes: usize) -> Self {
        Cost { role, flops: flops as u64, bytes: bytes as u64 }
    }

    /// What the part `from..to` of `whole` has in it; parts that follow each other add up to it all.
    pub(crate) fn part(self, from: usize, to: usize, whole: usize) -> Self {
        let up_to = |all: u64, end: usize| (u128::from(all) * end as u128 / whole.max(1) as u128) as u64;
        let of = |all| up_to(all, to) - up_to(all, from);
        Cost { flops: of(self.flops), bytes: of(self.bytes), ..self }
    }

    /// Operations a byte. A discrete GPU does 20 to 60 in the time that it moves one: below, memory bounds the kernel,
    /// above, arithmetic.
    #[cfg(test)]
    pub(crate) fn intensity(&self) -> f64 {
        self.flops as f64 / self.bytes.max(1) as f64
    }

    /// What bounds the dispatch on a discrete GPU.
    #[cfg(test)]
    pub(crate) fn bound(&self) -> &'static str {
        match self.intensity() {
            ..20.0 => "memory",
            60.0.. => "arithmetic",
            _ => "either",
        }
    }
}

/// One dispatch: a kernel, its uniform, how many workgroups, and what they do.
#[derive(Clone, Debug)]
pub struct Launch {
    pub(crate) kernel: Kernel,
    /// Bound after the buffers.
    pub(crate) uniform: Uniform,
    pub(crate) groups: [u32; 3],
    pub(crate) cost: Cost,
}

impl Launch {
    pub(crate) fn new(kernel: Kernel, params: &impl WgslType, groups: [u32; 3], cost: Cost) -> Self {
        Launch { kernel, uniform: Uniform::of(params), groups, cost }
    }

    /// `invocations` in a row, their workgroups folded into two dimensions where WebGPU's limit of 65,535 a dimension
    /// asks for it ([`fold`]): the shader numbers itself `id.x + id.y * num_workgroups.x * {{WG}}`.
    pub(crate) fn linear(kernel: Kernel, params: &impl WgslType, invocations: usize, cost: Cost) -> Self {
        let groups = fold(invocations.div_ceil(kernel.workgroup[0] as usize));
        Launch::new(kernel, params, groups, cost)
    }

    /// `invocations` in a row, cut into dispatches of which none touches much more than the `limit`'s bytes, where
    /// `cost` is that of all together. `params` gives the uniform of the dispatch that begins with a certain invocation.
    pub(crate) fn split<P: WgslType>(
        kernel: Kernel,
        invocations: usize,
        cost: Cost,
        limit: DispatchLimit,
        params: impl Fn(u32) -> P,
    ) -> impl Iterator<Item = Launch> {
        let threads = kernel.workgroup[0] as usize;
        let groups = invocations.div_ceil(threads);
        let dispatches = cost.bytes / limit.bytes + 1;
        let at_once = groups.div_ceil(dispatches as usize).max(1);
        (0..groups).step_by(at_once).map(move |first| {
            let end = (first + at_once).min(groups);
            let cost = cost.part(first, end, groups);
            let params = params((first * threads) as u32);
            Launch::linear(kernel.clone(), &params, (end - first) * threads, cost)
        })
    }
}

/// The most workgroups that WebGPU guarantees a dimension.
pub(crate) const MAX_WORKGROUPS: usize = 65_535;

/// `groups` in a row as a grid within WebGPU's limits; the last row may be partly empty, so shaders check.
pub(crate) fn fold(groups: usize) -> [u32; 3] {
    if groups <= MAX_WORKGROUPS {
        return [groups.max(1) as u32, 1, 1];
    }
    let rows = groups.div_ceil(MAX_WORKGROUPS);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}

/// What one dispatch may do at most, so that none occupies a slow GPU for more than 100 ms: longer ones freeze the desktop
/// that shares the GPU, and trip Windows' watchdog after two seconds. More is split into several dispatches.
///
/// Convolutions are bound by arithmetic, which a slow GPU does 200 billion of in a second; the passes over whole
/// activations by memory, of which it moves 20 GB. A binding is 2 GiB at most and a pass touches up to five, so it can come
/// to that; what else there is touches two small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DispatchLimit {
    /// Arithmetic operations.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl DispatchLimit {
    pub(crate) const SHORT: DispatchLimit = DispatchLimit { flops: 20_000_000_000, bytes: 2_000_000_000 };
}

/// What a workgroup of the tiled product computes: `pixels` by `channels`, each invocation 8 pixels by 4 × `vectors`
/// channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Tile {
    pub pixels: u32,
    pub channels: u32,
    pub vectors: u32,
}

impl Tile {
    /// For products of up to 16 output channels, as in the first stage of a CIFAR network: a wider one would compute
    /// channels that nobody wants.
    pub(crate) const THIN: Tile = Tile { pixels: 128, channels: 16, vectors: 1 };
}

/// The tile for products of 17 to 32 output channels, and for wider ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Tiles {
    pub narrow: Tile,
    pub wide: Tile,
}

impl Tiles {
    /// Good on every GPU, until [`super::tune`] knows better.
    pub(crate) const DEFAULT: Tiles = Tiles {
        narrow: Tile { pixels: 128, channels: 32, vectors: 1 },
        wide: Tile { pixels: 64, channels: 64, vectors: 1 },
    };

    pub(crate) fn of(&self, channels: usize) -> Tile {
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
    pub(crate) software: bool,
    /// The number of lanes where every subgroup has the same and the shaders may shuffle across it, else 0.
    pub(crate) subgroup: u32,
    /// The largest storage binding, in bytes.
    pub max_binding: u64,
    /// Bytes of workgroup memory.
    pub(crate) max_shared: u32,
    /// What one dispatch may do.
    pub(crate) limit: DispatchLimit,
    /// For the tiled product.
    pub(crate) tiles: Tiles,
}

impl Adapter {
    /// WebGPU's default limits on a GPU without subgroups: what every adapter offers.
    pub(crate) const DEFAULT: Adapter = Adapter {
        software: false,
        subgroup: 0,
        max_binding: 128 << 20,
        max_shared: 16 << 10,
        limit: DispatchLimit::SHORT,
        tiles: Tiles::DEFAULT,
    };

    /// Whether it is Mesa's software adapter, by the widths that its subgroups may have.
    pub(crate) fn has_lanes(&self) -> bool {
        self.software && matches!(self.subgroup, 4 | 8 | 16)
    }

    /// Invocations in a workgroup of a kernel that treats values one by one: a software adapter runs a subgroup at a time.
    pub(crate) fn threads(&self) -> u32 {
        if self.software { self.subgroup.max(8) } else { 128 }
    }

    /// Invocations that share one sum: barriers are dear on a software adapter, idle lanes on a GPU.
    pub(crate) fn sharers(&self) -> u32 {
        if self.software { 1 } else { 64 }
    }
}

/// What the trial of a kernel found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Whether it computes what it should.
    pub(crate) right: bool,
    /// How long that took, compiling apart.
    pub(crate) took: Duration,
}

/// Something that runs dispatches, in order, each seeing what the ones before wrote.
pub trait Gpu {
    /// A range of device memory; a clone names the same range.
    type Buffer: Clone;
    fn adapter(&self) -> Adapter;
    /// Uninitialised memory of at least `bytes` bytes.
    fn empty(&self, bytes: usize) -> Self::Buffer;
    /// Memory with these bytes.
    fn upload(&self, bytes: &[u8]) -> Self::Buffer;
    /// Memory of zeros.
    fn zeros(&self, bytes: usize) -> Self::Buffer {
        self.upload(&vec![0; bytes])
    }
    /// `count` values of 32 bits from the `start`-th on, within a buffer.
    fn part(&self, whole: &Self::Buffer, start: usize, count: usize) -> Self::Buffer;
    /// Whether somebody else has the same memory, and would see what is written to it.
    fn is_shared(&self, _: &Self::Buffer) -> bool {
        false
    }
    /// Times, or records, what happens until the guard is dropped under this name.
    fn span(&self, _: &dyn Fn() -> String) -> Option<Timer<'_>> {
        None
    }
    /// Whether a kernel may be used here: as it was found before, or as `trial` finds; [`super::trial`].
    fn allows(&self, _kernel: &dyn Fn() -> String, _trial: &dyn Fn() -> Option<Found>) -> bool {
        true
    }
    /// What is in memory, where somebody can be asked.
    fn read(&self, _: &Self::Buffer) -> Option<Vec<u8>> {
        None
    }
    /// Queues the dispatch; buffer `i` is bound at `@binding(i)`, the uniform after the last.
    fn dispatch(&self, launch: Launch, buffers: &[&Self::Buffer]);
}

impl<G: Gpu> Gpu for &G {
    type Buffer = G::Buffer;

    fn adapter(&self) -> Adapter {
        (**self).adapter()
    }

    fn empty(&self, bytes: usize) -> G::Buffer {
        (**self).empty(bytes)
    }

    fn upload(&self, bytes: &[u8]) -> G::Buffer {
        (**self).upload(bytes)
    }

    fn zeros(&self, bytes: usize) -> G::Buffer {
        (**self).zeros(bytes)
    }

    fn part(&self, whole: &G::Buffer, start: usize, count: usize) -> G::Buffer {
        (**self).part(whole, start, count)
    }

    fn is_shared(&self, buffer: &G::Buffer) -> bool {
        (**self).is_shared(buffer)
    }

    fn span(&self, name: &dyn Fn() -> String) -> Option<Timer<'_>> {
        (**self).span(name)
    }

    fn allows(&self, kernel: &dyn Fn() -> String, trial: &dyn Fn() -> Option<Found>) -> bool {
        (**self).allows(kernel, trial)
    }

    fn read(&self, buffer: &G::Buffer) -> Option<Vec<u8>> {
        (**self).read(buffer)
    }

    fn dispatch(&self, launch: Launch, buffers: &[&G::Buffer]) {
        (**self).dispatch(launch, buffers);
    }
}
