//! One training pass: forward through the layers that learn, the loss, and back through what the forward pass left.

use super::network::{BlockPlan, Frozen, Network};
use crate::ops::{
    Implementation, Targets, Unit, Window,
    fast::{self, Saved},
    kernels::{Factors, Needs, Update},
    reference,
};
use burn::tensor::{DispatchTensor, Tensor};

/// What a training pass yields: gradients in the order of [`Network::parameter_infos`], the running statistics after
/// it in the order of [`Network::running`], each sample's own loss, and the metrics it was given plus its own.
pub struct Pass {
    pub gradients: Vec<DispatchTensor>,
    pub running: Vec<DispatchTensor>,
    /// `[N]`
    pub losses: Tensor<1>,
    /// `[2]`: the number of samples times the loss, hits.
    pub metrics: Tensor<1>,
}

/// What gradients are of: the mean of the images' losses, as PyTorch's
/// `CrossEntropyLoss(weight=weights, label_smoothing=smoothing)` has it.
#[derive(Clone, Copy, Default)]
pub struct Loss<'a> {
    /// Share of the target that is spread over all classes.
    pub smoothing: f32,
    /// Of the classes `[K]`; all 1 without. See [`ObjectiveOf::weights`](crate::ops::kernels::ObjectiveOf::weights).
    pub weights: Option<&'a Tensor<1>>,
    /// The [`Status`](crate::ops::kernels::Status) with the scale that the mean is multiplied by; 1 without.
    pub status: Option<&'a Tensor<1>>,
}

/// Forward state of the layers that learn, in the order in which they ran.
#[derive(Default)]
struct Tape {
    units: Vec<(Saved, Unit)>,
    pool: Option<(Tensor<4>, Tensor<4>, Window)>,
    /// By layer, from the first that learns.
    running: Vec<Option<[DispatchTensor; 2]>>,
}

impl Network {
    /// Forward and backward on one batch `[N, H, W, C]`; changes nothing. Activations and their gradients are stored as
    /// `x` is, in 32 or 16 bits.
    pub fn pass(&self, x: Tensor<4>, targets: &Targets, metrics: Tensor<1>, loss: Loss, frozen: Frozen) -> Pass {
        match self.ops {
            Implementation::Fast => self.fast_pass(x, targets, metrics, loss, frozen),
            Implementation::Reference => self.reference_pass(x, targets, metrics, loss, frozen),
        }
    }

    fn fast_pass(&self, x: Tensor<4>, targets: &Targets, metrics: Tensor<1>, loss: Loss, frozen: Frozen) -> Pass {
        let (first_block, stem_learns) = self.first_trained(frozen);
        let first_layer = self.frozen_layers(frozen);
        let mut tape = Tape { running: vec![None; self.layers.len() - first_layer], ..Tape::default() };

        let mut x = if stem_learns {
            let y = self.forward_layer(&mut tape, first_layer, 0, &self.spec.stem_conv(), &x, None, true);
            match self.pool_window(&y) {
                None => y,
                Some(window) => {
                    let pooled = fast::max_pool(&y, window);
                    tape.pool = Some((y, pooled.clone(), window));
                    pooled
                }
            }
        } else {
            self.infer_blocks(self.infer_stem(x), 0..first_block)
        };
        let learning = &self.blocks[first_block..];
        for block in learning {
            x = self.forward_block(&mut tape, first_layer, block, x);
        }
        let [_, h, w, _] = x.dims();
        let (features, logits) = fast::head(&x, &self.head.0, &self.head.1);
        drop(x);

        let (grad, losses, metrics) =
            fast::cross_entropy(&logits, targets, metrics, loss.smoothing, loss.weights, loss.status);
        let below = stem_learns || !learning.is_empty();
        let (head_weight, head_bias, grad) = fast::head_backward(grad, &features, &self.head.0, [h, w], below);

        // Gradients come from the last layer to the first, and are put where the layer stands.
        let mut slots: Vec<Option<[DispatchTensor; 3]>> = vec![None; self.layers.len() - first_layer];
        let mut put = |layer: usize, grads: fast::Grads| {
            slots[layer - first_layer] =
                Some([grads.weight.into_dispatch(), grads.gamma.into_dispatch(), grads.beta.into_dispatch()]);
        };
        let mut grad = grad;
        for (index, block) in learning.iter().enumerate().rev() {
            let Some(g) = grad.take() else { unreachable!("a gradient reaches every block that learns") };
            grad = backward_block(&mut tape, block, g, stem_learns || index > 0, &mut put);
        }
        if let Some(mut g) = grad {
            if let Some((x, y, window)) = tape.pool.take() {
                g = fast::max_pool_backward(g, &x, &y, window);
            }
            let (saved, unit) = tape.pop();
            let needs = Needs { input: false, residual: false };
            put(0, fast::conv_bn_backward(g, saved, None, &unit, needs));
        }
        let mut gradients: Vec<_> = slots.into_iter().flatten().flatten().collect();
        gradients.extend([head_weight.into_dispatch(), head_bias.into_dispatch()]);
        Pass { gradients, running: tape.running.into_iter().flatten().flatten().collect(), losses, metrics }
    }

