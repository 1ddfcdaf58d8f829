// Weight gradient of a depthwise convolution, over chunks of output rows.
//
// Computes part[chunk, t, c] = sum over the pixels of the chunk's rows of x[pixel moved by t, c] * grad[pixel, c]. The
// chunks are added up by reduce.wgsl.
//
// Layouts: x [batch, h, w, C], grad [batch, oh, ow, C], part [chunks, kernel_h, kernel_w, C], channels in fours where
// V.
// Bindings: 0 x, 1 grad, 2 part, then the uniform.
// Constants: TY rows of taps an invocation, of TX each; STEP, KEEP, V as in depthwise.wgsl.
// Grid: one invocation a chunk, TY rows of taps and a column (a channel or four), columns fastest; the dispatch begins
// with invocation `first`.
//
// Why it is fast: all sums of an invocation stay in registers, and what lies under the kernel slides through them as in
// depthwise.wgsl.

struct DepthwiseWeightGradientParams {
    columns: u32, total: u32, first: u32, parts: u32,
    rows: u32, chunk_rows: u32, h: u32, w: u32, oh: u32, ow: u32,
    stride_y: u32, pad_y: i32, pad_x: i32,
}
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> x: array<S>;
@group(0) @binding(1) var<storage, read_write> grad: array<S>;
@group(0) @binding(2) var<storage, read_write> part: array<T>;
@group(0) @binding(3) var<uniform> p: DepthwiseWeightGradientParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u + p.first;
    if (i >= p.total) { return; }
    let columns = p.columns; let w = p.w; let ow = p.ow;
    let column = i % columns;
    let taps = i / columns % p.parts;
    let chunk = i / columns / p.parts;
//@for y 0 TY
//@for x 0 TX
    var a{{y}}_{{x}} = T();
    var v{{y}}_{{x}} = T();
//@end
//@end
    let end = min((chunk + 1u) * p.chunk_rows, p.rows);
    for (var row = chunk * p.chunk_rows; row < end; row++) {
        let image = row / p.oh;
        let top = i32((row - image * p.oh) * p.stride_y + taps * {{TY}}u) - p.pad_y;
//@for y 0 TY
        let ok{{y}} = u32(top + {{y}}) < p.h;
        let base{{y}} = select(0u, (image * p.h + u32(top + {{y}})) * w, ok{{y}});
//@end
//@for x 0 KEEP
        let in{{x}} = u32({{x}} - p.pad_x) < w;
//@for y 0 TY
        let at{{y}}_{{x}} = select(0u, (base{{y}} + u32({{x}} - p.pad_x)) * columns + column, ok{{y}} && in{{x}});
        v{{y}}_{{x}} = select(T(), T(x[at{{y}}_{{x}}]), ok{{y}} && in{{x}});
//@end
//@end
        for (var at = 0u; at < ow; at++) {
            var g = T(grad[(row * ow + at) * columns + column]);
//@if HALF
            // The largest number stands for whatever is larger: some devices round to it. Here that becomes infinite,
            // which the gradients' norm shows.
            g = select(g, g * 3e38, abs(g) >= T(65504.0));
//@end
//@for x KEEP TX
            let sx{{x}} = i32(at * {{STEP}}u) + {{x}} - p.pad_x;
            let in{{x}} = u32(sx{{x}}) < w;
//@for y 0 TY
            let at{{y}}_{{x}} = select(0u, (base{{y}} + u32(sx{{x}})) * columns + column, ok{{y}} && in{{x}});
            v{{y}}_{{x}} = select(T(), T(x[at{{y}}_{{x}}]), ok{{y}} && in{{x}});
//@end
//@end
//@for y 0 TY
//@for x 0 TX
            a{{y}}_{{x}} = fma(v{{y}}_{{x}}, g, a{{y}}_{{x}});
//@end
//@for x 0 KEEP
            v{{y}}_{{x}} = v{{y}}_{{x+TX-KEEP}};
//@end
//@end
        }
    }
    let to = (chunk * p.parts + taps) * {{TY*TX}}u * columns + column;
//@for y 0 TY
//@for x 0 TX
    part[to + {{y*TX+x}}u * columns] = a{{y}}_{{x}};
//@end
//@end
}
