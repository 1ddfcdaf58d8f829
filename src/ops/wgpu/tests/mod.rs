//! Every kernel against plain loops in `f64`, on the adapter at hand, planned both for software adapters and for GPUs.

mod ahead;
mod arenas;
mod conv;
mod conv_bn;
mod costs;
mod gather;
mod head;
mod measure;
mod norm;
mod oracle;
mod sources;
mod structs;
mod trial;
mod update;

use super::{
    client::Wgpu,
    launch::{Adapter, DispatchLimit, Gpu, Launch, Tile, Tiles},
};
use crate::ops::Storage;
use cubecl::{
    device::{WgpuDevice, WgpuDeviceKind},
    server::Handle,
};

/// A device that pretends to be another kind of adapter, so that the plans for both kinds run on whatever there is.
struct As {
    gpu: Wgpu,
    adapter: Adapter,
}

impl Gpu for As {
    type Buffer = Handle;

    fn adapter(&self) -> Adapter {
        self.adapter
    }

    /// Filled with NaN, in 32 and in 16 bits: what a kernel fails to write, or reads before it is written, shows.
    fn empty(&self, bytes: usize) -> Handle {
        self.gpu.client.create_from_slice(&vec![0xff; bytes.next_multiple_of(16).max(16)])
    }

    fn upload(&self, bytes: &[u8]) -> Handle {
        self.gpu.upload(bytes)
    }

    fn part(&self, whole: &Handle, start: usize, count: usize) -> Handle {
        self.gpu.part(whole, start, count)
    }

    fn is_shared(&self, buffer: &Handle) -> bool {
        self.gpu.is_shared(buffer)
    }

    fn dispatch(&self, launch: Launch, buffers: &[&Handle]) {
        self.gpu.dispatch(launch, buffers);
    }
}

impl As {
    fn up(&self, values: &[f32]) -> Handle {
        self.gpu.client.create_from_slice(bytemuck::cast_slice(values))
    }

    /// Activations.
    fn store(&self, values: &[f32], storage: Storage) -> Handle {
        let mut bytes = storage.to_bytes(values);
        if storage == Storage::F16 {
            bytes.resize(bytes.len().next_multiple_of(16), 0);
        }
        self.gpu.client.create_from_slice(&bytes)
    }

    /// What [`As::store`] takes.
    fn load(&self, handle: &Handle, storage: Storage) -> Vec<f32> {
        let bytes = self.gpu.client.read_one(handle.clone()).expect("the launches before it succeeded");
        storage.to_numbers(&bytes)
    }

    fn up_int(&self, values: &[i32]) -> Handle {
        self.gpu.client.create_from_slice(bytemuck::cast_slice(values))
    }

    fn down(&self, handle: &Handle) -> Vec<f32> {
        let bytes = self.gpu.client.read_one(handle.clone()).expect("the launches before it succeeded");
        bytemuck::pod_collect_to_vec(&bytes)
    }
}

/// The adapter at hand posing as others; empty without one.
fn posing(adapters: impl Fn(Adapter) -> Vec<Adapter>) -> Vec<As> {
    if !crate::needs::has("gpu", !crate::device::adapters().is_empty(), "no GPU adapter") {
        return Vec::new();
    }
    let device = cubecl::Device::Wgpu(WgpuDevice::from(WgpuDeviceKind::DefaultDevice));
    let gpu = Wgpu { client: device.client(), device, context: Default::default(), profile: Default::default() };
    adapters(gpu.adapter()).into_iter().map(|adapter| As { gpu: gpu.clone(), adapter }).collect()
}

/// The adapter under its own colours and, with the same kernels that a GPU would run, as a GPU; both also where no
/// dispatch may do more than a little, so that all are split.
fn devices() -> Vec<As> {
    let limit = DispatchLimit { flops: 10_000, bytes: 1_000 };
    posing(|own| {
        let mut adapters = vec![own, Adapter { limit, ..own }];
        if own != Adapter::DEFAULT {
            adapters.extend([Adapter::DEFAULT, Adapter { limit, ..Adapter::DEFAULT }]);
        }
        adapters
    })
}

/// A GPU with each of the tiles that it may be given for its products, narrow and wide ones alike.
fn devices_with_tiles() -> Vec<As> {
    let tile = |pixels, channels, vectors| Tile { pixels, channels, vectors };
    let tiles = [tile(128, 64, 2), tile(128, 64, 1), tile(64, 64, 2), tile(128, 32, 2), tile(64, 32, 1)];
    posing(|_| tiles.map(|tile| Adapter { tiles: Tiles { narrow: tile, wide: tile }, ..Adapter::DEFAULT }).to_vec())
}

/// How activations may be stored on the adapter at hand.
fn storages() -> Vec<Storage> {
    let half = crate::device::adapters().iter().any(|adapter| adapter.f16);
    if half { vec![Storage::F32, Storage::F16] } else { vec![Storage::F32] }
}

/// Values as they are once they are stored.
fn stored(mut values: Vec<f32>, storage: Storage) -> Vec<f32> {
    if storage == Storage::F16 {
        values.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
    }
    values
}

/// Values in ±0.5, a function of the seed.
fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

/// Holds `got` against `want`, relative to the largest wanted value.
fn close(what: &str, got: &[f32], want: &[f64]) {
    close_stored(what, got, want, Storage::F32);
}

/// [`close`] for activations, which are rounded when they are stored.
fn close_stored(what: &str, got: &[f32], want: &[f64], storage: Storage) {
    // One unit in the last place: devices may round either way.
    let most = if storage == Storage::F16 { 1e-3 } else { 2e-5 };
    assert!(got.len() >= want.len(), "{what}: {} values, {} wanted", got.len(), want.len());
    let scale = want.iter().fold(1e-3f64, |most, v| most.max(v.abs()));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        // Written so that NaN fails.
        let fits = (f64::from(got) - want).abs() <= most * scale;
        assert!(fits, "{what}: value {i} is {got}, {want} was wanted (the largest is {scale})");
    }
}
