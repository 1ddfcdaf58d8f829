// Batch normalisation with what follows it: residual and activation, in one pass.
//
// Computes y = activation(gamma (z - mean) inv_std + beta + residual?).
//
// Layouts: z, residual, y [pixels, C], the rest [C], channels in fours where V.
// Bindings: 0 z, 1 mean, 2 inv_std (p.eval: the variance), 3 gamma, 4 beta, 5 y, 6 residual (anything where p.residual is
// 0), then the uniform.
// Constants: V. What else differs between layers is in the uniform: one pipeline less to compile for each.
// Grid: as norm_stats.wgsl.
//
// Why it is fast: one read and one write a value; the four per-channel values are read once a chunk.

struct NormGrid { columns: u32, pixels: u32, chunk_pixels: u32, first: u32 }
// y is cut off at `least` and `most`: 0 and infinity with a ReLU, 0 and 6 with a ReLU6.
struct NormApplyParams { grid: NormGrid, eps: f32, least: f32, most: f32, residual: u32, eval: u32 }
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> z: array<S>;
@group(0) @binding(1) var<storage, read_write> mean: array<T>;
@group(0) @binding(2) var<storage, read_write> spread: array<T>;
@group(0) @binding(3) var<storage, read_write> gamma: array<T>;
@group(0) @binding(4) var<storage, read_write> beta: array<T>;
@group(0) @binding(5) var<storage, read_write> y: array<S>;
@group(0) @binding(6) var<storage, read_write> residual: array<S>;
@group(0) @binding(7) var<uniform> p: NormApplyParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let columns = p.grid.columns; let pixels = p.grid.pixels; let length = p.grid.chunk_pixels; let eps = p.eps;
    let least = p.least; let most = p.most; let add = p.residual != 0u; let eval = p.eval != 0u;
    let i = id.x + id.y * groups.x * {{WG}}u + p.grid.first;
    let chunk = i / columns;
    let column = i - chunk * columns;
    if (chunk * length < pixels) {
        let s = spread[column];
        let scale = gamma[column] * select(s, T(1.0) / sqrt(s + T(eps)), eval);
        let centre = mean[column];
        let shift = beta[column];
        let end = min((chunk + 1u) * length, pixels);
        for (var pixel = chunk * length; pixel < end; pixel++) {
            let at = pixel * columns + column;
            var v = fma(T(z[at]) - centre, scale, shift);
            if (add) { v += T(residual[at]); }
            // Not by `clamp`, which would hide NaN.
            v = select(v, T(least), v < T(least));
            v = select(v, T(most), v > T(most));
            y[at] = S(v);
        }
    }
}
