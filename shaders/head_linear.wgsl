// The head's matrix product.
//
// Computes logits[image, k] = bias[k] + sum over c of features[image, c] * weight[c, k].
// Layouts: features [batch, C], weight [C, K], bias [K], logits [batch, K].
// Bindings: 0 features, 1 weight, 2 bias, 3 logits, then the uniform.
// Grid: one invocation a logit, folded over x and y; neighbours read neighbouring weights. A thousandth of a step.

struct HeadLinearParams { total: u32, features: u32, classes: u32 }
@group(0) @binding(0) var<storage, read_write> features: array<stored>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;
@group(0) @binding(4) var<uniform> p: HeadLinearParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = p.total; let C = p.features; let K = p.classes;
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i < total) {
        let image = i / K;
        let k = i - image * K;
        var sum = bias[k];
        for (var c = 0u; c < C; c++) { sum = fma(f32(features[image * C + c]), weight[c * K + k], sum); }
        logits[i] = sum;
    }
}
