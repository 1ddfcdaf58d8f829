// Convolution (and its input gradient) on adapters whose subgroups have LANES lanes each, without workgroup memory.
//
// Computes, for every output pixel of a grid and every output channel n,
//     dst[pixel, n] = sum over taps t and source channels k of src[pixel moved by t, k] * weight[t, k, n]
// The grid is the whole output of a convolution, or, for the input gradient of a strided one, every s-th input pixel:
// those that meet the same taps. Which source row a grid row and a tap meet is linear: row * mul + tap * step + off.
//
// Layouts: src [batch, src_h, src_w, stride] with stride >= K a multiple of four and zeros behind the K channels, weight
// [taps, K, N] or, where `transposed`, [taps, N, K] as the input gradient finds them (K and N multiples of four), dst
// [batch, dst_h, dst_w, N].
// Bindings: 0 src, 1 weight, 2 dst, then the uniform.
// Constants: LANES (4, 8 or 16); MG groups of LANES pixels a workgroup; NV (1, 2 or 4) vectors of LANES output channels; ROWS
// of weights that a load has, 4 / NV; PER lanes that share one of them, LANES / ROWS, and SHIFT, its logarithm; V: N is a
// multiple of four.
// Grid: x tiles of LANES MG pixels, y tiles of LANES NV channels. Workgroup: one subgroup.
//
// Why it is fast: a software adapter loads a storage buffer lane by lane, in a loop of some forty instructions for a vec4
// of each, as dear as a hundred multiply-adds of eight lanes, while a shuffle within the subgroup whose lanes are known when
// it compiles is one or two (`subgroup_invocation_id` is known, `local_invocation_index` is not). So each value is
// loaded by one lane only, once a workgroup, and travels by shuffles: MG + NV loads of vec4 feed 4 LANES MG NV
// products of vectors. The accumulators that do not fit in registers live on the stack, where a vector costs one instruction.
// Each load and store in the text takes the adapter milliseconds to compile: what differs between layers travels in the
// uniform, so that a network needs two or three of these pipelines.

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

@group(0) @binding(0) var<storage, read_write> src: array<vec4<stored>>;
//@if V
alias T = vec4<f32>;
//@else
alias T = f32;
//@end
// As many channels as a lane has.
//@if V
//@if NV==1
alias S = stored;
//@else
alias S = vec{{NV}}<stored>;
//@end
//@else
alias S = stored;
//@end
@group(0) @binding(1) var<storage, read_write> weight: array<T>;
@group(0) @binding(2) var<storage, read_write> dst: array<S>;
@group(0) @binding(3) var<uniform> p: ConvParams;

// Quotient and remainder by way of floats, exact below 2^23: integer division is scalar code on software adapters.
fn split(a: u32, d: u32, inverse: f32) -> vec2<u32> {
    let q = u32(f32(a) * inverse);
    let low = q * d > a;
    let q1 = select(q, q - 1u, low);
    let high = a - q1 * d >= d;
    let q2 = select(q1, q1 + 1u, high);
    return vec2<u32>(q2, a - q2 * d);
}

fn pick2(b0: bool, v0: f32, v1: f32) -> f32 {
    return select(v0, v1, b0);
}

fn pick4(b0: bool, b1: bool, v0: f32, v1: f32, v2: f32, v3: f32) -> f32 {
    return select(pick2(b0, v0, v1), pick2(b0, v2, v3), b1);
}

fn pick8(b0: bool, b1: bool, b2: bool, v0: f32, v1: f32, v2: f32, v3: f32, v4: f32, v5: f32, v6: f32, v7: f32) -> f32 {
    return select(pick4(b0, b1, v0, v1, v2, v3), pick4(b0, b1, v4, v5, v6, v7), b2);
}

// Exchanges the second half of the values of the lanes without `bit` for the first half of those with it.
fn exchange_halves(r: vec4<f32>, lane: u32, bit: u32) -> vec4<f32> {
    let s = subgroupShuffle(r, lane ^ bit);
    return select(vec4<f32>(s.zw, r.zw), vec4<f32>(r.xy, s.xy), (lane & bit) == 0u);
}

// The same with the odd values of the lanes without it and the even ones of those with it.
fn exchange_odd(r: vec4<f32>, lane: u32, bit: u32) -> vec4<f32> {
    let s = subgroupShuffle(r, lane ^ bit);
    return select(vec4<f32>(s.y, r.y, s.w, r.w), vec4<f32>(r.x, s.x, r.z, s.z), (lane & bit) == 0u);
}

