// Gradients of gamma and beta, and the coefficients of the input's gradient, from the sums of norm_backward_sums.wgsl.
//
// Computes dbeta = sum m and dgamma = inv_std sum m (z - mean), and for norm_backward_apply.wgsl the rows
//     coefficients = [scale, slope, shift, mean]   with   dz = scale m + slope (z - mean) + shift,
//     scale = gamma inv_std, slope = -scale inv_std dgamma / pixels, shift = -scale dbeta / pixels.
//
// Layouts: part [chunks, 2, C], coefficients [4, C], the rest [C].
// Bindings: 0 part, 1 gamma, 2 mean, 3 inv_std, 4 dgamma, 5 dbeta, 6 coefficients, then the uniform.
// Constants: T as in norm_finish.wgsl.
// Grid: x channels.

struct NormBackwardFinishParams { channels: u32, chunks: u32, pixels: u32 }
@group(0) @binding(0) var<storage, read_write> part: array<f32>;
@group(0) @binding(1) var<storage, read_write> gamma: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> inv_std: array<f32>;
@group(0) @binding(4) var<storage, read_write> dgamma: array<f32>;
@group(0) @binding(5) var<storage, read_write> dbeta: array<f32>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<f32>;
@group(0) @binding(7) var<uniform> p: NormBackwardFinishParams;

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
        let inv = inv_std[c];
        let scale = gamma[c] * inv;
        let g = sums.y * inv;
        dgamma[c] = g;
        dbeta[c] = sums.x;
        coefficients[c] = scale;
        coefficients[C + c] = -scale * inv * g / count;
        coefficients[2u * C + c] = -scale * sums.x / count;
        coefficients[3u * C + c] = mean[c];
    }
}
