//! A product's kernel proves itself at its first use: on a small case, against loops on the CPU.
//!
//! Drivers have faults that no list foresees, and a network that learns from wrong products looks like a bad recipe. So the
//! first time that an adapter with a driver is to run a kernel of a convolution, it computes a small one of the same
//! kind. What it said is kept in the cache; where it was wrong, [`Variant::Plain`] stands in. Waiting for the driver to
//! compile the kernel is no loss, since the step waits for it all the same; the rest takes about a millisecond a kernel, and
//! where all of them would take longer than [`TIME_BUDGET`] those that come last are tried at the next start.

use super::{
    conv::{self, Conv},
    launch::{Found, Gpu, Tile},
    variant::{Product, Variant},
    weight_gradient,
};
use crate::{atomic, cache, device, ops::Storage};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What trials may cost a process, compiling apart.
const TIME_BUDGET: Duration = Duration::from_millis(200);

/// By adapter and version, which kernels compute rightly there.
type Verdicts = BTreeMap<String, BTreeMap<String, bool>>;

/// What is known of an adapter's kernels.
pub(crate) struct Trials {
    adapter: String,
    /// Where it is kept, if anywhere.
    file: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    verdicts: BTreeMap<String, bool>,
    spent: Duration,
}

impl Trials {
    /// Those of an adapter, with what is kept of them.
    pub(crate) fn of(adapter: &device::Adapter) -> Self {
        Self::kept(&name(adapter), cache::place(cache::Kind::Trials))
    }

    pub(super) fn kept(adapter: &str, file: Option<PathBuf>) -> Self {
        let verdicts = file.as_deref().map(load).and_then(|mut all| all.remove(adapter)).unwrap_or_default();
        Self { adapter: adapter.to_owned(), file, state: Mutex::new(State { verdicts, spent: Duration::ZERO }) }
    }

    /// Whether a kernel may be used: as it was found, or as `trial` finds now. What can't be tried is trusted.
    pub(crate) fn allow(&self, kernel: &str, trial: &dyn Fn() -> Option<Found>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&right) = state.verdicts.get(kernel) {
            return right;
        }
        if state.spent >= TIME_BUDGET {
            return true;
        }
        let Some(Found { right, took }) = trial() else { return true };
        state.spent += took;
        if !right {
            tracing::warn!("{kernel} computes wrong results on {}; a plainer kernel stands in for it", self.adapter);
        }
        state.verdicts.insert(kernel.to_owned(), right);
        if let Some(file) = &self.file {
            let mut all = load(file);
            all.insert(self.adapter.clone(), state.verdicts.clone());
            if let Err(error) = store(file, &all) {
                tracing::debug!("what trials found is not kept: {error}");
            }
        }
        right
    }
}

/// The kernels that were found to compute wrong results on an adapter.
pub(crate) fn wrong(adapter: &device::Adapter) -> Vec<String> {
    let kept = cache::place(cache::Kind::Trials).map(|file| load(&file)).unwrap_or_default();
    let of_adapter = kept.get(&name(adapter)).into_iter().flatten();
    of_adapter.filter(|(_, right)| !**right).map(|(kernel, _)| kernel.clone()).collect()
}

/// Another version may have other kernels.
fn name(device::Adapter { name, backend, driver, .. }: &device::Adapter) -> String {
    format!("{name}, {backend}, {driver}, Kindling {}", env!("CARGO_PKG_VERSION"))
}

/// What can't be read is found out anew.
fn load(file: &Path) -> Verdicts {
    fs::read_to_string(file).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn store(file: &Path, all: &Verdicts) -> io::Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    atomic::write(file, |out| Ok(serde_json::to_writer_pretty(out, all)?))
}

/// The variant by which an adapter computes a product of a convolution.
pub(crate) fn variant<G: Gpu>(gpu: &G, product: Product, conv: &Conv) -> Variant {
    let adapter = gpu.adapter();
    let usual = Variant::choose(&adapter);
    let small = small(product, conv);
    let Conv { ci, co, window, storage, .. } = small;
    let ([kh, kw], [down, right]) = (window.kernel, window.stride);
    let columns = if matches!(product, Product::InputGradient { .. }) { ci } else { co };
    let tile = match usual {
        Variant::Tiled => {
            let Tile { pixels, channels, vectors } = adapter.tiles.of(columns);
            format!(", tile {pixels}x{channels}x{vectors}")
        }
        Variant::Lanes(_) | Variant::Plain => String::new(),
    };
    let kernel = || format!("{product}, {usual:?}{tile}, {kh}x{kw}/{down}x{right} {ci}→{co}, {storage:?}");
    if gpu.allows(&kernel, &|| holds(gpu, product, &small, usual)) { usual } else { Variant::Plain }
}