@compute @workgroup_size({{LANES}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let K = p.k; let N = p.n; let KW = p.x.kernel;
    let src_h = p.y.src; let src_w = p.x.src;
    let taps_y = p.y.taps; let taps_x = p.x.taps;
    let step_y = p.y.step; let step_x = p.x.step;
    let w_first_y = p.y.w_first; let w_step_y = p.y.w_step; let w_first_x = p.x.w_first; let w_step_x = p.x.w_step;
    let grid_h = p.y.grid; let grid_w = p.x.grid;
    let inv_h = 1.0 / f32(grid_h); let inv_w = 1.0 / f32(grid_w);
    let pixels = p.images * grid_h * grid_w;
    let first_image = p.first_image; let stride = p.src_stride; let rows = p.rows; let transposed = p.transposed != 0u;

    // The channels of this lane, NV in a row: ROWS lanes share each four.
    // Lanes beyond the last channel, like groups beyond the last pixel, repeat it: they then write what is written
    // anyway, and nothing needs a mask, which would make every load and store longer to compile and slower.
    let own_row = lane >> {{SHIFT}}u;
//@if V
    let quad = min(wg.y * {{NV*LANES}}u + 4u * (lane & {{PER-1}}u), N - 4u);
//@else
    let quad = wg.y * {{NV*LANES}}u + 4u * (lane & {{PER-1}}u);
//@end
    let n0 = quad + {{NV}}u * own_row;

//@for g 0 MG
    let pixel{{g}} = min(wg.x * {{LANES*MG}}u + {{LANES*g}}u + lane, pixels - 1u);
    let col{{g}} = split(pixel{{g}}, grid_w, inv_w);
    let row{{g}} = split(col{{g}}.x, grid_h, inv_h);
    let sy{{g}} = i32(row{{g}}.y) * p.y.mul + p.y.off;
    let sx{{g}} = i32(col{{g}}.y) * p.x.mul + p.x.off;
    let base{{g}} = (row{{g}}.x + first_image) * src_h;
    let to{{g}} = (((row{{g}}.x + first_image) * p.y.dst + row{{g}}.y * p.y.dst_mul + p.y.dst_off) * p.x.dst
        + col{{g}}.y * p.x.dst_mul + p.x.dst_off) * N;
//@for i 0 LANES
//@for v 0 NV
    var a{{g}}_{{i}}_{{v}} = 0.0;
//@end
//@end
//@end

    var c = 0u; var ty = 0u; var tx = 0u;
    while (ty < taps_y) {
        let dy = i32(ty) * step_y;
        let dx = i32(tx) * step_x;
        let tap = ((w_first_y + ty * w_step_y) * KW + w_first_x + tx * w_step_x) * K * N;
//@for g 0 MG
        let y{{g}} = sy{{g}} + dy;
        let x{{g}} = sx{{g}} + dx;
        let ok{{g}} = u32(y{{g}}) < src_h && u32(x{{g}}) < src_w;
        let at{{g}} = select(0u, ((base{{g}} + u32(y{{g}})) * src_w + u32(x{{g}})) * stride + c, ok{{g}});
        let s{{g}} = select(vec4<f32>(), vec4<f32>(src[at{{g}} >> 2u]), ok{{g}});
//@end
        // Weights: w{k}_{v} holds, in each lane, row c + k and this lane's channel v.
//@if V
        // A load has ROWS rows of NV LANES channels, of which the lanes then exchange parts; transposed, a channel's four rows.
//@for l 0 NV
        let r{{l}} = weight[select((tap + min(c + {{ROWS*l}}u + own_row, K - 1u) * N + quad) >> 2u, (tap + (n0 + {{l}}u) * K + c) >> 2u, transposed)];
//@end
//@if NV==4
//@for k 0 4
//@for v 0 4
        let w{{k}}_{{v}} = select(r{{k}}[{{v}}], r{{v}}[{{k}}], transposed);
//@end
//@end
//@end
//@if NV==2
//@for l 0 2
        let e{{l}} = exchange_halves(r{{l}}, lane, {{PER}}u);
//@for v 0 2
        let w{{2*l}}_{{v}} = select(e{{l}}[{{v}}], r{{v}}[{{2*l}}], transposed);
        let w{{2*l+1}}_{{v}} = select(e{{l}}[{{2+v}}], r{{v}}[{{2*l+1}}], transposed);
//@end
//@end
//@end
//@if NV==1
        let e0 = exchange_odd(exchange_halves(r0, lane, {{2*PER}}u), lane, {{PER}}u);
//@for k 0 4
        let w{{k}}_0 = select(e0[{{k}}], r0[{{k}}], transposed);
//@end
//@end
//@else
//@for k 0 4
//@for v 0 NV
        let w{{k}}_{{v}} = weight[tap + min(c + {{k}}u, K - 1u) * N + min(n0 + {{v}}u, N - 1u)];
//@end
//@end
//@end
//@for g 0 MG
//@for i 0 LANES
        let b{{g}}_{{i}}_0 = subgroupShuffle(s{{g}}.x, {{i}}u);
        let b{{g}}_{{i}}_1 = subgroupShuffle(s{{g}}.y, {{i}}u);
        let b{{g}}_{{i}}_2 = subgroupShuffle(s{{g}}.z, {{i}}u);
        let b{{g}}_{{i}}_3 = subgroupShuffle(s{{g}}.w, {{i}}u);
//@for v 0 NV
        a{{g}}_{{i}}_{{v}} = fma(b{{g}}_{{i}}_3, w3_{{v}}, fma(b{{g}}_{{i}}_2, w2_{{v}}, fma(b{{g}}_{{i}}_1, w1_{{v}}, fma(b{{g}}_{{i}}_0, w0_{{v}}, a{{g}}_{{i}}_{{v}}))));
//@end
//@end
//@end
        c += 4u;
        let next_tap = c >= K;
        c = select(c, 0u, next_tap);
        tx += select(0u, 1u, next_tap);
        let next_row = tx >= taps_x;
        tx = select(tx, 0u, next_row);
        ty += select(0u, 1u, next_row);
    }

    // The results leave in a loop over the pixels of a group, of which `pick` takes one from the registers: a store in
    // the text takes the adapter 3 ms to compile, and so there are MG of them, not LANES MG. The count is the uniform's,
    // or the loop would be unrolled all the same.
    for (var i = 0u; i < rows; i++) {
        let b0 = (i & 1u) != 0u; let b1 = (i & 2u) != 0u; let b2 = (i & 4u) != 0u; let b3 = (i & 8u) != 0u;
//@for g 0 MG
//@for v 0 NV
//@if LANES==4
        let o{{g}}_{{v}} = pick4(b0, b1, a{{g}}_0_{{v}}, a{{g}}_1_{{v}}, a{{g}}_2_{{v}}, a{{g}}_3_{{v}});
//@else
        let o{{g}}_{{v}}_0 = pick8(b0, b1, b2, a{{g}}_0_{{v}}, a{{g}}_1_{{v}}, a{{g}}_2_{{v}}, a{{g}}_3_{{v}}, a{{g}}_4_{{v}}, a{{g}}_5_{{v}}, a{{g}}_6_{{v}}, a{{g}}_7_{{v}});
//@if LANES==16
        let o{{g}}_{{v}}_1 = pick8(b0, b1, b2, a{{g}}_8_{{v}}, a{{g}}_9_{{v}}, a{{g}}_10_{{v}}, a{{g}}_11_{{v}}, a{{g}}_12_{{v}}, a{{g}}_13_{{v}}, a{{g}}_14_{{v}}, a{{g}}_15_{{v}});
        let o{{g}}_{{v}} = pick2(b3, o{{g}}_{{v}}_0, o{{g}}_{{v}}_1);
//@else
        let o{{g}}_{{v}} = o{{g}}_{{v}}_0;
//@end
//@end
//@end
        {
            let at = subgroupShuffle(to{{g}}, i) + n0;
//@if V
//@if NV==4
            dst[at >> 2u] = S(vec4<f32>(o{{g}}_0, o{{g}}_1, o{{g}}_2, o{{g}}_3));
//@end
//@if NV==2
            dst[at >> 1u] = S(vec2<f32>(o{{g}}_0, o{{g}}_1));
//@end
//@if NV==1
            dst[at] = S(o{{g}}_0);
//@end
//@else
//@for v 0 NV
            if (n0 + {{v}}u < N) { dst[at + {{v}}u] = S(o{{g}}_{{v}}); }
//@end
//@end
        }
//@end
    }
}
