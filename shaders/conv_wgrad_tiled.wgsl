// Weight gradient of a convolution through workgroup memory, for GPUs.
//
// Computes what conv_wgrad_lanes.wgsl computes, from the same uniform:
//     part[split, m, n] = sum over the split's pixels of src[pixel moved by tap(m), channel(m)] * grad[pixel, n]
// with m = (tap, channel): a matrix product of BM rows by BN channels a workgroup, summed over BK pixels a step.
//
// Layouts: src [batch, src_h, src_w, K], grad [batch, grid_h, grid_w, N], part [splits, taps, K, N].
// Bindings: 0 src, 1 grad, 2 part, then the uniform.
// Constants: BM, BN multiples of 8 and 4, BK; KV, NQ: source and gradient can be read in fours.
// Grid: x tiles of BM rows, y tiles of BN channels, z splits. Workgroup: BM BN / 32 invocations, each 8 rows by 4
// channels.
//
// Why it is fast: both tiles are read along contiguous channels, with no transposition, once a workgroup; the splits
// over pixels fill the machine where the matrix is small.

struct Params {
    images: u32, grid_h: u32, grid_w: u32, src_h: u32,
    src_w: u32, k: u32, n: u32, taps_x: u32,
    taps: u32, mul_y: i32, off_y: i32, mul_x: i32,
    off_x: i32, pixels_per_split: u32, quads_per_tap: u32, first_split: u32,
    src_stride: u32, unused2: u32, unused0: u32, unused1: u32,
}

//@if KV
@group(0) @binding(0) var<storage, read_write> src: array<vec4<f32>>;
//@else
@group(0) @binding(0) var<storage, read_write> src: array<f32>;
//@end
//@if NQ
@group(0) @binding(1) var<storage, read_write> grad: array<vec4<f32>>;
//@else
@group(0) @binding(1) var<storage, read_write> grad: array<f32>;
//@end
@group(0) @binding(2) var<storage, read_write> part: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

const BM = {{BM}}u;
const BN = {{BN}}u;
const BK = {{BK}}u;
const THREADS = {{WG}}u;

var<workgroup> tile_src: array<vec4<f32>, {{BK*BM}} / 4>;
var<workgroup> tile_grad: array<vec4<f32>, {{BK*BN}} / 4>;

// The value of row m (tap and channel) for a pixel at (row, col) of the image whose source rows begin at `base`.
fn offset(m: u32, base: u32, row: u32, col: u32) -> i32 {
    let tap = m / p.k;
    let ty = tap / p.taps_x;
    let sy = i32(row) * p.mul_y + p.off_y + i32(ty);
    let sx = i32(col) * p.mul_x + p.off_x + i32(tap - ty * p.taps_x);
    if (tap < p.taps && u32(sy) < p.src_h && u32(sx) < p.src_w) {
        return i32(((base + u32(sy)) * p.src_w + u32(sx)) * p.k + m - tap * p.k);
    }
    return -1;
}

@compute @workgroup_size({{WG}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let split_index = wg.z + p.first_split;
    let first = split_index * p.pixels_per_split;
    let end = min(first + p.pixels_per_split, p.images * p.grid_h * p.grid_w);
    let rows = p.taps * p.k;
    let n_local = (t % (BN / 4u)) * 4u;
    let m_local = (t / (BN / 4u)) * 8u;
//@for i 0 8
    var a{{i}} = vec4<f32>();
//@end

    for (var at = first; at < end; at += BK) {
        for (var f = t; f < BK * BM / 4u; f += THREADS) {
            let pixel = at + f / (BM / 4u);
            let m = wg.x * BM + (f % (BM / 4u)) * 4u;
            var v = vec4<f32>();
            if (pixel < end) {
                let col = pixel % p.grid_w;
                let row = pixel / p.grid_w;
                let base = (row / p.grid_h) * p.src_h;
//@if KV
                let o = offset(m, base, row % p.grid_h, col);
                if (o >= 0) { v = src[u32(o) >> 2u]; }
//@else
                for (var i = 0u; i < 4u; i++) {
                    let o = offset(m + i, base, row % p.grid_h, col);
                    if (o >= 0) { v[i] = src[u32(o)]; }
                }
//@end
            }
            tile_src[f] = v;
        }
        for (var f = t; f < BK * BN / 4u; f += THREADS) {
            let pixel = at + f / (BN / 4u);
            let n = wg.y * BN + (f % (BN / 4u)) * 4u;
            var v = vec4<f32>();
            if (pixel < end) {
//@if NQ
                if (n < p.n) { v = grad[(pixel * p.n + n) >> 2u]; }
//@else
                for (var i = 0u; i < 4u; i++) {
                    if (n + i < p.n) { v[i] = grad[pixel * p.n + n + i]; }
                }
//@end
            }
            tile_grad[f] = v;
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k++) {
            let g = tile_grad[(k * BN + n_local) >> 2u];
            let s0 = tile_src[(k * BM + m_local) >> 2u];
            let s1 = tile_src[((k * BM + m_local) >> 2u) + 1u];
//@for i 0 4
            a{{i}} = fma(vec4<f32>(s0[{{i}}]), g, a{{i}});
            a{{i+4}} = fma(vec4<f32>(s1[{{i}}]), g, a{{i+4}});
//@end
        }
        workgroupBarrier();
    }

    let n = wg.y * BN + n_local;
//@for i 0 8
    {
        let m = wg.x * BM + m_local + {{i}}u;
        if (m < rows) {
            for (var j = 0u; j < 4u && n + j < p.n; j++) {
                part[(split_index * rows + m) * p.n + n + j] = a{{i}}[j];
            }
        }
    }
//@end
}
