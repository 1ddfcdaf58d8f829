use super::{As, close, devices, random};
use crate::ops::{
    Layout,
    optimizers::{AdamW, Factors, Lion, Rule, Sgd, Status, Update},
    wgpu::update::{self, Gradients},
};

fn update_of(rule: Rule, clip_norm: f32) -> Update {
    Update { rule, step: 3, lr: 0.1, weight_decay: 0.01, clip_norm, ema_decay: 0.9, scaled: true }
}

const fn sgd(momentum: f32, nesterov: bool) -> Rule {
    Rule::Sgd(Sgd { momentum, nesterov })
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
    states: [Vec<f32>; 2],
    average: Vec<f32>,
}

impl Case {
    fn new() -> Self {
        let layout = Layout::new([7, 64, 100, 1].map(|count| [1, 1, 1, count]));
        let total = layout.total;
        let mut gradients = vec![f32::NAN; total];
        for part in &layout.parts {
            gradients[part.range()].copy_from_slice(&random(part.count(), part.start as u64 + 9));
        }
        let states = [3, 4].map(|seed| random(total, seed).iter().map(|v| v.abs()).collect());
        Self { parameters: random(total, 1), gradients, states, average: random(total, 5), layout }
    }

    /// Index in the arena and factors of every value that is one.
    fn real(&self) -> impl Iterator<Item = (usize, Factors)> {
        let parts = self.layout.parts.iter().zip(FACTORS);
        parts.flat_map(|(part, factors)| part.range().map(move |i| (i, factors)))
    }

    fn pick(&self, values: &[f32]) -> Vec<f32> {
        self.real().map(|(i, _)| values[i]).collect()
    }

    /// Status, parameters, both states, averages.
    fn run(&self, gpu: &As, update: &Update, status: Status) -> (Status, [Vec<f32>; 4]) {
        let total = self.layout.total;
        let [parameters, gradients, first, second, average] =
            [&self.parameters, &self.gradients, &self.states[0], &self.states[1], &self.average]
                .map(|values| gpu.up(values));
        let table = gpu.up(self.layout.table(0, &FACTORS).as_flattened());
        let arena = [Gradients { total, values: &gradients, table: &table }];
        let decision = update::gradient_norm(gpu, &arena, &gpu.up(&status.values()), update);
        let states = [&first, &second];
        update::update(gpu, &arena[0], &parameters, &states[..update.rule.states()], &decision, update);
        update::blend(gpu, total, &average, &parameters, &decision, update.ema_decay);
        let lists = [parameters, first, second, average].map(|list| self.pick(&gpu.down(&list)));
        (Status::of(&gpu.down(&decision.status)), lists)
    }
}

#[test]
fn updates_match_plain_loops() {
    let adam = Rule::AdamW(AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8 });
    let lion = Rule::Lion(Lion { beta1: 0.9, beta2: 0.99 });
    let rules = [(sgd(0.0, false), 0.0), (sgd(0.9, false), 0.0), (sgd(0.9, true), 1.0), (adam, 0.5), (lion, 0.5)];
    for (rule, clip) in rules {
        let (case, update) = (Case::new(), update_of(rule, clip));
        let norm = case.real().map(|(i, _)| f64::from(case.gradients[i] / 4.0).powi(2)).sum::<f64>().sqrt();
        let factor = if clip > 0.0 { (f64::from(clip) / (norm + 1e-6)).min(1.0) } else { 1.0 } / 4.0;
        let mut want: [Vec<f64>; 4] = Default::default();
        for (i, factors) in case.real() {
            let (lr, decay) = (0.1 * f64::from(factors.lr), 0.01 * f64::from(factors.weight_decay));
            let (p, g) = (f64::from(case.parameters[i]), f64::from(case.gradients[i]) * factor);
            let [m, v] = [0, 1].map(|state: usize| f64::from(case.states[state][i]));
            let after = match rule {
                Rule::Sgd(Sgd { momentum, nesterov }) => {
                    let momentum = f64::from(momentum);
                    let g = g + decay * p;
                    let m = momentum * m + g;
                    want[1].push(if momentum == 0.0 { 0.0 } else { m });
                    // The state that it does not have stays.
                    want[2].push(v);
                    p - lr * if nesterov { g + momentum * m } else { m }
                }
                Rule::AdamW(_) => {
                    let (m, v) = (0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g);
                    want[1].push(m);
                    want[2].push(v);
                    let (by_m, by_v) = (1.0 - 0.9f64.powi(3), 1.0 - 0.99f64.powi(3));
                    p * (1.0 - lr * decay) - lr * (m / by_m) / ((v / by_v).sqrt() + 1e-8)
                }
                Rule::Lion(_) => {
                    want[1].push(0.99 * m + 0.01 * g);
                    want[2].push(v);
                    p - lr * ((0.9 * m + 0.1 * g).signum() + decay * p)
                }
            };
            want[0].push(after);
            want[3].push(0.9 * f64::from(case.average[i]) + 0.1 * after);
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
    let rule = sgd(0.9, true);
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
            let (status, lists) = case.run(&gpu, &update_of(rule, 0.0), before);
            let (want, go) = before.after(status.norm, true);
            assert!(!go && same(status, want), "{poison:?} after {before:?}: {status:?}, {want:?} was wanted");
            let [first, second] = &case.states;
            assert_eq!(lists, [&case.parameters, first, second, &case.average].map(|list| case.pick(list)));
        }
    }
}

/// Where a norm may be NaN.
fn same(a: Status, b: Status) -> bool {
    Status { norm: 0.0, ..a } == Status { norm: 0.0, ..b } && a.norm.total_cmp(&b.norm).is_eq()
}

#[test]
fn the_loss_scale_grows_with_patience_and_shrinks_at_once() {
    let patient = Status { since: Status::UPDATES_TO_DOUBLE - 1.0, ..SCALED };
    let largest = Status { scale: Status::MAX_SCALE, ..patient };
    let rule = sgd(0.9, false);
    for (before, scaled, scale, since) in [
        (SCALED, true, 4.0, 1.0),
        (patient, true, 8.0, 0.0),
        (largest, true, Status::MAX_SCALE, 0.0),
        (patient, false, 4.0, Status::UPDATES_TO_DOUBLE - 1.0),
    ] {
        for gpu in devices() {
            let (status, _) = Case::new().run(&gpu, &Update { scaled, ..update_of(rule, 0.0) }, before);
            assert_eq!(status, Status { scale, since, norm: status.norm, ..before });
            assert_eq!((status, true), before.after(status.norm, scaled));
        }
    }
    let mut case = Case::new();
    case.gradients[66] = f32::INFINITY;
    for gpu in devices() {
        let mut status = patient;
        for (scale, skipped, refused) in [(2.0, 1.0, 0.0), (1.0, 2.0, 0.0), (1.0, 2.0, 1.0), (1.0, 2.0, 2.0)] {
            status = case.run(&gpu, &update_of(rule, 0.0), status).0;
            assert_eq!((status.scale, status.skipped, status.refused), (scale, skipped, refused));
        }
    }
}
