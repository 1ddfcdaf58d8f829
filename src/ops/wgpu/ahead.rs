//! Kernels are compiled ahead of their first launch and side by side, where a driver would do it late and one by one.
//!
//! Mesa's software driver compiles a kernel when its first dispatch comes up in the queue, on the one thread that works
//! the queue off: for the 25 kernels of a ResNet-20's first step 1.4 s, in which the other cores wait. But it looks for
//! each in its cache on disk first, which all devices of a process share. So as soon as a network and the size of its
//! batches are known, while images and weights still travel, a step is recorded without a device
//! ([`recorder`](super::recorder)), and threads compile those kernels by dispatching each, with no workgroup at all, on
//! devices of their own. Who then makes the pipeline that runs ([`Compiled::wait_for`]) finds the work done. Without that
//! cache all is compiled twice; where the environment switches it off, nothing is done.
//!
//! The drivers of GPUs compile when a pipeline is made, while earlier dispatches run already. Whether each of them
//! would use again what another thread had it compile is not known, so nothing is done for them.

use super::{client::Wgpu, compiled::Compiled, launch::Gpu, recorder::Recorded};
use crate::device::Compute;
use std::{
    collections::VecDeque,
    iter,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};
use wgpu::util::DeviceExt;

/// Mesa's ways to say that nothing is kept on disk.
const CACHE_OFF: [&str; 2] = ["MESA_SHADER_CACHE_DISABLE", "MESA_GLSL_CACHE_DISABLE"];

/// A kernel that somebody is to compile. Dropped without having been compiled, it is nobody's again.
struct Claim {
    of: Arc<Compiled>,
    first: Recorded,
    compiled: bool,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.of.settle(&self.first.launch.kernel, self.compiled);
    }
}

/// Kernels that are being compiled. Dropping it gives up what was not begun and waits for what was, so that no thread is in
/// the driver when the process ends.
#[must_use]
#[derive(Default)]
pub(crate) struct Ahead {
    waiting: Arc<Mutex<VecDeque<Claim>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to compile the kernels of a step, if the device is one that gains from it. `step` records it.
    pub(crate) fn new(gpu: &Wgpu, compute: &Compute, step: impl FnOnce() -> Vec<Recorded>) -> Self {
        let adapter = gpu.adapter();
        // Mesa.
        if !adapter.has_lanes() || CACHE_OFF.iter().any(|name| std::env::var_os(name).is_some()) {
            return Self::default();
        }
        let compiled = &gpu.context.compiled;
        let fresh = step().into_iter().filter(|recorded| compiled.claim(&recorded.launch.kernel));
        let claims: VecDeque<Claim> =
            fresh.map(|first| Claim { of: compiled.clone(), first, compiled: false }).collect();
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
        match compile(&device, &queue, &claim.first) {
            Ok(()) => claim.compiled = true,
            // Who launches it tells.
            Err(error) => tracing::debug!("{} is not compiled ahead: {error}", claim.first.launch.kernel.name),
        }
    }
}

/// Has the driver compile a kernel from the very code that burn's client gives it, by which its cache knows it. Fails where
/// kernel and bindings do not fit, or the device is gone.
pub(super) fn compile(device: &wgpu::Device, queue: &wgpu::Queue, recorded: &Recorded) -> Result<(), String> {
    let Recorded { launch, buffers, .. } = recorded;
    // Mesa compiles for the very words where a branch depends on nothing else.
    let (kernel, params) = (&launch.kernel, &launch.uniform.words);
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
    let entries: Vec<_> = iter::repeat_n(&storage, buffers.len())
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
