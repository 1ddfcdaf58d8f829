// Weight gradient of a convolution on adapters whose subgroups have LANES lanes each, without workgroup memory.
//
// Computes, for a range of output pixels,
//     part[split, t, c, n] = sum over pixels of src[pixel moved by t, c] * grad[pixel, n]
// and `reduce.wgsl` adds the splits in order, so that the result is the same on every run.
//
// Layouts: src [batch, src_h, src_w, stride] with stride >= K a multiple of four and zeros behind the K channels, grad
// [batch, grid_h, grid_w, N], part [splits, taps, stride, N].
// Bindings: 0 src, 1 grad, 2 part, then the uniform.
// Constants: LANES, NV, ROWS, PER, SHIFT and V as in conv_lanes.wgsl; MQ groups of LANES quads of source channels a workgroup (a
// quad is four channels under one tap).
// Grid: x tiles of LANES MQ quads, y tiles of LANES NV channels, z splits. Workgroup: one subgroup.
//
// Why it is fast: as conv_lanes.wgsl, with the quads in the place of its pixels and the pixels in that of its source
// channels. Four pixels at a time, 4 MQ + NV loads of vec4 feed 16 LANES MQ NV products of vectors.

struct WeightGradientAxis { grid: u32, src: u32, mul: i32, off: i32 }
struct WeightGradientParams {
    y: WeightGradientAxis, x: WeightGradientAxis,
    images: u32, k: u32, n: u32, src_stride: u32,
    taps: u32, taps_x: u32, quads_per_tap: u32, rows: u32,
    pixels_per_split: u32, first_split: u32,
}

@group(0) @binding(0) var<storage, read_write> src: array<vec4<stored>>;
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@if NV==1
alias P = f32;
//@else
alias P = vec{{NV}}<f32>;
//@end
//@else
alias T = f32;
alias S = stored;
alias P = f32;
//@end
@group(0) @binding(1) var<storage, read_write> grad: array<S>;
@group(0) @binding(2) var<storage, read_write> part: array<P>;
@group(0) @binding(3) var<uniform> p: WeightGradientParams;

// The largest 16-bit number stands for whatever is larger: some devices round to it. Here it becomes infinite, which the
// gradients' norm shows.
fn wide(v: S) -> T {
//@if HALF
    let w = T(v);
    return select(w, w * 3e38, abs(w) >= T(65504.0));
//@else
    return v;
//@end
}

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
    let N = p.n; let taps = p.taps; let stride = p.src_stride; let rows = p.rows;
    let src_h = p.y.src; let src_w = p.x.src;
    let grid_h = p.y.grid; let grid_w = p.x.grid;
    let inv_h = 1.0 / f32(grid_h); let inv_w = 1.0 / f32(grid_w);
    let pixels = p.images * grid_h * grid_w;
    let mul_y = p.y.mul; let mul_x = p.x.mul;
    let split_index = wg.z + p.first_split;
    let first = split_index * p.pixels_per_split;
    let end = min(first + p.pixels_per_split, pixels);
    // Lanes beyond the last channel, like quads beyond the last one, repeat it: see conv_lanes.wgsl.
    let own_row = lane >> {{SHIFT}}u;
//@if V
    let quad = min(wg.y * {{NV*LANES}}u + 4u * (lane & {{PER-1}}u), N - 4u);
//@else
    let quad = wg.y * {{NV*LANES}}u + 4u * (lane & {{PER-1}}u);
//@end
    let n0 = quad + {{NV}}u * own_row;
    let quads_per_tap = p.quads_per_tap; let taps_x = p.taps_x;
//@for q 0 MQ
    let unit{{q}} = min(wg.x * {{LANES*MQ}}u + {{LANES*q}}u + lane, taps * quads_per_tap - 1u);
    let tap{{q}} = unit{{q}} / quads_per_tap;
    let c{{q}} = (unit{{q}} - tap{{q}} * quads_per_tap) * 4u;
    let dy{{q}} = i32(tap{{q}} / taps_x) + p.y.off;
    let dx{{q}} = i32(tap{{q}} % taps_x) + p.x.off;
    let to{{q}} = ((split_index * taps + tap{{q}}) * stride + c{{q}}) * N;
//@for i 0 LANES
//@for k 0 4
//@for v 0 NV
    var a{{q}}_{{i}}_{{k}}_{{v}} = 0.0;
