// Global average pool.
//
// Computes features[image, c] = mean over pixels of x[image, pixel, c].
// Layouts: x [batch, pixels, C], features [batch, C], channels in fours where V.
// Bindings: 0 x, 1 features, then the uniform.
// Grid: one invocation an image and column, folded over x and y; the dispatch begins with invocation `first`.

struct HeadGrid { total: u32, columns: u32, pixels: u32, first: u32 }
struct HeadPoolParams { grid: HeadGrid }
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> x: array<S>;
@group(0) @binding(1) var<storage, read_write> features: array<S>;
@group(0) @binding(2) var<uniform> p: HeadPoolParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = p.grid.total; let columns = p.grid.columns; let pixels = p.grid.pixels;
    let i = id.x + id.y * groups.x * {{WG}}u + p.grid.first;
    if (i < total) {
        let image = i / columns;
        let start = image * pixels * columns + i - image * columns;
        var sum = T();
        for (var k = 0u; k < pixels; k++) { sum += T(x[start + k * columns]); }
        features[i] = S(sum / f32(pixels));
    }
}
