// Weight gradient of a convolution, the plainest way: for adapters that compute it wrongly in the quicker ones.
//
// Computes what conv_wgrad_tiled.wgsl computes, from the same uniform:
//     part[split, m, n] = sum over the split's pixels of src[pixel moved by tap(m), channel(m)] * grad[pixel, n]
// with m = (tap, channel).
//
// Layouts: src [batch, src_h, src_w, K], grad [batch, grid_h, grid_w, N], part [splits, taps, K, N].
// Bindings: 0 src, 1 grad, 2 part, then the uniform.
// Grid: x rows m, y channels n, z splits; one invocation a value.

struct WeightGradientAxis { grid: u32, src: u32, mul: i32, off: i32 }
struct WeightGradientParams {
    y: WeightGradientAxis, x: WeightGradientAxis,
    images: u32, k: u32, n: u32, src_stride: u32,
    taps: u32, taps_x: u32, quads_per_tap: u32, rows: u32,
    pixels_per_split: u32, first_split: u32,
}

@group(0) @binding(0) var<storage, read_write> src: array<stored>;
@group(0) @binding(1) var<storage, read_write> grad: array<stored>;
@group(0) @binding(2) var<storage, read_write> part: array<f32>;
@group(0) @binding(3) var<uniform> p: WeightGradientParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = id.x; let n = id.y; let split_index = id.z + p.first_split;
    let rows = p.taps * p.k;
    if (m >= rows) { return; }
    let tap = m / p.k;
    let first = split_index * p.pixels_per_split;
    let end = min(first + p.pixels_per_split, p.images * p.y.grid * p.x.grid);
    var sum = 0.0;
    for (var pixel = first; pixel < end; pixel++) {
        let col = pixel % p.x.grid;
        let row = pixel / p.x.grid % p.y.grid;
        let image = pixel / p.x.grid / p.y.grid;
        let y = i32(row) * p.y.mul + p.y.off + i32(tap / p.taps_x);
        let x = i32(col) * p.x.mul + p.x.off + i32(tap % p.taps_x);
        if (y >= 0 && y < i32(p.y.src) && x >= 0 && x < i32(p.x.src)) {
            var g = f32(grad[pixel * p.n + n]);
//@if HALF
            // The largest number stands for whatever is larger: see conv_wgrad_lanes.wgsl.
            g = select(g, g * 3e38, abs(g) >= 65504.0);
//@end
            sum += f32(src[((image * p.y.src + u32(y)) * p.x.src + u32(x)) * p.k + m % p.k]) * g;
        }
    }
    part[(split_index * rows + m) * p.n + n] = sum;
}
