// Convolution (and its input gradient) through workgroup memory, for GPUs.
//
// Computes what conv_lanes.wgsl computes, from the same uniform:
//     dst[pixel, n] = sum over taps t and source channels k of src[pixel moved by t, k] * weight[t, k, n]   (+ add[pixel, n])
// as a matrix product of BM pixels by BN channels a workgroup, with the sum over (tap, channel) in steps of BK.
//
// Layouts: src [batch, src_h, src_w, K], dst [batch, dst_h, dst_w, N], weight [taps, K, N] forward and [taps, N, K] for
// the input gradient (the same buffer [kh, kw, ci, co], read the other way).
// Bindings: 0 src, 1 weight, 2 dst, then add where ADD, then the uniform.
// Constants: BM, BN multiples of 8 and 4 NV; NV vectors of channels an invocation; KV, WV, NQ: source, weights, output can
// be read in fours; ENTRIES 1 where KV, else 4; FETCH, WFETCH vec4 of the source's tile and of the weights' that an
// invocation fetches a step; TRANSPOSED the input gradient's reading of the weights, with taps that run backwards; ADD.
// Grid: x tiles of BM pixels, y tiles of BN channels. Workgroup: BM BN / (32 NV) invocations, each 8 pixels by NV times 4
// channels, BN / NV apart.
//
// Why it is fast: each value of the two tiles is read from memory once a workgroup, in vec4 along the contiguous
// channels, while the step before is summed, and from workgroup memory as vec4 (12 loads for 128 products where NV = 1,
// 16 for 256 where NV = 2). What an invocation fetches moves from step to step by additions: beside 512 multiply-adds a
// step has about 60 other vector instructions on RDNA2. The tiles take 64 (BM + BN) bytes.
//
// Invocations write whole vectors to the tiles: by WGSL's rules, and on Metal in fact, a write to one component may write
// the others back as they were. So both tiles lie as they are read.

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
const BK = 16u;
const THREADS = {{WG}}u;
const QUADS = BK / 4u;
// Channels from one vector of an invocation to its next.
const SPAN = BN / {{NV}}u;

// [BM][BK] as vec4 along the last.
var<workgroup> tile_src: array<vec4<f32>, {{4*BM}}>;
//@if TRANSPOSED
// [BN][BK], and behind each four channels a vec4 to spare, by which neighbours read from different banks.
const FOUR = 4u * QUADS + 1u;
var<workgroup> tile_w: array<vec4<f32>, {{BN}} / 4 * FOUR>;
//@else
// [BK][BN]
var<workgroup> tile_w: array<vec4<f32>, {{4*BN}}>;
//@end

// An entry of the sum: channel c of a tap; or from one entry to another. `at` is its place in the source seen from a
// pixel's first tap, `w_at` its place in the weights of an output channel; what goes backwards wraps around.
struct Entry { k: u32, c: u32, tx: u32, ty: u32, at: u32, w_at: u32 }

fn plus(a: Entry, b: Entry) -> Entry {
    return Entry(a.k + b.k, a.c + b.c, a.tx + b.tx, a.ty + b.ty, a.at + b.at, a.w_at + b.w_at);
}

// Beyond a tap's channels its next one, and beyond a row of taps the next row begins: no division.
fn carried(e: Entry, channel: Entry, tap: Entry, K: u32, taps_x: u32) -> Entry {
    var r = e;
    if (r.c >= K) { r = plus(r, channel); }
    if (r.tx >= taps_x) { r = plus(r, tap); }
    return r;
}

