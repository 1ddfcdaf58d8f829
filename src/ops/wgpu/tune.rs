//! Which tiles the products take on a GPU: measured once for each adapter and driver, and remembered on disk.
//!
//! How many values an invocation should hold depends on registers and schedulers that no limit tells. So the first run on
//! a GPU tries the few tiles below on two typical layers, for 300 ms at most; whatever was not tried by then is not used.
//! Where the result can't be kept nothing is measured: a start that is slow every time is worse than tiles that are good
//! everywhere. A tile changes no result: each value's sum runs in the same order.

use super::{
    client::Wgpu,
    conv::{self, Conv},
    launch::{Adapter, Gpu, Launch, Tile, Tiles},
    variant::Variant,
};
use crate::{
    atomic, cache,
    device::Compute,
    ops::{Storage, Window},
    text,
};
use cubecl::server::{Handle, ServerError};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const TIME_BUDGET: Duration = Duration::from_millis(300);
/// What another tile may take of the usual one's time to be preferred: less of a difference is noise.
const WORTHWHILE_RATIO: f64 = 0.95;

/// The usual tile first. All keep to WebGPU's default limits: 256 invocations, 16 KiB of workgroup memory.
const NARROW: [Tile; 3] = [Tiles::DEFAULT.narrow, tile(128, 32, 2), tile(64, 32, 1)];
const WIDE: [Tile; 4] = [Tiles::DEFAULT.wide, tile(128, 64, 2), tile(128, 64, 1), tile(64, 64, 2)];

const fn tile(pixels: u32, channels: u32, vectors: u32) -> Tile {
    Tile { pixels, channels, vectors }
}

/// Finds out the tiles of a device's GPU, the first time that it is used: from a file, or by measuring. Does nothing on
/// the CPU and on software adapters, which take another variant.
pub(crate) fn ready(compute: &Compute) {
    let (Some(gpu), Some(adapter)) = (Wgpu::of(compute), &compute.adapter) else { return };
    let Some(file) = cache::place(cache::Kind::Kernels) else { return };
    if gpu.adapter().software {
        return;
    }
    gpu.context.tiles.get_or_init(|| {
        let name = format!("{}, {}, {}", adapter.name, adapter.backend, adapter.driver);
        recall(&gpu, &name, &file).unwrap_or_else(|error| {
            tracing::warn!("the kernels for {name} stay as they are: {error}");
            Tiles::DEFAULT
        })
    });
}

/// Why tiles were neither read nor measured.
#[derive(Debug, thiserror::Error)]
enum TuneError {
    #[error("{} can't be written: {error}", text::path(path))]
    Write { path: PathBuf, error: std::io::Error },
    #[error("{0:?}")]
    Device(ServerError),
}

/// The tiles in `file`; measured and added to it if they are not there.
fn recall(gpu: &Wgpu, adapter: &str, file: &Path) -> Result<Tiles, TuneError> {
    // Another version may have other kernels.
    let key = format!("{adapter}, Kindling {}", env!("CARGO_PKG_VERSION"));
    // What can't be read is measured anew.
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut all: BTreeMap<String, Tiles> = serde_json::from_str(&text).unwrap_or_default();
    if let Some(tiles) = all.get(&key).filter(|tiles| NARROW.contains(&tiles.narrow) && WIDE.contains(&tiles.wide)) {
        return Ok(*tiles);
    }
    store(file, &all)?;
    let tiles = measure(gpu, TIME_BUDGET).map_err(TuneError::Device)?;
    all.insert(key, tiles);
    store(file, &all)?;
    Ok(tiles)
}

fn store(file: &Path, all: &BTreeMap<String, Tiles>) -> Result<(), TuneError> {
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        atomic::write(file, |out| Ok(serde_json::to_writer_pretty(out, all)?))
    };
    write().map_err(|error| TuneError::Write { path: file.to_owned(), error })
}

/// A GPU that takes certain tiles.
struct With<'a> {
    gpu: &'a Wgpu,
    tiles: Tiles,
}

impl Gpu for With<'_> {
    type Buffer = Handle;

    fn adapter(&self) -> Adapter {
        Adapter { tiles: self.tiles, ..self.gpu.adapter() }
    }

    fn empty(&self, bytes: usize) -> Handle {
        self.gpu.empty(bytes)
    }

    fn upload(&self, bytes: &[u8]) -> Handle {
        self.gpu.upload(bytes)
    }

    fn part(&self, whole: &Handle, start: usize, count: usize) -> Handle {
        self.gpu.part(whole, start, count)
    }

    fn dispatch(&self, launch: Launch, buffers: &[&Handle]) {
        self.gpu.dispatch(launch, buffers);
    }
}

