//! What is kept of a layer for its evaluation follows the layer.

use crate::ops::{
    Activation, Arena, ConvBn, ConvBnInput, Cpu, LayerTensors, Layout, Ops, Window,
    cpu::{element, memory::Array},
};
use std::sync::Arc;

const CHANNELS: usize = 16;

/// Values by the tensor and `seed`: positive, as variances are.
fn arena(shapes: &[[usize; 4]], seed: usize) -> Arena<<Cpu as Ops>::Memory> {
    Cpu::default().fill(&Arc::new(Layout::new(shapes.iter().copied())), 0, |tensor, values| {
        let value = |i: usize| ((i + 7 * tensor + 31 * seed) % 13) as f32 / 13.0 + 0.1;
        values.iter_mut().enumerate().for_each(|(i, to)| *to = value(i));
    })
}

fn images(side: usize) -> Array {
    let shape = [2, side, side, CHANNELS];
    let mut values = element::take::<f32>(shape.iter().product());
    values.iter_mut().enumerate().for_each(|(i, value)| *value = (i % 11) as f32 / 11.0 - 0.4);
    Array::new(values, shape)
}

#[test]
fn an_evaluation_sees_weights_and_statistics_as_they_are() {
    let vector = [1, 1, 1, CHANNELS];
    let of_weights = [[3, 3, CHANNELS, CHANNELS], vector, vector];
    let (mut parameters, mut statistics) = (arena(&of_weights, 0), arena(&[vector; 2], 1));
    let op = ConvBn {
        window: Window { kernel: [3, 3], stride: [1, 1], pad: [[1; 2]; 2] },
        groups: 1,
        activation: Activation::Relu,
        residual: false,
        eps: 1e-5,
        momentum: 0.1,
    };
    let kept = Cpu::default();
    let eval = |ops: &Cpu, parameters: &_, statistics: &_, x: &Array| {
        let [weight, gamma, beta] = [0, 1, 2].map(|i| ops.view(parameters, i));
        let [mean, var] = [0, 1].map(|i| ops.view(statistics, i));
        let layer = LayerTensors { weight, gamma, beta, mean, var };
        ops.conv_bn_eval(&op, ConvBnInput { x, layer, residual: None }).to_vec()
    };
    let mut seen = Vec::new();
    for (what, weights, statistics_of, side) in [
        ("first", 0, 1, 6),
        ("again", 0, 1, 6),
        ("other weights", 2, 1, 6),
        ("other statistics", 2, 3, 6),
        ("a row", 2, 3, 1),
    ] {
        kept.overlay(&mut parameters, &arena(&of_weights, weights));
        kept.overlay(&mut statistics, &arena(&[vector; 2], statistics_of));
        let x = images(side);
        let got = eval(&kept, &parameters, &statistics, &x);
        assert_eq!(got, eval(&Cpu::default(), &parameters, &statistics, &x), "{what}");
        assert_eq!(got, eval(&kept, &parameters, &statistics, &x), "{what}, kept");
        seen.push(got);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[1] != seen[2] && seen[2] != seen[3]);
}
