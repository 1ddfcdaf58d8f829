//! Kernels are compiled ahead of their first launch and side by side, where a driver would do it late and one by one.
//!
//! Mesa's software driver compiles a kernel when its first dispatch comes up in the queue, on the one thread that works
//! the queue off: for the 25 kernels of a ResNet-20's first step 1.4 s, in which the other cores wait. But it looks for
//! each in its cache on disk first, which all devices of a process share. So as soon as a network and the size of its
//! batches are known, while images and weights still travel, the launches of a step are planned without a device
//! ([`plan`]), and threads compile those kernels by dispatching each, with no workgroup at all, on devices of their own.
//! Who then makes the pipeline that runs ([`wait_for`]) finds the work done. The one that is not planned, which makes the
//! batch, the queue compiles meanwhile. Without that cache all is compiled twice; where the environment switches it off,
//! nothing is done.
//!
//! The drivers of GPUs compile when a pipeline is made, while earlier dispatches run already. Whether each of them
//! would use again what another thread had it compile is not known, so nothing is done for them.

use super::{
    client::Wgpu,
    head::{self, Labels, Objective},
    launch::{Adapter, Gpu, Kernel, Launch},
    pool,
    step::Step,
    unit::{self, Into, Norm, Saved},
    update::{self, Gradients},
};
use crate::device::Compute;
use std::{
    cell::RefCell,
    collections::VecDeque,
    iter,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};
use wgpu::util::DeviceExt;

/// Longer than the slowest machine takes for all kernels; a driver that takes longer compiles once more instead.
const PATIENCE: Duration = Duration::from_secs(20);

/// Mesa's ways to say that nothing is kept on disk.
const CACHE_OFF: [&str; 2] = ["MESA_SHADER_CACHE_DISABLE", "MESA_GLSL_CACHE_DISABLE"];

/// The kernels that this process has compiled ahead, or is about to; and whether it has.
static KERNELS: Mutex<Vec<(Kernel, bool)>> = Mutex::new(Vec::new());
static CHANGED: Condvar = Condvar::new();

fn kernels() -> MutexGuard<'static, Vec<(Kernel, bool)>> {
    KERNELS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A kernel and all that a driver knows of it before a workgroup runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned {
    pub kernel: Kernel,
    /// Mesa compiles for the very words where a branch depends on nothing else.
    params: Vec<u32>,
    /// Storage buffers that are bound.
    buffers: usize,
}

/// A device that only notes what it would do, the first launch of each kernel.
struct Notes {
    adapter: Adapter,
    planned: RefCell<Vec<Planned>>,
}

impl Gpu for Notes {
    type Buffer = ();

    fn adapter(&self) -> Adapter {
        self.adapter
    }

    fn empty(&self, _: usize) {}

    fn dispatch(&self, Launch { kernel, uniform, .. }: Launch, buffers: &[&()]) {
        let mut planned = self.planned.borrow_mut();
        if !planned.iter().any(|before| before.kernel == kernel) {
            planned.push(Planned { kernel, params: uniform.words, buffers: buffers.len() });
        }
    }
}

/// The kernels of a step in the order in which it launches them, less that which makes the batch.
pub(super) fn plan(adapter: Adapter, step: &Step) -> Vec<Planned> {
    let notes = Notes { adapter, planned: RefCell::default() };
    let Step { units, pool, head, backward, values, .. } = step;
    for (i, (sizes, residual)) in units.iter().enumerate() {
        let norm = Norm { gamma: &(), beta: &(), mean: &(), var: &() };
        unit::train(&notes, sizes, &(), &(), &norm, residual.then_some(&()), [&(), &()]);
        if let (0, Some(pool)) = (i, pool) {
            pool::max_pool(&notes, pool, &());
        }
    }
    head::forward(&notes, head, &(), &(), &());
    let labels = Labels { first: &(), second: &(), share: &() };
    let status = step.update.scaled.then_some(&());
    let objective = Objective { smoothing: step.smoothing, weights: None, status };
    head::cross_entropy(&notes, [head.batch, head.classes], &(), &labels, &(), &objective);
    let saved = head::Saved { grad: &(), features: &(), weight: &() };
    head::backward(&notes, head, &saved, [&(), &()], *backward);
    for (i, (sizes, residual)) in units.iter().enumerate().rev().filter(|_| *backward) {
        if let (0, Some(pool)) = (i, pool) {
            pool::max_pool_backward(&notes, pool, &(), &(), &());
        }
        let saved = Saved { x: &(), weight: &(), gamma: &(), y: &(), z: &(), mean: &(), inv_std: &() };
        let into = Into { weight: &(), gamma: &(), beta: &() };
        // The first unit's input needs no gradient.
        unit::backward(&notes, sizes, &(), &saved, &into, Some(&()), i > 0, *residual);
    }
    // Parameters move together in the first step.
    update::copy(&notes, head.classes, &(), &());
    let gradients = [Gradients { total: *values, values: &(), table: &() }];
    let verdict = update::gradient_norm(&notes, &gradients, &(), &step.update);
    update::update(&notes, *values, [&(); 4], &verdict, &step.update);
    update::blend(&notes, *values, &(), &(), &verdict, step.update.ema_decay);
    notes.planned.into_inner()
}

