// Weight gradient of a convolution on adapters whose subgroups have LANES lanes each, without workgroup memory.
//
// Computes, for a range of output pixels,
//     part[split, t, c, n] = sum over pixels of src[pixel moved by t, c] * grad[pixel, n]
// and `reduce.wgsl` adds the splits in order, so that the result is the same on every run.
//
// Layouts: src [batch, src_h, src_w, stride] with stride >= K a multiple of four and zeros behind the K channels, grad
// [batch, grid_h, grid_w, N], part [splits, taps, stride, N].
// Bindings: 0 src, 1 grad, 2 part, then the uniform.
// Constants: LANES, LOW, SHIFT as in conv_lanes.wgsl; MQ quads of source channels a workgroup (a quad is four channels under
// one tap); NV (2 or 4) vectors of LANES output channels; V: N is a multiple of four; PAIRS: V with NV = 2; STEP from one of
// a lane's channels to the next: 1 with NV = 4, 2 with NV = 2.
// Grid: x tiles of MQ quads, y tiles of LANES NV channels, z splits. Workgroup: one subgroup.
//
// Why it is fast: as in conv_lanes.wgsl, each value is loaded by one lane and travels by shuffles. LANES pixels at a time,
// MQ and LANES NV / 4 loads of vec4 feed 4 LANES MQ NV products of vectors.

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
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(1) var<storage, read_write> grad: array<S>;
@group(0) @binding(2) var<storage, read_write> part: array<T>;
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

