// The gradients' global norm, and whether and how strongly the update is to be made.
//
// Computes norm = sqrt(sum part); refuses where the norm is not finite (looked at as bits: shader compilers may assume
// that NaN does not exist) or status[0] is set; the factor clips the norm and undoes the loss scale.
//
// Layouts: part [chunks], before, after [2] = (1 once an update was refused, last norm), control [2] = (go, factor).
// Bindings: 0 part, 1 before, 2 after, 3 control, then the uniform.
// Constants: T invocations share the sum (a power of two; 1: no workgroup memory).
// Grid: one workgroup.

struct Params { chunks: u32, clip: f32, inv_scale: f32, unused: u32 }
@group(0) @binding(0) var<storage, read_write> part: array<f32>;
@group(0) @binding(1) var<storage, read_write> before: array<f32>;
@group(0) @binding(2) var<storage, read_write> after: array<f32>;
@group(0) @binding(3) var<storage, read_write> control: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

//@if T==1
//@else
var<workgroup> shared_sums: array<f32, {{T}}>;
//@end

@compute @workgroup_size({{T}})
fn main(@builtin(local_invocation_index) t: u32) {
    let chunks = p.chunks;
    var sum = 0.0;
    for (var i = t; i < chunks; i += {{T}}u) { sum += part[i]; }
//@if T==1
//@else
    shared_sums[t] = sum;
    for (var half = {{T}}u / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if (t < half) { shared_sums[t] += shared_sums[t + half]; }
    }
    sum = shared_sums[t];
//@end
    if (t == 0u) {
        let norm = sqrt(sum);
        let finite = (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
        let refuse = !finite || before[0] > 0.0;
        var factor = p.inv_scale;
        if (p.clip > 0.0) { factor *= min(1.0, p.clip / (norm + 1e-6)); }
        after[0] = select(0.0, before[0] + 1.0, refuse);
        after[1] = norm;
        control[0] = select(1.0, 0.0, refuse);
        control[1] = factor;
    }
}
