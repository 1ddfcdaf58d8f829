use super::{As, close, devices, oracle, random};
use crate::ops::{
    kernels::{Factors, Rule, Status, Update},
    wgpu::update::{self, Gradients, Layout},
};

fn update_of(rule: Rule, clip_norm: f32) -> Update {
    Update { rule, lr: 0.1, weight_decay: 0.01, clip_norm, ema_decay: 0.9, scaled: true }
}

/// Gradients are those of four times the loss.
const SCALED: Status = Status { scale: 4.0, ..Status::START };

const FACTORS: [Factors; 4] = [
    Factors { lr: 1.0, weight_decay: 1.0 },
    Factors { lr: 0.5, weight_decay: 0.0 },
    Factors { lr: 1.0, weight_decay: 1.0 },
    Factors { lr: 1.0, weight_decay: 0.0 },
];

/// Arenas with NaN wherever no parameter lies, so that a gap that leaks into the norm shows.
struct Case {
    layout: Layout,
    parameters: Vec<f32>,
    gradients: Vec<f32>,
    moments: Vec<f32>,
}

impl Case {
    fn new() -> Self {
        let layout = Layout::new([7, 64, 100, 1]);
        let total = layout.total;
        let mut gradients = vec![f32::NAN; total];
        for &(start, count) in &layout.parts {
            gradients[start..start + count].copy_from_slice(&random(count, start as u64 + 9));
        }
        let moments = random(2 * total, 3).iter().map(|v| v.abs()).collect();
        Self { parameters: random(total, 1), gradients, moments, layout }
    }

    /// Index in the arena and factors of every value that is one.
    fn real(&self) -> impl Iterator<Item = (usize, Factors)> {
        let parts = self.layout.parts.iter().zip(FACTORS);
        parts.flat_map(|(&(start, count), factors)| (start..start + count).map(move |i| (i, factors)))
    }

    fn pick(&self, values: &[f32]) -> Vec<f32> {
        self.real().map(|(i, _)| values[i]).collect()
    }

    /// Status, parameters, first and second moments, averages.
    fn run(&self, gpu: &As, update: &Update, status: Status) -> (Status, [Vec<f32>; 4]) {
        let total = self.layout.total;
        let [parameters, gradients, moments] =
            [&self.parameters, &self.gradients, &self.moments].map(|values| gpu.up(values));
        let table = gpu.up(&self.layout.table(&FACTORS));
        let arena = Gradients { total, values: &gradients, table: &table };
        let verdict = update::gradient_norm(gpu, &[arena], &gpu.up(&status.values()), update);
        let buffers = [&parameters, &gradients, &moments, &table];
        let (fresh, fresh_moments) = update::update(gpu, total, buffers, &verdict, update);
        let averages = update::blend(gpu, total, &moments, &fresh, &verdict, update.ema_decay);
        let both = gpu.down(&fresh_moments);
        let second = both.get(total..2 * total).map_or_else(Vec::new, |second| self.pick(second));
        let lists = [self.pick(&gpu.down(&fresh)), self.pick(&both), second, self.pick(&gpu.down(&averages))];
        (Status::of(&gpu.down(&verdict.status)), lists)
    }
}

#[test]
fn updates_match_plain_loops() {
    let adam = Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8, step: 3 };
    for (rule, clip) in [
        (Rule::Sgd { momentum: 0.0, nesterov: false }, 0.0),
        (Rule::Sgd { momentum: 0.9, nesterov: false }, 0.0),
        (Rule::Sgd { momentum: 0.9, nesterov: true }, 1.0),
        (adam, 0.5),
    ] {
        let (case, update) = (Case::new(), update_of(rule, clip));
        let norm = case.real().map(|(i, _)| f64::from(case.gradients[i] / 4.0).powi(2)).sum::<f64>().sqrt();
        let factor = if clip > 0.0 { (f64::from(clip) / (norm + 1e-6)).min(1.0) } else { 1.0 } / 4.0;
        let mut want: [Vec<f64>; 4] = Default::default();
        for (i, factors) in case.real() {
            let (lr, decay) = (0.1 * f64::from(factors.lr), 0.01 * f64::from(factors.weight_decay));
            let (p, g) = (f64::from(case.parameters[i]), f64::from(case.gradients[i]) * factor);
            let (m, v) = (f64::from(case.moments[i]), f64::from(case.moments[i + case.layout.total]));
            let after = match rule {
                Rule::Sgd { momentum, nesterov } => {
                    let momentum = f64::from(momentum);
                    let g = g + decay * p;
                    let m = momentum * m + g;
                    want[1].push(if momentum == 0.0 { 0.0 } else { m });
                    p - lr * if nesterov { g + momentum * m } else { m }
                }
                Rule::AdamW { .. } => {
                    let (m, v) = (0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g);
                    want[1].push(m);
                    want[2].push(v);
                    let (by_m, by_v) = (1.0 - 0.9f64.powi(3), 1.0 - 0.99f64.powi(3));
                    p * (1.0 - lr * decay) - lr * (m / by_m) / ((v / by_v).sqrt() + 1e-8)
                }
            };
            want[0].push(after);
            want[3].push(0.9 * f64::from(case.moments[i]) + 0.1 * after);
        }
        for gpu in devices() {
            let (status, got) = case.run(&gpu, &update, SCALED);
            assert_eq!(status, Status { norm: status.norm, since: 1.0, ..SCALED });
            close("norm", &[status.norm], &[norm]);
            for (what, (got, want)) in ["parameters", "first", "second", "averages"].iter().zip(got.iter().zip(&want)) {
                close(&format!("{what}, {rule:?}"), got, want);
            }
        }
    }
}

