//! A forward pass that shows what every layer puts out, for finding the one where numbers stop being finite.

use super::{
    network::{Frozen, Network, read},
    spec::ConvInfo,
};
use crate::ops::{Implementation, fast, reference};
use burn::tensor::Tensor;

impl Network {
    /// Takes images `[N, H, W, C]` forward as a training step does, and hands `look` the output of each layer in the
    /// order of the computation: the layer's torchvision name and all its values. The last is `fc`, the logits.
    /// Waits for the device at every layer, and changes nothing.
    pub fn trace(&self, x: Tensor<4>, frozen: Frozen, mut look: impl FnMut(&str, Vec<f32>)) {
        let first = self.frozen_layers(frozen);
        let mut layer = |index: usize, conv: &ConvInfo, x: &Tensor<4>, residual: Option<&Tensor<4>>, relu: bool| {
            let y = if index < first {
                self.infer_layer(index, conv, x, residual, relu)
            } else {
                self.train_layer(index, conv, x, residual, relu)
            };
            look(&conv.conv, read(y.clone()));
            y
        };
        let mut x = layer(0, &self.spec.stem_conv(), &x, None, true);
        if let Some(window) = self.pool_window(&x) {
            x = match self.ops {
                Implementation::Fast => fast::max_pool(&x, window),
                Implementation::Reference => reference::max_pool(x, window),
            };
        }
        for block in &self.blocks {
            let shortcut = match &block.projection {
                Some((index, conv)) => layer(*index, conv, &x, None, false),
                None => x.clone(),
            };
            let last = block.convs.len() - 1;
            for (i, (index, conv)) in block.convs.iter().enumerate() {
                x = layer(*index, conv, &x, (i == last).then_some(&shortcut), true);
            }
        }
        let logits = match self.ops {
            Implementation::Fast => fast::head(&x, &self.head.0, &self.head.1).1,
            Implementation::Reference => reference::head(x, self.head.0.clone(), self.head.1.clone()),
        };
        look("fc", read(logits));
    }

    /// A layer with the statistics of its own batch.
    fn train_layer(
        &self,
        index: usize,
        conv: &ConvInfo,
        x: &Tensor<4>,
        residual: Option<&Tensor<4>>,
        relu: bool,
    ) -> Tensor<4> {
        let [_, h, w, _] = x.dims();
        let unit = self.unit(conv, [h, w], relu, residual.is_some());
        let layer = &self.layers[index];
        match self.ops {
            Implementation::Fast => fast::conv_bn_train(x, &layer.weight, &layer.norm, residual, &unit).y,
            Implementation::Reference => {
                reference::conv_bn_train(x.clone(), layer.weight.clone(), &layer.norm, residual.cloned(), &unit).y
            }
        }
    }
}
