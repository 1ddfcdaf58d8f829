// The gradient of a batch normalisation's input, and of the residual, in one pass.
//
// Computes dz = scale m + slope (z - mean) + shift with the coefficients of norm_backward_finish.wgsl, and dres = m, the
// output's gradient behind the activation's mask.
//
// Layouts: grad, z, y, dz, dres [pixels, C], coefficients [4, C], channels in fours where V.
// Bindings: 0 grad, 1 z, 2 coefficients, 3 dz, 4 y, 5 dres (anything where p.residual is 0), then the uniform,
// whose `above` and `below` are the bounds of the activation's open range: 0 and infinity with a ReLU.
// Grid: as norm_apply.wgsl.
//
// Why it is fast: three reads and one or two writes a value, the coefficients once a chunk.

struct NormGrid { columns: u32, pixels: u32, chunk_pixels: u32, first: u32 }
struct NormBackwardApplyParams { grid: NormGrid, residual: u32, above: f32, below: f32 }
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> grad: array<S>;
@group(0) @binding(1) var<storage, read_write> z: array<S>;
@group(0) @binding(2) var<storage, read_write> coefficients: array<T>;
@group(0) @binding(3) var<storage, read_write> dz: array<S>;
@group(0) @binding(4) var<storage, read_write> y: array<S>;
@group(0) @binding(5) var<storage, read_write> dres: array<S>;
@group(0) @binding(6) var<uniform> p: NormBackwardApplyParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let columns = p.grid.columns; let pixels = p.grid.pixels; let length = p.grid.chunk_pixels;
    let above = p.above; let below = p.below;
    let keep = p.residual != 0u;
    let i = id.x + id.y * groups.x * {{WG}}u + p.grid.first;
    let chunk = i / columns;
    let column = i - chunk * columns;
    if (chunk * length < pixels) {
        let scale = coefficients[column];
        let slope = coefficients[columns + column];
        let shift = coefficients[2u * columns + column];
        let centre = coefficients[3u * columns + column];
        let end = min((chunk + 1u) * length, pixels);
        for (var pixel = chunk * length; pixel < end; pixel++) {
            let at = pixel * columns + column;
            let m = select(T(), T(grad[at]), (T(y[at]) > T(above)) & (T(y[at]) < T(below)));
            dz[at] = S(fma(scale, m, fma(slope, T(z[at]) - centre, shift)));
            if (keep) { dres[at] = S(m); }
        }
    }
}
