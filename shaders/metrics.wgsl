// Adds a batch's parts of the loss and hits to the running metrics, in a fixed order.
//
// Computes after[0] = before[0] + sum of parts, after[1] = before[1] + sum of hits.
// Bindings: 0 outcome [3, batch] of (loss, part, hit), 1 before [2], 2 after [2], then the uniform.
// Constants: T invocations share the sum (a power of two; 1: no workgroup memory).
// Grid: one workgroup.

struct MetricsParams { batch: u32 }
@group(0) @binding(0) var<storage, read_write> outcome: array<f32>;
@group(0) @binding(1) var<storage, read_write> before: array<f32>;
@group(0) @binding(2) var<storage, read_write> after: array<f32>;
@group(0) @binding(3) var<uniform> p: MetricsParams;

//@if T==1
//@else
var<workgroup> shared_sums: array<vec2<f32>, {{T}}>;
//@end

@compute @workgroup_size({{T}})
fn main(@builtin(local_invocation_index) t: u32) {
    let batch = p.batch;
    var sums = vec2<f32>();
    for (var n = t; n < batch; n += {{T}}u) { sums += vec2<f32>(outcome[batch + n], outcome[2u * batch + n]); }
//@if T==1
//@else
    shared_sums[t] = sums;
    for (var half = {{T}}u / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if (t < half) { shared_sums[t] += shared_sums[t + half]; }
    }
    sums = shared_sums[t];
//@end
    if (t == 0u) {
        after[0] = before[0] + sums.x;
        after[1] = before[1] + sums.y;
    }
}