@compute @workgroup_size({{WG}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    // Entries of the sum, a tap and a channel each; in fours where these are read so.
//@if KV
    const STEP = QUADS;
    let K = p.k / 4u;
//@else
    const STEP = BK;
    let K = p.k;
//@end
    let N = p.n;
    let taps_x = max(p.x.taps, 1u);
    let entries = p.y.taps * p.x.taps * K;
    let src_h = p.y.src; let src_w = p.x.src;
    // From a tap to the next and from a row of them to the next, in the source and in the weights. The input gradient's
    // taps run backwards.
//@if TRANSPOSED
    let at_tap = 0u - K; let at_line = 0u - src_w * K;
//@else
    let at_tap = K; let at_line = src_w * K;
//@end
    let w_tap = p.x.w_step * K * N; let w_line = p.y.w_step * p.x.kernel * K * N;
    let carry_c = Entry(0u, 0u - K, 1u, 0u, at_tap - K, w_tap - K);
    let carry_x = Entry(0u, 0u, 0u - taps_x, 1u, at_line - taps_x * at_tap, w_line - taps_x * w_tap);
    // From step to step.
    let x_move = STEP / K % taps_x; let y_move = STEP / K / taps_x;
    let ahead = Entry(STEP, STEP % K, x_move, y_move, STEP % K + x_move * at_tap + y_move * at_line,
        STEP % K + x_move * w_tap + y_move * w_line);
    let one = Entry(1u, 1u, 0u, 0u, 1u, 1u);
    // The first that this invocation fetches of a step.
    let k0 = t % QUADS * (STEP / QUADS); let tx0 = k0 / K % taps_x; let ty0 = k0 / K / taps_x;
    var first = Entry(k0, k0 % K, tx0, ty0, k0 % K + tx0 * at_tap + ty0 * at_line,
        (p.y.w_first * p.x.kernel + p.x.w_first) * K * N + k0 % K + tx0 * w_tap + ty0 * w_line);

    // The pixels of which it fetches them, by their first tap. Behind the last pixel the last one is fetched again, and
    // behind the last of the weights' channels likewise: what comes of it is not written.
//@for f 0 FETCH
    let pixel{{f}} = min(wg.x * BM + ({{f}}u * THREADS + t) / QUADS, p.images * p.y.grid * p.x.grid - 1u);
    let row{{f}} = pixel{{f}} / p.x.grid;
    let y{{f}} = row{{f}} % p.y.grid * u32(p.y.mul) + u32(p.y.off);
    let x{{f}} = pixel{{f}} % p.x.grid * u32(p.x.mul) + u32(p.x.off);
    let from{{f}} = (((row{{f}} / p.y.grid + p.first_image) * src_h + y{{f}}) * src_w + x{{f}}) * K;
//@for e 0 ENTRIES
    var inside{{f}}_{{e}} = false;
//@if KV
    var s{{f}}_{{e}} = vec4<stored>();
//@else
    var s{{f}}_{{e}} = stored();
//@end
//@end
//@end
//@if TRANSPOSED
//@for f 0 WFETCH
    let w_row{{f}} = min(wg.y * BN + ({{f}}u * THREADS + t) / QUADS, N - 1u) * K;
    var w{{f}} = vec4<f32>();
//@end
//@else
    let column = wg.y * BN + t % (BN / 4u) * 4u;
//@if WV
    let columns = N / 4u;
    let w_column = min(column, N - 4u) / 4u;
//@else
    let columns = N;
//@for i 0 4
    let w_column{{i}} = min(column + {{i}}u, N - 1u);
//@end
//@end
    let w_last = (max(p.y.taps * p.x.taps * p.k, 1u) - 1u) * columns;
//@for f 0 WFETCH
    var w_row{{f}} = ({{f}}u * THREADS + t) / (BN / 4u) * columns;
    var w{{f}} = vec4<f32>();
//@end
//@end

    let n_local = (t % (SPAN / 4u)) * 4u;
    let m_local = (t / (SPAN / 4u)) * 8u;
    let m_at = m_local * QUADS;
//@if TRANSPOSED
    let n_at = n_local / 4u * FOUR;
//@else
    let n_at = n_local / 4u;
//@end
//@for v 0 NV
//@for i 0 8
    var a{{i+8*v}} = vec4<f32>();
//@end
//@end

    // What fetches a step stands before the loop, for the first one, and in it, for the one behind that which is being
    // summed: memory answers meanwhile.
//@for next 0 2
//@if next
    for (var k = 0u; k < entries; k += STEP) {
//@for f 0 FETCH
//@if KV
        tile_src[{{f}}u * THREADS + t] = select(vec4<f32>(), vec4<f32>(s{{f}}_0), inside{{f}}_0);
//@else
        tile_src[{{f}}u * THREADS + t] = select(
            vec4<f32>(), vec4<f32>(vec4<stored>(s{{f}}_0, s{{f}}_1, s{{f}}_2, s{{f}}_3)),
            vec4<bool>(inside{{f}}_0, inside{{f}}_1, inside{{f}}_2, inside{{f}}_3),
        );
//@end
//@end
//@for f 0 WFETCH
//@if TRANSPOSED
        tile_w[{{f}}u * THREADS + t + ({{f}}u * THREADS + t) / (4u * QUADS)] = w{{f}};
//@else
        tile_w[{{f}}u * THREADS + t] = w{{f}};
        w_row{{f}} += BK * columns;
//@end
//@end
        workgroupBarrier();
        first = carried(plus(first, ahead), carry_c, carry_x, K, taps_x);
//@end
//@for e 0 ENTRIES
//@if e==0
        let e0 = first;
//@else
        let e{{e}} = carried(plus(e{{e-1}}, one), carry_c, carry_x, K, taps_x);
//@end
        let live{{e}} = e{{e}}.k < entries;
//@for f 0 FETCH
//@if TRANSPOSED
        inside{{f}}_{{e}} = live{{e}} & (y{{f}} - e{{e}}.ty < src_h) & (x{{f}} - e{{e}}.tx < src_w);
//@else
        inside{{f}}_{{e}} = live{{e}} & (y{{f}} + e{{e}}.ty < src_h) & (x{{f}} + e{{e}}.tx < src_w);
//@end
        s{{f}}_{{e}} = src[select(0u, from{{f}} + e{{e}}.at, inside{{f}}_{{e}})];
//@end
//@end
//@for f 0 WFETCH
//@if TRANSPOSED
//@if KV
        w{{f}} = weight[select(0u, e0.w_at, live0) + w_row{{f}}];
//@else
        w{{f}} = vec4<f32>(
//@for e 0 4
            weight[select(0u, e{{e}}.w_at, live{{e}}) + w_row{{f}}],
//@end
        );
//@end
//@else
//@if WV
        w{{f}} = weight[min(w_row{{f}}, w_last) + w_column];
//@else
        w{{f}} = vec4<f32>(
//@for i 0 4
            weight[min(w_row{{f}}, w_last) + w_column{{i}}],
//@end
        );
//@end
//@end
//@end
//@end
//@for q 0 4
        {
//@for i 0 8
            let s{{i}} = tile_src[m_at + {{4*i+q}}u];
//@end
//@for v 0 NV
//@if TRANSPOSED
            // Four channels n, each with four of the sum: the columns are the vectors of the sum's.
//@for j 0 4
            let w{{j}}_{{v}} = tile_w[n_at + {{v}}u * (SPAN / 4u) * FOUR + {{4*j+q}}u];
//@end
//@for j 0 4
            let u{{j+4*v}} = vec4<f32>(w0_{{v}}[{{j}}], w1_{{v}}[{{j}}], w2_{{v}}[{{j}}], w3_{{v}}[{{j}}]);
//@end
//@else
//@for j 0 4
            let u{{j+4*v}} = tile_w[n_at + {{4*q+j}}u * (BN / 4u) + {{v}}u * (SPAN / 4u)];
//@end
//@end
//@for j 0 4
//@for i 0 8
            a{{i+8*v}} = fma(vec4<f32>(s{{i}}[{{j}}]), u{{j+4*v}}, a{{i+8*v}});
//@end
//@end
//@end
        }
//@end
        workgroupBarrier();
    }

    let pixels = p.images * p.y.grid * p.x.grid;
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