/// The quickest tiles, on a layer of an ImageNet network and on one of a CIFAR network.
fn measure(gpu: &Wgpu, budget: Duration) -> Result<Tiles, ServerError> {
    let end = Instant::now() + budget;
    let layer = |batch, side, channels| {
        let window = Window { kernel: [3, 3], stride: [1, 1], pad: [[1; 2]; 2] };
        Conv { batch, input: [side; 2], ci: channels, co: channels, window, groups: 1, storage: Storage::F32 }
    };
    let usual = Tiles::DEFAULT;
    // The wide ones first: they are where most of the time goes.
    let wide = quickest(gpu, &layer(16, 28, 128), &WIDE, |tile| Tiles { wide: tile, ..usual }, end)?;
    let narrow = quickest(gpu, &layer(64, 16, 32), &NARROW, |tile| Tiles { narrow: tile, ..usual }, end)?;
    Ok(Tiles { narrow, wide })
}

fn quickest(
    gpu: &Wgpu,
    conv: &Conv,
    candidates: &[Tile],
    tiles: impl Fn(Tile) -> Tiles,
    end: Instant,
) -> Result<Tile, ServerError> {
    let filled = |count: usize| {
        // Values of ordinary size: denormal numbers are slow on some devices.
        let values: Vec<f32> = (0..count).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5).collect();
        gpu.client.create_from_slice(bytemuck::cast_slice(&values))
    };
    let x = filled(conv.batch * conv.input[0] * conv.input[1] * conv.ci);
    let weight = filled(conv.window.kernel[0] * conv.window.kernel[1] * conv.ci * conv.co);
    let time = |tile: Tile, times: usize| -> Result<f64, ServerError> {
        let with = With { gpu, tiles: tiles(tile) };
        let start = Instant::now();
        for _ in 0..times {
            conv::forward(&with, conv, &x, &weight, Variant::Tiled);
        }
        cubecl::future::block_on(gpu.client.sync())?;
        Ok(start.elapsed().as_secs_f64())
    };
    let (mut best, mut best_s) = (candidates[0], f64::INFINITY);
    for &tile in candidates {
        if Instant::now() >= end {
            break;
        }
        // The first compiles the kernel; several at once, so that the wait is not what is measured.
        time(tile, 1)?;
        let mut seconds = f64::INFINITY;
        for _ in 0..3 {
            if Instant::now() < end {
                seconds = seconds.min(time(tile, 4)?);
            }
        }
        if seconds < best_s * if tile == candidates[0] { 1.0 } else { WORTHWHILE_RATIO } {
            (best, best_s) = (tile, seconds);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::{Choice, open},
        needs,
    };

    fn gpu() -> Option<Wgpu> {
        needs::found("gpu", open(Choice::BestGpu)).and_then(|compute| Wgpu::of(&compute))
    }

    #[test]
    fn what_was_measured_is_kept_by_adapter_and_read_again() {
        let Some(gpu) = gpu() else { return };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/kernels.json");
        let tiles = recall(&gpu, "a card, driver 1", &file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("a card, driver 1, Kindling"), "{text}");
        // What is in the file under another name is read, not measured.
        let wide = if tiles.wide == WIDE[2] { WIDE[3] } else { WIDE[2] };
        let kept = Tiles { wide, ..tiles };
        let key = format!("another, Kindling {}", env!("CARGO_PKG_VERSION"));
        store(&file, &BTreeMap::from([(key, kept)])).unwrap();
        assert_eq!(recall(&gpu, "another", &file).unwrap(), kept);
        // Nonsense is measured anew, and where nothing can be kept nothing is measured.
        fs::write(&file, "nonsense").unwrap();
        recall(&gpu, "another", &file).unwrap();
        assert!(fs::read_to_string(&file).unwrap().contains("another"));
        assert!(matches!(recall(&gpu, "another", &file.join("kernels.json")), Err(TuneError::Write { .. })));
    }

    #[test]
    fn without_time_the_usual_tiles_are_taken() {
        let Some(gpu) = gpu() else { return };
        assert_eq!(measure(&gpu, Duration::ZERO).unwrap(), Tiles::DEFAULT);
    }

    #[test]
    fn all_tiles_keep_to_the_default_limits() {
        for tile in NARROW.into_iter().chain(WIDE).chain([Tile::THIN]) {
            let threads = tile.pixels * tile.channels / (32 * tile.vectors);
            assert!(threads <= 256 && (tile.pixels * 4).is_multiple_of(threads), "{tile:?}");
            assert!(4 * 16 * (tile.pixels + tile.channels) <= Adapter::DEFAULT.max_shared, "{tile:?}");
            assert!(tile.channels.is_multiple_of(4 * tile.vectors), "{tile:?}");
        }
    }
}
