// Convolution (and its input gradient), the plainest way: for adapters that compute it wrongly in the quicker ones.
//
// Computes what conv_tiled.wgsl computes, from the same uniform:
//     dst[pixel, n] = sum over taps t and source channels k of src[pixel moved by t, k] * weight[t, k, n]   (+ add[pixel, n])
//
// Layouts: src [batch, src_h, src_w, K], dst [batch, dst_h, dst_w, N], weight [taps, K, N] or, where `transposed`,
// [taps, N, K].
// Bindings: 0 src, 1 weight, 2 dst, then add where ADD, then the uniform.
// Grid: x pixels, y channels; one invocation an output value.

struct ConvAxis {
    grid: u32, taps: u32, src: u32, dst: u32,
    mul: i32, step: i32, off: i32, dst_mul: u32,
    dst_off: u32, w_first: u32, w_step: u32, kernel: u32,
}
struct ConvParams {
    y: ConvAxis, x: ConvAxis,
    images: u32, first_image: u32, k: u32, n: u32,
    src_stride: u32, rows: u32, transposed: u32,
}

@group(0) @binding(0) var<storage, read_write> src: array<stored>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> dst: array<stored>;
//@if ADD
@group(0) @binding(3) var<storage, read_write> add: array<stored>;
@group(0) @binding(4) var<uniform> p: ConvParams;
//@else
@group(0) @binding(3) var<uniform> p: ConvParams;
//@end

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.x; let n = id.y;
    if (pixel >= p.images * p.y.grid * p.x.grid) { return; }
    let col = pixel % p.x.grid;
    let row = pixel / p.x.grid % p.y.grid;
    let image = pixel / p.x.grid / p.y.grid + p.first_image;
    var sum = 0.0;
    for (var ty = 0u; ty < p.y.taps; ty++) {
        for (var tx = 0u; tx < p.x.taps; tx++) {
            let y = i32(row) * p.y.mul + i32(ty) * p.y.step + p.y.off;
            let x = i32(col) * p.x.mul + i32(tx) * p.x.step + p.x.off;
            if (y >= 0 && y < i32(p.y.src) && x >= 0 && x < i32(p.x.src)) {
                let tap = (p.y.w_first + ty * p.y.w_step) * p.x.kernel + p.x.w_first + tx * p.x.w_step;
                let start = ((image * p.y.src + u32(y)) * p.x.src + u32(x)) * p.k;
                for (var k = 0u; k < p.k; k++) {
                    let at = select((tap * p.k + k) * p.n + n, (tap * p.n + n) * p.k + k, p.transposed != 0u);
                    sum += f32(src[start + k]) * weight[at];
                }
            }
        }
    }
    let to = ((image * p.y.dst + row * p.y.dst_mul + p.y.dst_off) * p.x.dst + col * p.x.dst_mul + p.x.dst_off) * p.n + n;
//@if ADD
    sum += f32(add[to]);
//@end
    dst[to] = stored(sum);
}