    fn forward_block(&self, tape: &mut Tape, first_layer: usize, block: &BlockPlan, x: Tensor<4>) -> Tensor<4> {
        let shortcut = match &block.projection {
            Some((layer, conv)) => self.forward_layer(tape, first_layer, *layer, conv, &x, None, false),
            None => x.clone(),
        };
        let last = block.convs.len() - 1;
        let mut x = x;
        for (i, (layer, conv)) in block.convs.iter().enumerate() {
            let residual = (i == last).then_some(&shortcut);
            x = self.forward_layer(tape, first_layer, *layer, conv, &x, residual, true);
        }
        x
    }

    #[allow(clippy::too_many_arguments)]
    fn forward_layer(
        &self,
        tape: &mut Tape,
        first_layer: usize,
        layer: usize,
        conv: &super::spec::ConvInfo,
        x: &Tensor<4>,
        residual: Option<&Tensor<4>>,
        relu: bool,
    ) -> Tensor<4> {
        let [_, h, w, _] = x.dims();
        let unit = self.unit(conv, [h, w], relu, residual.is_some());
        let out = fast::conv_bn_train(x, &self.layers[layer].weight, &self.layers[layer].norm, residual, &unit);
        tape.units.push((out.saved, unit));
        tape.running[layer - first_layer] = Some([out.mean.into_dispatch(), out.var.into_dispatch()]);
        out.y
    }

    /// The same by the reference operations and burn's autodiff.
    fn reference_pass(&self, x: Tensor<4>, targets: &Targets, metrics: Tensor<1>, loss: Loss, frozen: Frozen) -> Pass {
        let n = x.dims()[0];
        let (first_block, stem_learns) = self.first_trained(frozen);
        let first_layer = self.frozen_layers(frozen);
        let mut net = self.clone();
        for layer in &mut net.layers[first_layer..] {
            layer.weight = layer.weight.clone().autodiff().require_grad();
            layer.norm.gamma = layer.norm.gamma.clone().autodiff().require_grad();
            layer.norm.beta = layer.norm.beta.clone().autodiff().require_grad();
        }
        net.head.0 = net.head.0.clone().autodiff().require_grad();
        net.head.1 = net.head.1.clone().autodiff().require_grad();

        let mut running: Vec<Option<[DispatchTensor; 2]>> = vec![None; self.layers.len() - first_layer];
        let mut layer =
            |index: usize, conv: &super::spec::ConvInfo, x: Tensor<4>, residual: Option<Tensor<4>>, relu| {
                let [_, h, w, _] = x.dims();
                let super::network::Layer { weight, norm } = &net.layers[index];
                let unit = net.unit(conv, [h, w], relu, residual.is_some());
                let out = reference::conv_bn_train(x, weight.clone(), norm, residual, &unit);
                running[index - first_layer] = Some([out.mean, out.var].map(|t| t.without_autodiff().into_dispatch()));
                out.y
            };
        let mut x = if stem_learns {
            let y = layer(0, &self.spec.stem_conv(), x, None, true);
            match self.pool_window(&y) {
                None => y,
                Some(window) => reference::max_pool(y, window),
            }
        } else {
            self.infer_blocks(self.infer_stem(x), 0..first_block)
        };
        for block in &self.blocks[first_block..] {
            let shortcut = match &block.projection {
                Some((index, conv)) => layer(*index, conv, x.clone(), None, false),
                None => x.clone(),
            };
            let last = block.convs.len() - 1;
            for (i, (index, conv)) in block.convs.iter().enumerate() {
                x = layer(*index, conv, x, (i == last).then(|| shortcut.clone()), true);
            }
        }
        let logits = reference::head(x, net.head.0.clone(), net.head.1.clone());
        let parts = reference::cross_entropy(logits.clone(), targets, loss.smoothing, loss.weights);
        let grads = reference::objective(parts.clone(), loss.status).backward();

        let (parts, logits) = (parts.without_autodiff(), logits.without_autodiff());
        let losses = match loss.weights {
            Some(_) => reference::cross_entropy(logits.clone(), targets, loss.smoothing, None),
            None => parts.clone(),
        };
        let hit = logits.argmax(1).reshape([n]).equal(targets.first.clone());
        let own = Tensor::cat(vec![parts.sum(), hit.float().sum()], 0);
        fn of<const D: usize>(t: &Tensor<D>, grads: &burn::tensor::Gradients) -> DispatchTensor {
            t.grad(grads).unwrap_or_else(|| t.clone().without_autodiff().zeros_like()).into_dispatch()
        }
        let mut gradients = Vec::new();
        for layer in &net.layers[first_layer..] {
            gradients.push(of(&layer.weight, &grads));
            gradients.push(of(&layer.norm.gamma, &grads));
            gradients.push(of(&layer.norm.beta, &grads));
        }
        gradients.push(of(&net.head.0, &grads));
        gradients.push(of(&net.head.1, &grads));
        Pass { gradients, running: running.into_iter().flatten().flatten().collect(), losses, metrics: metrics + own }
    }