#[test]
fn an_update_is_refused_as_a_whole() {
    let sgd = Rule::Sgd { momentum: 0.9, nesterov: true };
    let refused = Status { refused: 1.0, ..SCALED };
    // Infinite gradients of a scale above 1 may be the scale's fault.
    let unscaled = Status { scale: 1.0, ..SCALED };
    for (poison, before) in [
        (Some(f32::NAN), unscaled),
        (Some(f32::INFINITY), unscaled),
        (Some(f32::INFINITY), SCALED),
        (None, refused),
        (Some(f32::INFINITY), refused),
    ] {
        let mut case = Case::new();
        if let Some(poison) = poison {
            case.gradients[66] = poison;
        }
        for gpu in devices() {
            let (status, [parameters, first, _, averages]) = case.run(&gpu, &update_of(sgd, 0.0), before);
            let (want, go) = before.after(status.norm, true);
            assert!(!go && same(status, want), "{poison:?} after {before:?}: {status:?}, {want:?} was wanted");
            let (old, moments) = (case.pick(&case.parameters), case.pick(&case.moments));
            assert_eq!((parameters, first, averages), (old, moments.clone(), moments));
        }
    }
}

/// Where a norm may be NaN.
fn same(a: Status, b: Status) -> bool {
    Status { norm: 0.0, ..a } == Status { norm: 0.0, ..b } && a.norm.total_cmp(&b.norm).is_eq()
}

#[test]
fn the_loss_scale_grows_with_patience_and_shrinks_at_once() {
    let patient = Status { since: Status::PATIENCE - 1.0, ..SCALED };
    let largest = Status { scale: Status::MOST, ..patient };
    let sgd = Rule::Sgd { momentum: 0.9, nesterov: false };
    for (before, scaled, scale, since) in [
        (SCALED, true, 4.0, 1.0),
        (patient, true, 8.0, 0.0),
        (largest, true, Status::MOST, 0.0),
        (patient, false, 4.0, Status::PATIENCE - 1.0),
    ] {
        for gpu in devices() {
            let (status, _) = Case::new().run(&gpu, &Update { scaled, ..update_of(sgd, 0.0) }, before);
            assert_eq!(status, Status { scale, since, norm: status.norm, ..before });
            assert_eq!((status, true), before.after(status.norm, scaled));
        }
    }
    let mut case = Case::new();
    case.gradients[66] = f32::INFINITY;
    for gpu in devices() {
        let mut status = patient;
        for (scale, skipped, refused) in [(2.0, 1.0, 0.0), (1.0, 2.0, 0.0), (1.0, 2.0, 1.0), (1.0, 2.0, 2.0)] {
            status = case.run(&gpu, &update_of(sgd, 0.0), status).0;
            assert_eq!((status.scale, status.skipped, status.refused), (scale, skipped, refused));
        }
    }
}

#[test]
fn a_table_row_says_how_much_of_its_block_is_real() {
    let layout = Layout::new([7, 100]);
    assert_eq!(layout, Layout { parts: vec![(0, 7), (64, 100)], total: 192 });
    let rows = oracle::wide(&layout.table(&FACTORS[..2]));
    assert_eq!(rows, [1.0, 1.0, 7.0, 0.0, 0.5, 0.0, 64.0, 0.0, 0.5, 0.0, 36.0, 0.0]);
}