/// A convolution that takes the same kernel: what is summed over in fours or not, and more of it than a step has; as
/// many results as take the same tile, and more than one of it; pixels at all borders and inside.
fn small(product: Product, conv: &Conv) -> Conv {
    let rest = |channels: usize| channels % 4;
    let sum = |channels: usize| if channels <= 20 { channels } else { 20 + rest(channels) };
    let results = |channels: usize| match channels {
        ..=20 => channels,
        21..=32 => 24 + rest(channels),
        _ => 68 + rest(channels),
    };
    let (ci, co) = match product {
        Product::InputGradient { .. } => (results(conv.ci), sum(conv.co)),
        Product::Forward | Product::WeightGradient => (sum(conv.ci), results(conv.co)),
    };
    let [h, w] = conv.window.kernel;
    Conv { batch: 2, input: [h + 3, w + 2], ci, co, groups: 1, ..*conv }
}

/// Numbers around 0 that 16-bit floats have.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i + seed) * 7919 % 31) as f32 / 16.0 - 0.9375).collect()
}

/// Whether the device computes a product as the CPU does; `None` where it can't be asked.
fn holds<G: Gpu>(gpu: &G, product: Product, conv: &Conv, variant: Variant) -> Option<Found> {
    let counts = [conv.input_values(), conv.output_values(), conv.weight_count()];
    let [x, y, weight] = [0, 1, 2].map(|i| numbers(counts[i], 11 * i));
    let [up_x, up_y] = [&x, &y].map(|values| gpu.upload(&conv.storage.to_bytes(values)));
    let up_weight = gpu.upload(bytemuck::cast_slice(&weight));
    let (result, stored) = match product {
        Product::Forward => (conv::forward(gpu, conv, &up_x, &up_weight, variant), conv.storage),
        Product::InputGradient { add } => {
            let add = add.then_some(&up_x);
            (conv::input_gradient(gpu, conv, &up_y, &up_weight, add, variant), conv.storage)
        }
        Product::WeightGradient => {
            let dw = gpu.empty(4 * counts[2]);
            weight_gradient::run(gpu, conv, &up_x, &up_y, &dw, variant);
            (dw, Storage::F32)
        }
    };
    let bytes = gpu.read(&result)?;
    let start = Instant::now();
    let mut want = match product {
        Product::InputGradient { add: true } => x.clone(),
        Product::InputGradient { add: false } => vec![0.0; counts[0]],
        Product::Forward => vec![0.0; counts[1]],
        Product::WeightGradient => vec![0.0; counts[2]],
    };
    each_product(conv, |from, to, at| match product {
        Product::Forward => want[to] += x[from] * weight[at],
        Product::InputGradient { .. } => want[from] += y[to] * weight[at],
        Product::WeightGradient => want[at] += x[from] * y[to],
    });
    let largest = want.iter().fold(1.0f32, |most, value| most.max(value.abs()));
    let slack = largest * if stored == Storage::F16 { 2e-3 } else { 1e-4 };
    let got = stored.to_numbers(&bytes);
    // Written so that what is no number is wrong.
    let right = got.len() >= want.len() && got.iter().zip(&want).all(|(got, want)| (got - want).abs() <= slack);
    Some(Found { right, took: start.elapsed() })
}

/// Calls `visit(input value, output value, weight)` for every product that a convolution in one group forms.
fn each_product(conv: &Conv, mut visit: impl FnMut(usize, usize, usize)) {
    let ([oh, ow], [h, w], [kh, kw]) = (conv.output(), conv.input, conv.window.kernel);
    let Conv { ci, co, window, .. } = *conv;
    for out in 0..conv.output_pixels() {
        let (image, oy, ox) = (out / (oh * ow), out / ow % oh, out % ow);
        for tap in 0..kh * kw {
            let y = (oy * window.stride[0] + tap / kw).wrapping_sub(window.pad[0][0]);
            let x = (ox * window.stride[1] + tap % kw).wrapping_sub(window.pad[1][0]);
            if y < h && x < w {
                let from = ((image * h + y) * w + x) * ci;
                for i in 0..ci {
                    (0..co).for_each(|o| visit(from + i, out * co + o, (tap * ci + i) * co + o));
                }
            }
        }
    }
}
