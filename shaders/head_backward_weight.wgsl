// Gradients of the head's weight and bias.
//
// Computes dw[c, k] = sum over images of features[image, c] * grad[image, k], and db[k] = sum over images of grad.
// Layouts: grad [batch, K], features [batch, C], dw [C, K], db [K].
// Bindings: 0 grad, 1 features, 2 dw, 3 db, then the uniform.
// Grid: one invocation a value of dw and then of db, folded over x and y.

struct HeadBackwardWeightParams { batch: u32, features: u32, classes: u32 }
@group(0) @binding(0) var<storage, read_write> grad: array<f32>;
@group(0) @binding(1) var<storage, read_write> features: array<stored>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
@group(0) @binding(3) var<storage, read_write> db: array<f32>;
@group(0) @binding(4) var<uniform> p: HeadBackwardWeightParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let batch = p.batch; let C = p.features; let K = p.classes;
    let i = id.x + id.y * groups.x * {{WG}}u;
    let c = i / K;
    let k = i - c * K;
    if (c < C) {
        var sum = 0.0;
        for (var n = 0u; n < batch; n++) { sum = fma(f32(features[n * C + c]), grad[n * K + k], sum); }
        dw[i] = sum;
    } else if (c == C) {
        var sum = 0.0;
        for (var n = 0u; n < batch; n++) { sum += grad[n * K + k]; }
        db[k] = sum;
    }
}
