// Weight gradient of a convolution through workgroup memory, for GPUs.
//
// Computes what conv_wgrad_lanes.wgsl computes, from the same uniform:
//     part[split, m, n] = sum over the split's pixels of src[pixel moved by tap(m), channel(m)] * grad[pixel, n]
// with m = (tap, channel): a matrix product of BM rows by BN channels a workgroup, summed over BK pixels a step.
//
// Layouts: src [batch, src_h, src_w, K], grad [batch, grid_h, grid_w, N], part [splits, taps, K, N].
// Bindings: 0 src, 1 grad, 2 part, then the uniform.
// Constants: BM, BN multiples of 8 and 4, BK; KV, NQ: source and gradient can be read in fours;
// BIG: there may be 2^23 pixels or more.
// Grid: x tiles of BM rows, y tiles of BN channels, z splits. Workgroup: BM BN / 32 invocations, each 8 rows by 4
// channels.
//
// Why it is fast: both tiles are read along contiguous channels, with no transposition, once a workgroup; the splits
// over pixels fill the machine where the matrix is small.

struct WeightGradientAxis { grid: u32, src: u32, mul: i32, off: i32 }
struct WeightGradientParams {
    y: WeightGradientAxis, x: WeightGradientAxis,
    images: u32, k: u32, n: u32, src_stride: u32,
    taps: u32, taps_x: u32, quads_per_tap: u32, rows: u32,
    pixels_per_split: u32, first_split: u32,
}

//@if KV
@group(0) @binding(0) var<storage, read_write> src: array<vec4<stored>>;
//@else
@group(0) @binding(0) var<storage, read_write> src: array<stored>;
//@end
//@if NQ
@group(0) @binding(1) var<storage, read_write> grad: array<vec4<stored>>;
//@else
@group(0) @binding(1) var<storage, read_write> grad: array<stored>;
//@end
@group(0) @binding(2) var<storage, read_write> part: array<f32>;
@group(0) @binding(3) var<uniform> p: WeightGradientParams;

const BM = {{BM}}u;
const BN = {{BN}}u;
const BK = {{BK}}u;
const THREADS = {{WG}}u;

var<workgroup> tile_src: array<vec4<f32>, {{BK*BM}} / 4>;
var<workgroup> tile_grad: array<vec4<f32>, {{BK*BN}} / 4>;

// Quotient and remainder; by way of floats where pixels are below 2^23, which is exact and several times faster.
fn split(a: u32, d: u32) -> vec2<u32> {
//@if BIG
    return vec2<u32>(a / d, a % d);
//@else
    let q = u32(f32(a) / f32(d));
    let q1 = select(q, q - 1u, q * d > a);
    let q2 = select(q1, q1 + 1u, a - q1 * d >= d);
    return vec2<u32>(q2, a - q2 * d);
//@end
}

// A row of the product: the place of its tap, and its channel.
struct Row { dy: i32, dx: i32, c: u32, live: bool }

fn row_of(m: u32) -> Row {
    let tap = m / p.k;
    let ty = tap / p.taps_x;
    return Row(p.y.off + i32(ty), p.x.off + i32(tap - ty * p.taps_x), m - tap * p.k, tap < p.taps);
}

// The source's value index for a row and the pixel at (y, x), or -1 outside the image.
fn source_of(r: Row, base: u32, y: u32, x: u32) -> i32 {
    let sy = i32(y) * p.y.mul + r.dy;
    let sx = i32(x) * p.x.mul + r.dx;
    if (r.live && u32(sy) < p.y.src && u32(sx) < p.x.src) {
        return i32(((base + u32(sy)) * p.x.src + u32(sx)) * p.k + r.c);
    }
    return -1;
}

@compute @workgroup_size({{WG}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let split_index = wg.z + p.first_split;
    let first = split_index * p.pixels_per_split;
    let end = min(first + p.pixels_per_split, p.images * p.y.grid * p.x.grid);
    let rows = p.taps * p.k;
    let n_local = (t % (BN / 4u)) * 4u;
    let m_local = (t / (BN / 4u)) * 8u;
//@for i 0 8
    var a{{i}} = vec4<f32>();
//@end

    // What this invocation fetches of the source is the same rows in every step: THREADS is a multiple of BM / 4.
    let m0 = wg.x * BM + (t % (BM / 4u)) * 4u;
//@if KV
    let r0 = row_of(m0);
//@else
//@for i 0 4
    let r{{i}} = row_of(m0 + {{i}}u);
//@end
//@end
    for (var at = first; at < end; at += BK) {
        for (var f = t; f < BK * BM / 4u; f += THREADS) {
            let pixel = at + f / (BM / 4u);
            var v = vec4<f32>();
            if (pixel < end) {
                let col = split(pixel, p.x.grid);
                let row = split(col.x, p.y.grid);
                let base = row.x * p.y.src;
//@if KV
                let o = source_of(r0, base, row.y, col.y);
                if (o >= 0) { v = vec4<f32>(src[u32(o) >> 2u]); }
//@else
//@for i 0 4
                let o{{i}} = source_of(r{{i}}, base, row.y, col.y);
                if (o{{i}} >= 0) { v[{{i}}] = f32(src[u32(o{{i}})]); }
//@end
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
                if (n < p.n) { v = vec4<f32>(grad[(pixel * p.n + n) >> 2u]); }
//@else
                for (var i = 0u; i < 4u; i++) {
                    if (n + i < p.n) { v[i] = f32(grad[pixel * p.n + n + i]); }
                }
//@end
            }
//@if HALF
            // The largest number stands for whatever is larger: see conv_wgrad_lanes.wgsl.
            v = select(v, v * 3e38, abs(v) >= vec4<f32>(65504.0));
//@end
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
