// The gradients' global norm, and whether and how strongly the update is to be made.
//
// Computes norm = sqrt(sum part) and what `Status::after` computes from it: an update goes ahead where the norm is finite
// (looked at as bits: shader compilers may assume that NaN does not exist) and none was refused before. Where p.scaled, an
// overflow only skips the update and halves the loss scale, until that is 1; `patience` updates without one double it. The
// factor clips the norm and undoes the scale.
//
// Layouts: part [chunks], before, after [5] = (updates refused, last norm, loss scale, updates since it changed, updates
// skipped), control [2] = (go, factor).
// Bindings: 0 part, 1 before, 2 after, 3 control, then the uniform.
// Constants: T invocations share the sum (a power of two; 1: no workgroup memory).
// Grid: one workgroup.

struct GradientNormFinishParams { chunks: u32, clip_norm: f32, scaled: u32, patience: f32, most: f32 }
@group(0) @binding(0) var<storage, read_write> part: array<f32>;
@group(0) @binding(1) var<storage, read_write> before: array<f32>;
@group(0) @binding(2) var<storage, read_write> after: array<f32>;
@group(0) @binding(3) var<storage, read_write> control: array<f32>;
@group(0) @binding(4) var<uniform> p: GradientNormFinishParams;

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
        let scaled = p.scaled != 0u;
        let scale = before[2];
        let sound = before[0] == 0.0;
        let go = sound && finite;
        let skip = scaled && sound && !finite && scale > 1.0;
        let since = before[3] + 1.0;
        let grow = scaled && go && since >= p.patience;
        var factor = 1.0 / select(1.0, scale, scaled);
        if (p.clip_norm > 0.0) { factor *= min(1.0, p.clip_norm / (norm + 1e-6)); }
        after[0] = select(before[0] + 1.0, 0.0, go || skip);
        after[1] = norm;
        after[2] = select(select(scale, min(2.0 * scale, p.most), grow), 0.5 * scale, skip);
        after[3] = select(select(before[3], since, scaled && go), 0.0, grow || skip);
        after[4] = select(before[4], before[4] + 1.0, skip);
        control[0] = select(0.0, 1.0, go);
        control[1] = factor;
    }
}