/// A kernel that somebody is to compile. Dropped without having been compiled, it is nobody's again.
struct Claim {
    planned: Planned,
    compiled: bool,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut kernels = kernels();
        if let Some(at) = kernels.iter().position(|(kernel, _)| *kernel == self.planned.kernel) {
            if self.compiled {
                kernels[at].1 = true;
            } else {
                kernels.swap_remove(at);
            }
        }
        CHANGED.notify_all();
    }
}

/// Kernels that are being compiled. Dropping it gives up what was not begun and waits for what was, so that no thread is in
/// the driver when the process ends.
#[must_use]
#[derive(Default)]
pub struct Ahead {
    waiting: Arc<Mutex<VecDeque<Claim>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to compile a step's kernels, if the device is one that gains from it.
    pub fn new(gpu: &Wgpu, compute: &Compute, step: &Step) -> Self {
        let adapter = gpu.adapter();
        // Eight lanes that shuffle: Mesa.
        let gains = adapter.software && adapter.subgroup == 8;
        if !gains || CACHE_OFF.iter().any(|name| std::env::var_os(name).is_some()) {
            return Self::default();
        }
        let claims: VecDeque<Claim> = {
            let mut kernels = kernels();
            let fresh = |planned: &Planned| !kernels.iter().any(|(kernel, _)| *kernel == planned.kernel);
            let fresh: Vec<Planned> = plan(adapter, step).into_iter().filter(fresh).collect();
            kernels.extend(fresh.iter().map(|planned| (planned.kernel.clone(), false)));
            fresh.into_iter().map(|planned| Claim { planned, compiled: false }).collect()
        };
        let count = thread::available_parallelism().map_or(1, usize::from).min(claims.len());
        let waiting = Arc::new(Mutex::new(claims));
        let start = || {
            let (waiting, compute) = (Arc::clone(&waiting), compute.clone());
            thread::Builder::new().name("compile".into()).spawn(move || work(&waiting, &compute)).ok()
        };
        let threads: Vec<_> = (0..count).map_while(|_| start()).collect();
        let ahead = Self { waiting, threads };
        if ahead.threads.is_empty() {
            ahead.give_up();
        }
        ahead
    }

    /// Whether kernels are yet to be begun.
    #[cfg(test)]
    pub(super) fn at_work(&self) -> bool {
        !self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn give_up(&self) {
        // Claims are dropped when the list is free again.
        let rest = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        drop(rest);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.give_up();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::debug!("a thread that compiled ahead broke off");
            }
        }
    }
}

/// Compiles what waits.
fn work(waiting: &Mutex<VecDeque<Claim>>, compute: &Compute) {
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let (device, queue) = match compute.another() {
        Ok(opened) => opened,
        Err(error) => {
            tracing::debug!("nothing is compiled ahead: {error}");
            // An adapter that opens no second device opens no third. Nobody shall wait for what is not compiled.
            while next().is_some() {}
            return;
        }
    };
    while let Some(mut claim) = next() {
        match compile(&device, &queue, &claim.planned) {
            Ok(()) => claim.compiled = true,
            // Who launches it tells.
            Err(error) => tracing::debug!("{} is not compiled ahead: {error}", claim.planned.kernel.name),
        }
    }
}

/// Has the driver compile a kernel from the very code that burn's client gives it, by which its cache knows it. Fails where
/// kernel and bindings do not fit, or the device is gone.
pub(super) fn compile(device: &wgpu::Device, queue: &wgpu::Queue, planned: &Planned) -> Result<(), String> {
    let Planned { kernel, params, buffers } = planned;
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let source = wgpu::ShaderSource::Wgsl(kernel.source().into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: None, source };
    // SAFETY: no workgroup runs.
    let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    });
    let storage = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 256,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let uniform = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(params),
        usage: wgpu::BufferUsages::UNIFORM,
    });
    let entries: Vec<_> = iter::repeat_n(&storage, *buffers)
        .chain([&uniform])
        .zip(0..)
        .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
        .collect();
    let layout = pipeline.get_bind_group_layout(0);
    let group =
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(0, 1, 1);
    }
    queue.submit([encoder.finish()]);
    let done = device.poll(wgpu::PollType::wait_indefinitely());
    if let Some(error) = cubecl::future::block_on(scope.pop()) {
        return Err(error.to_string());
    }
    done.map(drop).map_err(|error| error.to_string())
}

/// Returns when nobody is about to compile the kernel any more.
pub fn wait_for(kernel: &Kernel) {
    let kernels = kernels();
    if !kernels.is_empty() && !kernels.iter().any(|(other, _)| other == kernel) {
        tracing::debug!("{} was not planned", kernel.name);
    }
    let about = |kernels: &mut Vec<(Kernel, bool)>| kernels.iter().any(|(other, done)| !done && other == kernel);
    drop(CHANGED.wait_timeout_while(kernels, PATIENCE, about));
}
