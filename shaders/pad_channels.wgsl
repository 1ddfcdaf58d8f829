// Fills the channels of an image up to a multiple of four with zeros, so that they can be read as vec4.
//
// Layouts: src [pixels, C], dst [pixels, C rounded up to a multiple of four].
// Bindings: 0 src, 1 dst, then the uniform.
// Grid: one invocation a vec4 of dst, folded over x and y.

struct PadChannelsParams { total: u32, channels: u32, quads: u32 }
@group(0) @binding(0) var<storage, read_write> src: array<stored>;
@group(0) @binding(1) var<storage, read_write> dst: array<vec4<stored>>;
@group(0) @binding(2) var<uniform> p: PadChannelsParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = p.total; let channels = p.channels; let quads = p.quads;
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i < total) {
        let pixel = i / quads;
        let c = (i - pixel * quads) * 4u;
        let at = pixel * channels + c;
        var v = vec4<stored>(src[at], 0.0, 0.0, 0.0);
        if (c + 1u < channels) { v.y = src[at + 1u]; }
        if (c + 2u < channels) { v.z = src[at + 2u]; }
        if (c + 3u < channels) { v.w = src[at + 3u]; }
        dst[i] = v;
    }
}
