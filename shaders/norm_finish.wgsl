// Mean, 1 / standard deviation and new running statistics of each channel, from the sums of norm_stats.wgsl.
//
// Computes mean, inv_std = 1 / sqrt(biased variance + eps), and running' = (1 - momentum) running + momentum batch, with
// the unbiased variance as PyTorch has it.
//
// Layouts: part [chunks, 2, C], z [pixels, C] (its first pixel is the pivot), the rest [C].
// Bindings: 0 part, 1 z, 2 old running mean, 3 old running variance, 4 mean, 5 inv_std, 6 new running mean, 7 new running
// variance, then the uniform.
// Constants: T invocations share a channel (a power of two; 1: no workgroup memory), WG / T channels a workgroup.
// Grid: x channels.
//
// Why it is fast: it is small; T spreads the chunks of a channel over invocations where parallelism is free.

struct NormFinishParams { channels: u32, chunks: u32, pixels: u32, eps: f32, momentum: f32 }
@group(0) @binding(0) var<storage, read_write> part: array<f32>;
@group(0) @binding(1) var<storage, read_write> z: array<stored>;
@group(0) @binding(2) var<storage, read_write> old_mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> old_var: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> inv_std: array<f32>;
@group(0) @binding(6) var<storage, read_write> new_mean: array<f32>;
@group(0) @binding(7) var<storage, read_write> new_var: array<f32>;
@group(0) @binding(8) var<uniform> p: NormFinishParams;

//@if T==1
//@else
var<workgroup> shared_sums: array<vec2<f32>, {{WG}}>;
//@end

@compute @workgroup_size({{WG}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    const PER = {{WG}}u / {{T}}u;
    let C = p.channels; let chunks = p.chunks;
    let c = wg.x * PER + t % PER;
    let at = min(c, C - 1u);
    var sums = vec2<f32>();
    for (var chunk = t / PER; chunk < chunks; chunk += {{T}}u) {
        sums += vec2<f32>(part[2u * chunk * C + at], part[(2u * chunk + 1u) * C + at]);
    }
//@if T==1
//@else
    shared_sums[t] = sums;
    for (var half = {{WG}}u / 2u; half >= PER; half >>= 1u) {
        workgroupBarrier();
        if (t < half) { shared_sums[t] += shared_sums[t + half]; }
    }
    sums = shared_sums[t];
//@end
    if (t < PER && c < C) {
        let count = f32(p.pixels);
        let offset = sums.x / count;
        let variance = max(0.0, sums.y / count - offset * offset);
        let m = f32(z[c]) + offset;
        mean[c] = m;
        inv_std[c] = 1.0 / sqrt(variance + p.eps);
        new_mean[c] = (1.0 - p.momentum) * old_mean[c] + p.momentum * m;
        new_var[c] = (1.0 - p.momentum) * old_var[c] + p.momentum * variance * (count / max(count - 1.0, 1.0));
    }
}
