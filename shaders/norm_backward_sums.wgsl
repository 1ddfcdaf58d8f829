// Sums for the gradients of gamma and beta, over chunks of pixels.
//
// Computes part[chunk, 0, c] = sum of m and part[chunk, 1, c] = sum of m (z - mean), where m is the gradient of the unit's
// output behind the activation's mask: grad where above < y < below, else 0.
//
// Layouts: grad, z, y [pixels, C], mean [C], part [chunks, 2, C], channels in fours where V.
// Bindings: 0 grad, 1 z, 2 mean, 3 part, 4 y, then the uniform, whose `above` and `below` are the bounds of the
// activation's open range: 0 and infinity with a ReLU.
// Grid: as norm_stats.wgsl.
//
// Why it is fast: three reads a value, no write; sums stay in registers.

struct NormGrid { columns: u32, pixels: u32, chunk_pixels: u32, first: u32 }
struct NormBackwardSumsParams { grid: NormGrid, chunks: u32, above: f32, below: f32 }
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> grad: array<S>;
@group(0) @binding(1) var<storage, read_write> z: array<S>;
@group(0) @binding(2) var<storage, read_write> mean: array<T>;
@group(0) @binding(3) var<storage, read_write> part: array<T>;
@group(0) @binding(4) var<storage, read_write> y: array<S>;
@group(0) @binding(5) var<uniform> p: NormBackwardSumsParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let columns = p.grid.columns; let pixels = p.grid.pixels; let length = p.grid.chunk_pixels;
    let chunks = p.chunks; let above = p.above; let below = p.below;
    let i = id.x + id.y * groups.x * {{WG}}u + p.grid.first;
    let chunk = i / columns;
    let column = i - chunk * columns;
    if (chunk < chunks) {
        let centre = mean[column];
        var sum = T();
        var products = T();
        let end = min((chunk + 1u) * length, pixels);
        for (var pixel = chunk * length; pixel < end; pixel++) {
            let at = pixel * columns + column;
            var g = T(grad[at]);
//@if HALF
            // The largest number stands for whatever is larger: some devices round to it. Here that becomes infinite,
            // which the gradients' norm shows.
            g = select(g, g * 3e38, abs(g) >= T(65504.0));
//@end
            let m = select(T(), g, (T(y[at]) > T(above)) & (T(y[at]) < T(below)));
            sum += m;
            products = fma(m, T(z[at]) - centre, products);
        }
        part[2u * chunk * columns + column] = sum;
        part[(2u * chunk + 1u) * columns + column] = products;
    }
}
