// Softmax cross-entropy with soft targets, label smoothing and class weights: losses, gradient, hits, in one pass.
//
// The target of a sample is q = (1 - s) (lambda at the first label + (1 - lambda) at the second) + s / K, and
//     loss = -sum q log softmax(logits),   grad = scale (softmax(logits) - q) / batch,
// the gradient of the batch's mean loss, times the loss scale status[2] where p.scaled. A hit is a first label that no
// logit exceeds and no earlier one equals.
//
// Where p.weighted, the loss that is learned from is PyTorch's, a sum over classes of weighted terms, divided by the
// sum of the weights of the batch's targets:
//     total = sum over samples (lambda w[first] + (1 - lambda) w[second]),
//     part = -batch / total sum q w log softmax(logits),
//     grad = scale (softmax(logits) sum(q w) - q w) / total,
// so that the mean of the parts is PyTorch's mean. Without weights a part is the loss.
//
// Layouts: logits, grad [batch, K], first, second, lambda [batch], outcome [3, batch] of (loss, part, hit), weights [K].
// Bindings: 0 logits, 1 first, 2 second, 3 lambda, 4 grad, 5 outcome, 6 status (anything where p.scaled is 0), 7 weights
// (anything where p.weighted is 0), then the uniform, in which inv_batch is 1 / batch.
// Grid: one invocation a sample. Each workgroup sums all weights for itself, in the same order, rather than wait for a
// launch that does.

struct CrossEntropyParams { batch: u32, classes: u32, smoothing: f32, inv_batch: f32, scaled: u32, weighted: u32 }
@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> first: array<i32>;
@group(0) @binding(2) var<storage, read_write> second: array<i32>;
@group(0) @binding(3) var<storage, read_write> lambda: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad: array<f32>;
@group(0) @binding(5) var<storage, read_write> outcome: array<f32>;
@group(0) @binding(6) var<storage, read_write> status: array<f32>;
@group(0) @binding(7) var<storage, read_write> weights: array<f32>;
@group(0) @binding(8) var<uniform> p: CrossEntropyParams;

var<workgroup> totals: array<f32, {{WG}}>;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let K = p.classes; let batch = p.batch; let smoothing = p.smoothing;
    var scale = p.inv_batch;
    if (p.weighted != 0u) {
        var own = 0.0;
        for (var n = t; n < batch; n += {{WG}}u) {
            own += lambda[n] * weights[first[n]] + (1.0 - lambda[n]) * weights[second[n]];
        }
        totals[t] = own;
        workgroupBarrier();
        var total = 0.0;
        for (var i = 0u; i < {{WG}}u; i++) { total += totals[i]; }
        scale = 1.0 / total;
    }
    let mean = scale;
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
        let wa = (1.0 - smoothing) * lambda[n];
        let wb = (1.0 - smoothing) * (1.0 - lambda[n]);
        let even = smoothing / f32(K);
        // Where a weight is zero its label is not looked at.
        let la = select(0.0, wa * (log_sum - logits[row + a]), wa != 0.0);
        let lb = select(0.0, wb * (log_sum - logits[row + b]), wb != 0.0);
        let loss = la + lb + even * (f32(K) * log_sum - sum);
        var part = loss;
        if (p.weighted == 0u) {
            for (var k = 0u; k < K; k++) {
                let q = even + select(0.0, wa, k == a) + select(0.0, wb, k == b);
                grad[row + k] = (exp(logits[row + k] - log_sum) - q) * scale;
            }
        } else {
            part = 0.0;
            var weight = 0.0;
            for (var k = 0u; k < K; k++) {
                let qw = (even + select(0.0, wa, k == a) + select(0.0, wb, k == b)) * weights[k];
                weight += qw;
                part += select(0.0, qw * (log_sum - logits[row + k]), qw != 0.0);
            }
            part *= mean * f32(batch);
            for (var k = 0u; k < K; k++) {
                let qw = (even + select(0.0, wa, k == a) + select(0.0, wb, k == b)) * weights[k];
                grad[row + k] = (exp(logits[row + k] - log_sum) * weight - qw) * scale;
            }
        }
        outcome[n] = loss;
        outcome[batch + n] = part;
        outcome[2u * batch + n] = select(0.0, 1.0, best == a);
    }
}