@compute @workgroup_size({{LANES}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let N = p.n; let taps = p.taps; let stride = p.src_stride; let rows = p.rows;
    let src_h = p.y.src; let src_w = p.x.src;
    let grid_h = p.y.grid; let grid_w = p.x.grid;
    let inv_h = 1.0 / f32(grid_h); let inv_w = 1.0 / f32(grid_w);
    let pixels = p.images * grid_h * grid_w;
    let mul_y = p.y.mul; let mul_x = p.x.mul;
    let split_index = wg.z + p.first_split;
    let first = split_index * p.pixels_per_split;
    let end = min(first + p.pixels_per_split, pixels);
    let low = lane < {{LOW}}u;
    let other = lane ^ {{LOW}}u;
    // Lanes beyond the last channel, like quads beyond the last one, repeat it: see conv_lanes.wgsl.
//@if NV==4
//@if V
    let n0 = min(wg.y * {{4*LANES}}u + 4u * lane, N - 4u);
//@else
    let n0 = wg.y * {{4*LANES}}u + 4u * lane;
//@end
//@else
//@if V
    let quad = min(wg.y * {{2*LANES}}u + 4u * (lane & {{LOW-1}}u), N - 4u);
//@else
    let quad = wg.y * {{2*LANES}}u + 4u * (lane & {{LOW-1}}u);
//@end
    let n0 = quad + (lane >> {{SHIFT}}u);
//@end
    let quads_per_tap = p.quads_per_tap; let taps_x = p.taps_x;
//@for q 0 MQ
    let unit{{q}} = min(wg.x * {{MQ}}u + {{q}}u, taps * quads_per_tap - 1u);
    let tap{{q}} = unit{{q}} / quads_per_tap;
    let c{{q}} = (unit{{q}} - tap{{q}} * quads_per_tap) * 4u;
    let dy{{q}} = i32(tap{{q}} / taps_x) + p.y.off;
    let dx{{q}} = i32(tap{{q}} % taps_x) + p.x.off;
//@for k 0 4
//@for v 0 NV
    var a{{q}}_{{k}}_{{v}} = 0.0;
//@end
//@end
//@end

    for (var at = first; at < end; at += {{LANES}}u) {
        let pixel = at + lane;
        let live = pixel < end;
        let col = split(pixel, grid_w, inv_w);
        let row = split(col.x, grid_h, inv_h);
        let sy = i32(row.y) * mul_y;
        let sx = i32(col.y) * mul_x;
        let base = row.x * src_h;
        // Output gradients: g{i}_{v} holds pixel at + i, this lane's channel of vector v; zero beyond the end.
//@if V
//@if NV==4
//@for i 0 LANES
        let r{{i}} = select(vec4<f32>(), wide(grad[(min(at + {{i}}u, end - 1u) * N + n0) >> 2u]), at + {{i}}u < end);
        let g{{i}}_0 = r{{i}}.x; let g{{i}}_1 = r{{i}}.y; let g{{i}}_2 = r{{i}}.z; let g{{i}}_3 = r{{i}}.w;
//@end
//@else
//@for j 0 LOW
        let i{{j}} = at + {{2*j}}u + (lane >> {{SHIFT}}u);
        let r{{j}} = select(vec4<f32>(), wide(grad[(min(i{{j}}, end - 1u) * N + quad) >> 2u]), i{{j}} < end);
        let g{{2*j}}_0 = select(subgroupShuffle(r{{j}}.y, other), r{{j}}.x, low);
        let g{{2*j}}_1 = select(subgroupShuffle(r{{j}}.w, other), r{{j}}.z, low);
        let g{{2*j+1}}_0 = select(r{{j}}.y, subgroupShuffle(r{{j}}.x, other), low);
        let g{{2*j+1}}_1 = select(r{{j}}.w, subgroupShuffle(r{{j}}.z, other), low);
//@end
//@end
//@else
//@for i 0 LANES
//@for v 0 NV
//@if NV==4
        let g{{i}}_{{v}} = select(0.0, wide(grad[min(at + {{i}}u, end - 1u) * N + min(n0 + {{v}}u, N - 1u)]), at + {{i}}u < end);
//@else
        let g{{i}}_{{v}} = select(0.0, wide(grad[min(at + {{i}}u, end - 1u) * N + min(n0 + {{2*v}}u, N - 1u)]), at + {{i}}u < end);
//@end
//@end
//@end
//@end
//@for q 0 MQ
        let y{{q}} = sy + dy{{q}};
        let x{{q}} = sx + dx{{q}};
        let ok{{q}} = live && u32(y{{q}}) < src_h && u32(x{{q}}) < src_w;
        let from{{q}} = select(0u, ((base + u32(y{{q}})) * src_w + u32(x{{q}})) * stride + c{{q}}, ok{{q}});
        let s{{q}} = select(vec4<f32>(), vec4<f32>(src[from{{q}} >> 2u]), ok{{q}});
//@for k 0 4
//@for i 0 LANES
        let b{{q}}_{{k}}_{{i}} = subgroupShuffle(s{{q}}[{{k}}], {{i}}u);
//@end
//@for v 0 NV
//@for i 0 LANES
        a{{q}}_{{k}}_{{v}} = fma(b{{q}}_{{k}}_{{i}}, g{{i}}_{{v}}, a{{q}}_{{k}}_{{v}});
//@end
//@end
//@end
//@end
    }

    // The results leave in a loop over the channels of a quad: see conv_lanes.wgsl.
//@if PAIRS
    for (var k = 0u; k < rows; k += 2u) {
        let b1 = (k & 2u) != 0u;
//@for q 0 MQ
//@for v 0 2
        let e{{q}}_{{v}} = select(a{{q}}_0_{{v}}, a{{q}}_2_{{v}}, b1);
        let d{{q}}_{{v}} = select(a{{q}}_1_{{v}}, a{{q}}_3_{{v}}, b1);
//@end
        // Two rows a store: the lower lanes write channel k of the quad, the upper ones channel k + 1.
        part[(((split_index * taps + tap{{q}}) * stride + c{{q}} + k + (lane >> {{SHIFT}}u)) * N + quad) >> 2u] = vec4<f32>(
            select(subgroupShuffle(d{{q}}_0, other), e{{q}}_0, low),
            select(d{{q}}_0, subgroupShuffle(e{{q}}_0, other), low),
            select(subgroupShuffle(d{{q}}_1, other), e{{q}}_1, low),
            select(d{{q}}_1, subgroupShuffle(e{{q}}_1, other), low));
//@end
    }
//@else
    for (var k = 0u; k < rows; k++) {
        let b0 = (k & 1u) != 0u; let b1 = (k & 2u) != 0u;
//@for q 0 MQ
//@for v 0 NV
        let o{{q}}_{{v}} = select(select(a{{q}}_0_{{v}}, a{{q}}_1_{{v}}, b0), select(a{{q}}_2_{{v}}, a{{q}}_3_{{v}}, b0), b1);
//@end
        {
            let to = ((split_index * taps + tap{{q}}) * stride + c{{q}} + k) * N + n0;
//@if V
            part[to >> 2u] = vec4<f32>(o{{q}}_0, o{{q}}_1, o{{q}}_2, o{{q}}_3);
//@else
//@for v 0 NV
            if (n0 + {{v*STEP}}u < N) { part[to + {{v*STEP}}u] = o{{q}}_{{v}}; }
//@end
//@end
        }
//@end
    }
//@end
}