//@end
//@end
//@end
//@end

    for (var at = first; at < end; at += 4u) {
        // Output gradients: g{j}_{v} holds pixel at + j, this lane's channel v; zero beyond the end.
//@if V
//@for l 0 NV
        let p{{l}} = at + {{ROWS*l}}u + own_row;
        let r{{l}} = select(vec4<f32>(), wide(grad[(min(p{{l}}, end - 1u) * N + quad) >> 2u]), p{{l}} < end);
//@end
//@if NV==4
//@for j 0 4
//@for v 0 4
        let g{{j}}_{{v}} = r{{j}}[{{v}}];
//@end
//@end
//@end
//@if NV==2
//@for l 0 2
        let e{{l}} = exchange_halves(r{{l}}, lane, {{PER}}u);
//@for v 0 2
        let g{{2*l}}_{{v}} = e{{l}}[{{v}}];
        let g{{2*l+1}}_{{v}} = e{{l}}[{{2+v}}];
//@end
//@end
//@end
//@if NV==1
        let e0 = exchange_odd(exchange_halves(r0, lane, {{2*PER}}u), lane, {{PER}}u);
//@for j 0 4
        let g{{j}}_0 = e0[{{j}}];
//@end
//@end
//@else
//@for j 0 4
//@for v 0 NV
        let g{{j}}_{{v}} = select(0.0, wide(grad[min(at + {{j}}u, end - 1u) * N + min(n0 + {{v}}u, N - 1u)]), at + {{j}}u < end);
//@end
//@end
//@end
//@for j 0 4
        let col{{j}} = split(at + {{j}}u, grid_w, inv_w);
        let row{{j}} = split(col{{j}}.x, grid_h, inv_h);
//@end
//@for q 0 MQ
//@for j 0 4
        let y{{q}}_{{j}} = i32(row{{j}}.y) * mul_y + dy{{q}};
        let x{{q}}_{{j}} = i32(col{{j}}.y) * mul_x + dx{{q}};
        let ok{{q}}_{{j}} = at + {{j}}u < end && u32(y{{q}}_{{j}}) < src_h && u32(x{{q}}_{{j}}) < src_w;
        let from{{q}}_{{j}} = select(0u, ((row{{j}}.x * src_h + u32(y{{q}}_{{j}})) * src_w + u32(x{{q}}_{{j}})) * stride + c{{q}}, ok{{q}}_{{j}});
        let s{{q}}_{{j}} = select(vec4<f32>(), vec4<f32>(src[from{{q}}_{{j}} >> 2u]), ok{{q}}_{{j}});
//@end
//@for i 0 LANES
//@for k 0 4
//@for j 0 4
        let b{{q}}_{{i}}_{{k}}_{{j}} = subgroupShuffle(s{{q}}_{{j}}[{{k}}], {{i}}u);
//@end
//@for v 0 NV
        a{{q}}_{{i}}_{{k}}_{{v}} = fma(b{{q}}_{{i}}_{{k}}_3, g3_{{v}}, fma(b{{q}}_{{i}}_{{k}}_2, g2_{{v}}, fma(b{{q}}_{{i}}_{{k}}_1, g1_{{v}}, fma(b{{q}}_{{i}}_{{k}}_0, g0_{{v}}, a{{q}}_{{i}}_{{k}}_{{v}}))));
//@end
//@end
//@end
//@end
    }

    // The results leave in a loop over the quads of a group: see conv_lanes.wgsl.
    for (var i = 0u; i < rows; i++) {
        let b0 = (i & 1u) != 0u; let b1 = (i & 2u) != 0u; let b2 = (i & 4u) != 0u; let b3 = (i & 8u) != 0u;
//@for q 0 MQ
//@for k 0 4
//@for v 0 NV
//@if LANES==4
        let o{{q}}_{{k}}_{{v}} = pick4(b0, b1, a{{q}}_0_{{k}}_{{v}}, a{{q}}_1_{{k}}_{{v}}, a{{q}}_2_{{k}}_{{v}}, a{{q}}_3_{{k}}_{{v}});
//@else
        let o{{q}}_{{k}}_{{v}}_0 = pick8(b0, b1, b2, a{{q}}_0_{{k}}_{{v}}, a{{q}}_1_{{k}}_{{v}}, a{{q}}_2_{{k}}_{{v}}, a{{q}}_3_{{k}}_{{v}}, a{{q}}_4_{{k}}_{{v}}, a{{q}}_5_{{k}}_{{v}}, a{{q}}_6_{{k}}_{{v}}, a{{q}}_7_{{k}}_{{v}});
//@if LANES==16
        let o{{q}}_{{k}}_{{v}}_1 = pick8(b0, b1, b2, a{{q}}_8_{{k}}_{{v}}, a{{q}}_9_{{k}}_{{v}}, a{{q}}_10_{{k}}_{{v}}, a{{q}}_11_{{k}}_{{v}}, a{{q}}_12_{{k}}_{{v}}, a{{q}}_13_{{k}}_{{v}}, a{{q}}_14_{{k}}_{{v}}, a{{q}}_15_{{k}}_{{v}});
        let o{{q}}_{{k}}_{{v}} = pick2(b3, o{{q}}_{{k}}_{{v}}_0, o{{q}}_{{k}}_{{v}}_1);
//@else
        let o{{q}}_{{k}}_{{v}} = o{{q}}_{{k}}_{{v}}_0;
//@end
//@end
//@end
        {
            let at = subgroupShuffle(to{{q}}, i) + {{k}}u * N + n0;
//@if V
//@if NV==4
            part[at >> 2u] = vec4<f32>(o{{q}}_{{k}}_0, o{{q}}_{{k}}_1, o{{q}}_{{k}}_2, o{{q}}_{{k}}_3);
//@end
//@if NV==2
            part[at >> 1u] = vec2<f32>(o{{q}}_{{k}}_0, o{{q}}_{{k}}_1);
//@end
//@if NV==1
            part[at] = o{{q}}_{{k}}_0;
//@end
//@else
//@for v 0 NV
            if (n0 + {{v}}u < N) { part[at + {{v}}u] = o{{q}}_{{k}}_{{v}}; }
//@end
//@end
        }
//@end
//@end
    }
}
