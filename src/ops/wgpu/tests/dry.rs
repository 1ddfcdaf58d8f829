//! A device that runs nothing and keeps every launch.

use crate::ops::{
    kernels::{Rule, Update},
    wgpu::{
        conv::Conv,
        head::{self, Head, Labels, Objective},
        launch::{Adapter, Gpu, Launch},
        pool::{self, Pool},
        unit::{self, Into, Norm, Saved, Sizes},
        update::{self, Gradients},
    },
};
use std::cell::RefCell;

pub struct Dry {
    adapter: Adapter,
    pub launches: RefCell<Vec<Launch>>,
}

impl Gpu for Dry {
    type Buffer = ();

    fn adapter(&self) -> Adapter {
        self.adapter
    }

    fn empty(&self, _: usize) {}

    fn dispatch(&self, launch: Launch, _: &[&()]) {
        self.launches.borrow_mut().push(launch);
    }
}

impl Dry {
    pub fn new(adapter: Adapter) -> Self {
        Self { adapter, launches: RefCell::default() }
    }

    /// A unit with ReLU, forward and backward.
    pub fn unit(&self, conv: &Conv, residual: bool) {
        let sizes = Sizes { conv: *conv, relu: true, eps: 1e-5, momentum: 0.1 };
        let norm = Norm { gamma: &(), beta: &(), mean: &(), var: &() };
        unit::train(self, &sizes, &(), &(), &norm, residual.then_some(&()), [&(), &()]);
        let saved = Saved { x: &(), weight: &(), gamma: &(), y: &(), z: &(), mean: &(), inv_std: &() };
        let into = Into { weight: &(), gamma: &(), beta: &() };
        unit::backward(self, &sizes, &(), &saved, &into, None, true, residual);
    }

    pub fn pool(&self, pool: &Pool) {
        pool::max_pool(self, pool, &());
        pool::max_pool_backward(self, pool, &(), &(), &());
    }

    /// A head with its loss, forward and backward.
    pub fn head(&self, head: &Head) {
        head::forward(self, head, &(), &(), &());
        let labels = Labels { first: &(), second: &(), share: &() };
        let objective = Objective { smoothing: 0.1, weights: None, status: None };
        head::cross_entropy(self, [head.batch, head.classes], &(), &labels, &(), &objective);
        let saved = head::Saved { grad: &(), features: &(), weight: &() };
        head::backward(self, head, &saved, [&(), &()], true);
    }

    /// An update of so many values, with their average.
    pub fn update(&self, values: usize, rule: Rule) {
        let update = Update { rule, lr: 0.1, weight_decay: 1e-4, clip_norm: 0.0, ema_decay: 0.9, scaled: false };
        let arenas = [Gradients { total: values, values: &(), table: &() }];
        let verdict = update::gradient_norm(self, &arenas, &(), &update);
        update::update(self, values, [&(); 4], &verdict, &update);
        update::blend(self, values, &(), &(), &verdict, update.ema_decay);
    }
}
