// Average-pool: the mean of what each window has of the image.
//
// Layouts: x [batch, h, w, C], y [batch, oh, ow, C], channels in fours where V.
// Bindings: 0 x, 1 y, then the uniform.
// Grid: one invocation an output value (or four channels), folded over x and y.

struct PoolParams {
    total: u32, columns: u32, h: u32, w: u32,
    oh: u32, ow: u32, kh: u32, kw: u32,
    stride_y: u32, stride_x: u32, pad_y: u32, pad_x: u32,
    // The dispatch begins with invocation `first`.
    first: u32,
}
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> x: array<S>;
@group(0) @binding(1) var<storage, read_write> y: array<S>;
@group(0) @binding(2) var<uniform> p: PoolParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u + p.first;
    if (i >= p.total) { return; }
    let column = i % p.columns;
    let ox = i / p.columns % p.ow;
    let oy = i / p.columns / p.ow % p.oh;
    let image = i / p.columns / p.ow / p.oh;
    var sum = T();
    var count = 0.0;
    for (var ky = 0u; ky < p.kh; ky++) {
        for (var kx = 0u; kx < p.kw; kx++) {
            let sy = oy * p.stride_y + ky - p.pad_y;
            let sx = ox * p.stride_x + kx - p.pad_x;
            if (sy < p.h && sx < p.w) {
                sum += T(x[((image * p.h + sy) * p.w + sx) * p.columns + column]);
                count += 1.0;
            }
        }
    }
    // A window that is all outside has a mean of zero.
    y[i] = S(sum / max(count, 1.0));
}
