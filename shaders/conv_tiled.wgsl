// Convolution (and its input gradient) through workgroup memory, for GPUs.
//
// Computes what conv_lanes.wgsl computes, from the same uniform:
//     dst[pixel, n] = sum over taps t and source channels k of src[pixel moved by t, k] * weight[t, k, n]   (+ add[pixel, n])
// as a matrix product of BM pixels by BN channels a workgroup, with the sum over (tap, channel) in steps of BK.
//
// Layouts: src [batch, src_h, src_w, K], dst [batch, dst_h, dst_w, N], weight [taps, K, N] forward and [taps, N, K] for
// the input gradient (the same buffer [kh, kw, ci, co], read the other way).
// Bindings: 0 src, 1 weight, 2 dst, then add where ADD, then the uniform.
// Constants: BM, BN, BK multiples of 8, 4 NV, 4 with BM BK / 4 a multiple of the workgroup; NV vectors of channels an
// invocation; KV, WV, NQ: source, weights, output can be read in fours;
// TRANSPOSED the input gradient's reading of the weights; ADD; WIDE: K >= BK.
// Grid: x tiles of BM pixels, y tiles of BN channels. Workgroup: BM BN / (32 NV) invocations, each 8 pixels by NV times 4
// channels, BN / NV apart.
//
// Why it is fast: each value of the two tiles is read from memory once a workgroup, in vec4 along the contiguous
// channels, and from workgroup memory as vec4 (12 loads for 128 products where NV = 1, 16
// for 256 where NV = 2). The tiles take 4 BK (BM + BN) bytes.
//
// Invocations write whole vectors to the tiles: by WGSL's rules, and on Metal in fact, a write to one component may write
// the others back as they were. So the source's tile lies as it is read, along the channels, and weights that have to be
// transposed are transposed four by four in registers.

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

//@if KV
@group(0) @binding(0) var<storage, read_write> src: array<vec4<stored>>;
//@else
@group(0) @binding(0) var<storage, read_write> src: array<stored>;
//@end
//@if WV
@group(0) @binding(1) var<storage, read_write> weight: array<vec4<f32>>;
//@else
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
//@end
//@if NQ
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<stored>>;
//@else
@group(0) @binding(2) var<storage, read_write> dst: array<stored>;
//@end
//@if ADD
//@if NQ
@group(0) @binding(3) var<storage, read_write> add: array<vec4<stored>>;
//@else
@group(0) @binding(3) var<storage, read_write> add: array<stored>;
//@end
@group(0) @binding(4) var<uniform> p: ConvParams;
//@else
@group(0) @binding(3) var<uniform> p: ConvParams;
//@end

const BM = {{BM}}u;
const BN = {{BN}}u;
const BK = {{BK}}u;
const THREADS = {{WG}}u;
const QUADS = BK / 4u;
// Channels from one vector of an invocation to its next.
const SPAN = BN / {{NV}}u;
// Vectors of the source tile that one invocation fetches a step.
const FETCH = BM * QUADS / THREADS;

// [BM][BK] and [BK][BN] as vec4 along their last.
var<workgroup> tile_src: array<vec4<f32>, {{BK*BM}} / 4>;
var<workgroup> tile_w: array<vec4<f32>, {{BK*BN}} / 4>;

// Where an entry of the sum lies: its tap on both axes and its channel.
struct Entry { ty: u32, tx: u32, c: u32 }

// The entry `extra` (BK at most) behind the first of a step.
fn entry(first: Entry, k0: u32, extra: u32) -> Entry {
//@if WIDE
    // A step meets two taps at most, so counting replaces division.
    var e = Entry(first.ty, first.tx, first.c + extra);
    if (e.c >= p.k) {
        e.c -= p.k;
        e.tx += 1u;
        if (e.tx >= p.x.taps) { e.tx = 0u; e.ty += 1u; }
    }
    return e;
//@else
    let tap = (k0 + extra) / p.k;
    let ty = tap / p.x.taps;
    return Entry(ty, tap - ty * p.x.taps, k0 + extra - tap * p.k);
//@end
}

// The source's value index for an entry, or -1 outside the image; the pixel's first tap is at (y, x) of image row `base`.
fn source_of(e: Entry, live: bool, base: u32, y: i32, x: i32) -> i32 {
    let sy = y + i32(e.ty) * p.y.step;
    let sx = x + i32(e.tx) * p.x.step;
    if (live && e.ty < p.y.taps && u32(sy) < p.y.src && u32(sx) < p.x.src) {
        return i32(((base + u32(sy)) * p.x.src + u32(sx)) * p.k + e.c);
    }
    return -1;
}

// Where the weights of an entry's tap begin in [kh, kw, ., .].
fn tap_start(e: Entry) -> u32 {
    return ((p.y.w_first + e.ty * p.y.w_step) * p.x.kernel + p.x.w_first + e.tx * p.x.w_step) * p.k * p.n;
}

