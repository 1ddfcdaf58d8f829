// Softmax cross-entropy with soft targets and label smoothing: losses, gradient, hits, in one pass.
//
// The target of a sample is q = (1 - s) (share at the first label + (1 - share) at the second) + s / K, and
//     loss = -sum q log softmax(logits),   grad = scale (softmax(logits) - q) / batch,
// the gradient of the batch's mean loss, times the loss scale status[2] where p.scaled. A hit is a first label that no
// logit exceeds and no earlier one equals.
//
// Layouts: logits, grad [batch, K], first, second, share, loss, hit [batch].
// Bindings: 0 logits, 1 first, 2 second, 3 share, 4 grad, 5 loss, 6 hit, 7 status (anything where p.scaled is 0), then the
// uniform, in which share is 1 / batch.
// Grid: one invocation a sample.

struct Params { batch: u32, k: u32, smoothing: f32, share: f32, scaled: u32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> first: array<i32>;
@group(0) @binding(2) var<storage, read_write> second: array<i32>;
@group(0) @binding(3) var<storage, read_write> share: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad: array<f32>;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;
@group(0) @binding(6) var<storage, read_write> hit: array<f32>;
@group(0) @binding(7) var<storage, read_write> status: array<f32>;
@group(0) @binding(8) var<uniform> p: Params;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let K = p.k; let batch = p.batch; let smoothing = p.smoothing;
    var scale = p.share;
    if (p.scaled != 0u) { scale *= status[2]; }
    let n = id.x;
    if (n < batch) {
        let row = n * K;
        var top = logits[row];
        var best = 0u;
        var sum = logits[row];
        for (var k = 1u; k < K; k++) {
            let v = logits[row + k];
            sum += v;
            best = select(best, k, v > top);
            top = max(top, v);
        }
        var exps = 0.0;
        for (var k = 0u; k < K; k++) { exps += exp(logits[row + k] - top); }
        let log_sum = top + log(exps);
        let a = u32(first[n]);
        let b = u32(second[n]);
        let wa = (1.0 - smoothing) * share[n];
        let wb = (1.0 - smoothing) * (1.0 - share[n]);
        let even = smoothing / f32(K);
        for (var k = 0u; k < K; k++) {
            let q = even + select(0.0, wa, k == a) + select(0.0, wb, k == b);
            grad[row + k] = (exp(logits[row + k] - log_sum) - q) * scale;
        }
        // Where a weight is zero its label is not looked at.
        let la = select(0.0, wa * (log_sum - logits[row + a]), wa != 0.0);
        let lb = select(0.0, wb * (log_sum - logits[row + b]), wb != 0.0);
        loss[n] = la + lb + even * (f32(K) * log_sum - sum);
        hit[n] = select(0.0, 1.0, best == a);
    }
}
