use super::{As, close, devices, oracle, random};
use crate::ops::{
    kernels::{Factors, Rule, Update},
    wgpu::update::{self, Gradients, Layout},
};

fn update_of(rule: Rule, clip_norm: f32) -> Update {
    Update { rule, lr: 0.1, weight_decay: 0.01, clip_norm, ema_decay: 0.9, loss_scale: 4.0 }
}

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
    fn run(&self, gpu: &As, update: &Update, status: [f32; 2]) -> (Vec<f32>, [Vec<f32>; 4]) {
        let total = self.layout.total;
        let [parameters, gradients, moments] =
            [&self.parameters, &self.gradients, &self.moments].map(|values| gpu.up(values));
        let table = gpu.up(&self.layout.table(&FACTORS));
        let arena = Gradients { total, values: &gradients, table: &table };
        let verdict = update::gradient_norm(gpu, &[arena], &gpu.up(&status), update);
        let buffers = [&parameters, &gradients, &moments, &table];
        let (fresh, fresh_moments) = update::update(gpu, total, buffers, &verdict, update);
        let averages = update::blend(gpu, total, &moments, &fresh, &verdict, update.ema_decay);
        let both = gpu.down(&fresh_moments);
        let second = both.get(total..2 * total).map_or_else(Vec::new, |second| self.pick(second));
        let lists = [self.pick(&gpu.down(&fresh)), self.pick(&both), second, self.pick(&gpu.down(&averages))];
        (gpu.down(&verdict.status), lists)
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
            let (status, got) = case.run(&gpu, &update, [0.0; 2]);
            close("status", &status, &[0.0, norm]);
            for (what, (got, want)) in ["parameters", "first", "second", "averages"].iter().zip(got.iter().zip(&want)) {
                close(&format!("{what}, {rule:?}"), got, want);
            }
        }
    }
}

#[test]
fn an_update_is_refused_as_a_whole() {
    let sgd = Rule::Sgd { momentum: 0.9, nesterov: true };
    for (poison, before) in [(Some(f32::NAN), 0.0), (Some(f32::INFINITY), 0.0), (None, 1.0)] {
        let mut case = Case::new();
        if let Some(poison) = poison {
            case.gradients[66] = poison;
        }
        for gpu in devices() {
            let (status, [parameters, first, _, averages]) = case.run(&gpu, &update_of(sgd, 0.0), [before, 0.0]);
            assert_eq!(status[0], before + 1.0, "{poison:?}");
            let (old, moments) = (case.pick(&case.parameters), case.pick(&case.moments));
            assert_eq!((parameters, first, averages), (old, moments.clone(), moments));
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