@compute @workgroup_size({{WG}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let pixels = p.images * p.y.grid * p.x.grid;
    let k_all = p.y.taps * p.x.taps * p.k;

    // The source pixels that this invocation fetches: the same in every step.
    var base: array<u32, FETCH>;
    var y0: array<i32, FETCH>;
    var x0: array<i32, FETCH>;
    var live: array<bool, FETCH>;
    for (var f = 0u; f < FETCH; f++) {
        let pixel = wg.x * BM + (f * THREADS + t) / QUADS;
        let col = pixel % p.x.grid;
        let row = pixel / p.x.grid;
        live[f] = pixel < pixels;
        base[f] = (row / p.y.grid + p.first_image) * p.y.src;
        y0[f] = i32(row % p.y.grid) * p.y.mul + p.y.off;
        x0[f] = i32(col) * p.x.mul + p.x.off;
    }

    let n_local = (t % (SPAN / 4u)) * 4u;
    let m_local = (t / (SPAN / 4u)) * 8u;
//@for v 0 NV
//@for i 0 8
    var a{{i+8*v}} = vec4<f32>();
//@end
//@end

    var first = Entry(0u, 0u, 0u);
    for (var k0 = 0u; k0 < k_all; k0 += BK) {
        for (var f = 0u; f < FETCH; f++) {
            let q = (f * THREADS + t) % QUADS;
            var v = vec4<f32>();
//@if KV
            let at = source_of(entry(first, k0, q * 4u), live[f], base[f], y0[f], x0[f]);
            if (at >= 0) { v = vec4<f32>(src[u32(at) >> 2u]); }
//@else
            for (var i = 0u; i < 4u; i++) {
                let at = source_of(entry(first, k0, q * 4u + i), live[f], base[f], y0[f], x0[f]);
                if (at >= 0) { v[i] = f32(src[u32(at)]); }
            }
//@end
            tile_src[f * THREADS + t] = v;
        }
//@if TRANSPOSED
        // Four channels n, each with four channels k.
        for (var f = t; f < BN / 4u * QUADS; f += THREADS) {
            let n = wg.y * BN + f / QUADS * 4u;
            let k = (f % QUADS) * 4u;
//@for j 0 4
            var v{{j}} = vec4<f32>();
//@end
//@if WV
            let e = entry(first, k0, k);
            if (e.ty < p.y.taps) {
                let at = tap_start(e) + n * p.k + e.c;
//@for j 0 4
                if (n + {{j}}u < p.n) { v{{j}} = weight[(at + {{j}}u * p.k) >> 2u]; }
//@end
            }
//@else
            for (var i = 0u; i < 4u; i++) {
                let e = entry(first, k0, k + i);
                if (e.ty < p.y.taps) {
                    let at = tap_start(e) + n * p.k + e.c;
//@for j 0 4
                    if (n + {{j}}u < p.n) { v{{j}}[i] = weight[at + {{j}}u * p.k]; }
//@end
                }
            }
//@end
//@for i 0 4
            tile_w[(k + {{i}}u) * (BN / 4u) + f / QUADS] = vec4<f32>(v0[{{i}}], v1[{{i}}], v2[{{i}}], v3[{{i}}]);
//@end
        }
//@else
        for (var f = t; f < BK * BN / 4u; f += THREADS) {
            let e = entry(first, k0, f / (BN / 4u));
            let n = wg.y * BN + (f % (BN / 4u)) * 4u;
            var v = vec4<f32>();
            if (e.ty < p.y.taps) {
                let at = tap_start(e) + e.c * p.n + n;
//@if WV
                if (n < p.n) { v = weight[at >> 2u]; }
//@else
                for (var i = 0u; i < 4u; i++) {
                    if (n + i < p.n) { v[i] = weight[at + i]; }
                }
//@end
            }
            tile_w[f] = v;
        }
//@end
        first = entry(first, k0, BK);
        workgroupBarrier();
        for (var q = 0u; q < QUADS; q++) {
//@for i 0 8
            let s{{i}} = tile_src[(m_local + {{i}}u) * QUADS + q];
//@end
//@for j 0 4
//@for v 0 NV
            let w{{j+4*v}} = tile_w[((q * 4u + {{j}}u) * BN + n_local + {{v}}u * SPAN) >> 2u];
//@for i 0 8
            a{{i+8*v}} = fma(vec4<f32>(s{{i}}[{{j}}]), w{{j+4*v}}, a{{i+8*v}});
//@end
//@end
//@end
        }
        workgroupBarrier();
    }

//@for v 0 NV
//@for i 0 8
    {
        let n = wg.y * BN + n_local + {{v}}u * SPAN;
        let pixel = wg.x * BM + m_local + {{i}}u;
        if (pixel < pixels && n < p.n) {
            let col = pixel % p.x.grid;
            let row = pixel / p.x.grid;
            let image = row / p.y.grid;
            let at = (((image + p.first_image) * p.y.dst + (row - image * p.y.grid) * p.y.dst_mul + p.y.dst_off) * p.x.dst
                + col * p.x.dst_mul + p.x.dst_off) * p.n + n;
//@if NQ
//@if ADD
            dst[at >> 2u] = vec4<stored>(a{{i+8*v}} + vec4<f32>(add[at >> 2u]));
//@else
            dst[at >> 2u] = vec4<stored>(a{{i+8*v}});
//@end
//@else
            for (var j = 0u; j < min(4u, p.n - n); j++) {
//@if ADD
                dst[at + j] = stored(a{{i+8*v}}[j] + f32(add[at + j]));
//@else
                dst[at + j] = stored(a{{i+8*v}}[j]);
//@end
            }
//@end
        }
    }
//@end
//@end
}
