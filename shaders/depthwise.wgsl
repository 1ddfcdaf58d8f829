// Depthwise convolution (and its input gradient): each channel by a kernel of its own.
//
// Computes, for every pixel of a grid and every channel c,
//     dst[pixel, c] = sum over taps t of src[pixel moved by t, c] * weight[t, c] (+ add[pixel, c])
// The grid is the whole output of a convolution, or, for the input gradient of a strided one, every s-th input pixel:
// those that meet the same taps. Which source row a grid row and a tap meet is linear: row * step + tap + off, and so
// is where the tap's weight is: forward (p.turn = 1) in the order of the taps, back (-1) the other way round, by
// dst_mul.
//
// Layouts: src [batch, src_h, src_w, C], weight [kernel_h, kernel_w, C], dst and add [batch, dst_h, dst_w, C], channels
// in fours where V.
// Bindings: 0 src, 1 weight, 2 dst, 3 add where ADD, then the uniform.
// Constants: TY, TX taps down and right; STEP pixels of the source from a grid pixel to the next one in its row; KEEP
// of the TX columns under a pixel are under the next one too; V; ADD.
// Grid: one invocation a run of neighbours in a row and a column (a channel or four), columns fastest; the dispatch
// begins with invocation `first`.
//
// Why it is fast: it is bound by loads. Weights are loaded once a run, and what lies under the kernel slides through
// registers, so that each pixel of a run loads TY values for each step of the stride.

struct DepthwiseAxis {
    grid: u32, src: u32, dst: u32, step: u32, off: i32, dst_mul: u32, dst_off: u32, w_first: i32,
}
struct DepthwiseParams {
    y: DepthwiseAxis, x: DepthwiseAxis,
    columns: u32, total: u32, first: u32, run: u32, runs: u32, kernel: i32, turn: i32,
}
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> src: array<S>;
@group(0) @binding(1) var<storage, read_write> weight: array<T>;
@group(0) @binding(2) var<storage, read_write> dst: array<S>;
//@if ADD
@group(0) @binding(3) var<storage, read_write> add: array<S>;
@group(0) @binding(4) var<uniform> p: DepthwiseParams;
//@else
@group(0) @binding(3) var<uniform> p: DepthwiseParams;
//@end

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u + p.first;
    if (i >= p.total) { return; }
    let columns = p.columns; let src_w = p.x.src;
    let step_y = p.turn * i32(p.y.dst_mul); let step_x = p.turn * i32(p.x.dst_mul);
    let column = i % columns;
    let run = i / columns % p.runs;
    let row = i / columns / p.runs % p.y.grid;
    let image = i / columns / p.runs / p.y.grid;
//@for y 0 TY
    let sy{{y}} = i32(row * p.y.step) + {{y}} + p.y.off;
    let ok{{y}} = u32(sy{{y}}) < p.y.src;
    let base{{y}} = select(0u, (image * p.y.src + u32(sy{{y}})) * src_w, ok{{y}});
//@for x 0 TX
    let t{{y}}_{{x}} = (p.y.w_first + {{y}} * step_y) * p.kernel + p.x.w_first + {{x}} * step_x;
    let w{{y}}_{{x}} = weight[u32(t{{y}}_{{x}}) * columns + column];
    var v{{y}}_{{x}} = T();
//@end
//@end
    let start = run * p.run;
    let end = min(start + p.run, p.x.grid);
    let to = ((image * p.y.dst + row * p.y.dst_mul + p.y.dst_off) * p.x.dst + p.x.dst_off) * columns + column;
//@for x 0 KEEP
    let sx{{x}} = i32(start * {{STEP}}u) + {{x}} + p.x.off;
    let in{{x}} = u32(sx{{x}}) < src_w;
//@for y 0 TY
    let at{{y}}_{{x}} = select(0u, (base{{y}} + u32(sx{{x}})) * columns + column, ok{{y}} && in{{x}});
    v{{y}}_{{x}} = select(T(), T(src[at{{y}}_{{x}}]), ok{{y}} && in{{x}});
//@end
//@end
    for (var at = start; at < end; at++) {
        var sum = T();
//@for x KEEP TX
        let sx{{x}} = i32(at * {{STEP}}u) + {{x}} + p.x.off;
        let in{{x}} = u32(sx{{x}}) < src_w;
//@for y 0 TY
        let at{{y}}_{{x}} = select(0u, (base{{y}} + u32(sx{{x}})) * columns + column, ok{{y}} && in{{x}});
        v{{y}}_{{x}} = select(T(), T(src[at{{y}}_{{x}}]), ok{{y}} && in{{x}});
//@end
//@end
//@for y 0 TY
//@for x 0 TX
        sum = fma(v{{y}}_{{x}}, w{{y}}_{{x}}, sum);
//@end
//@for x 0 KEEP
        v{{y}}_{{x}} = v{{y}}_{{x+TX-KEEP}};
//@end
//@end
        let o = to + at * p.x.dst_mul * columns;
//@if ADD
        sum += T(add[o]);
//@end
        dst[o] = S(sum);
    }
}
