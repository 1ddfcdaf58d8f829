// Copies some channels of every pixel: from one activation into another, at another place among its channels.
//
// Computes dst[pixel, dst_first + c] = src[pixel, src_first + c] for c < count.
//
// Layouts: src [pixels, src_channels], dst [pixels, dst_channels]; all counts and places are of fours of channels where
// V.
// Bindings: 0 src, 1 dst, then the uniform.
// Grid: one invocation a value (or four), folded over x and y; the dispatch begins with invocation `first`.
//
// Why it is fast: neighbours read and write neighbours.

struct ChannelsParams {
    total: u32, first: u32, count: u32, src_channels: u32, dst_channels: u32, src_first: u32, dst_first: u32,
}
//@if V
alias S = vec4<stored>;
//@else
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> src: array<S>;
@group(0) @binding(1) var<storage, read_write> dst: array<S>;
@group(0) @binding(2) var<uniform> p: ChannelsParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u + p.first;
    if (i < p.total) {
        let pixel = i / p.count;
        let channel = i - pixel * p.count;
        dst[pixel * p.dst_channels + p.dst_first + channel] = src[pixel * p.src_channels + p.src_first + channel];
    }
}