    /// Applies a pass: see [`crate::ops::kernels::Kernels::optimise`]. `moments` belong to the parameters that learn.
    /// Takes the network and gives it back, so that a device may update it in place.
    pub fn update(
        self,
        pass: Pass,
        moments: Moments,
        status: Tensor<1>,
        factors: Vec<Factors>,
        update: Update,
        frozen: Frozen,
    ) -> (Self, Moments, Tensor<1>) {
        let optimise = match self.ops {
            Implementation::Fast => fast::optimise,
            Implementation::Reference => reference::optimise,
        };
        let (rest, parameters, running) = self.into_lists(frozen);
        let state = fast::State { parameters, first: moments.first, second: moments.second, ema: moments.ema, running };
        let (state, status) = optimise(state, pass.gradients, pass.running, status, factors, update);
        let network = rest.into_network(state.parameters, state.running);
        (network, Moments { first: state.first, second: state.second, ema: state.ema }, status)
    }
}

impl Tape {
    fn pop(&mut self) -> (Saved, Unit) {
        match self.units.pop() {
            Some(unit) => unit,
            None => unreachable!("the backward pass visits each unit of the forward pass once"),
        }
    }
}

/// Back through a block; returns the gradient of its input if `below` wants it.
fn backward_block(
    tape: &mut Tape,
    block: &BlockPlan,
    grad: Tensor<4>,
    below: bool,
    put: &mut impl FnMut(usize, fast::Grads),
) -> Option<Tensor<4>> {
    let mut grad = grad;
    // What reaches the block's input by way of the shortcut. The projection ran before the convolutions, so its saved
    // state lies under theirs on the tape.
    let mut shortcut = None;
    let mut projection = block.projection.as_ref().map(|(layer, _)| {
        let at = tape.units.len() - block.convs.len() - 1;
        (*layer, tape.units.remove(at))
    });
    for (i, (layer, _)) in block.convs.iter().enumerate().rev() {
        let (saved, unit) = tape.pop();
        let last = i + 1 == block.convs.len();
        if i == 0
            && let Some((layer, (saved, unit))) = projection.take()
        {
            let Some(g) = shortcut.take() else { unreachable!("the last convolution yields the residual's gradient") };
            let needs = Needs { input: below, residual: false };
            let mut grads = fast::conv_bn_backward(g, saved, None, &unit, needs);
            shortcut = grads.x.take();
            put(layer, grads);
        }
        let needs = Needs { input: i > 0 || below, residual: last && (below || block.projection.is_some()) };
        let add = if i == 0 { shortcut.take() } else { None };
        let mut grads = fast::conv_bn_backward(grad, saved, add, &unit, needs);
        shortcut = shortcut.or(grads.residual.take());
        match grads.x.take() {
            Some(g) => grad = g,
            None => {
                put(*layer, grads);
                return None;
            }
        }
        put(*layer, grads);
    }
    Some(grad)
}

/// The optimiser's memory, each list in the order of the parameters; empty where not used.
#[derive(Clone, Default)]
pub struct Moments {
    pub first: Vec<DispatchTensor>,
    pub second: Vec<DispatchTensor>,
    /// Moving average of the parameters.
    pub ema: Vec<DispatchTensor>,
}
