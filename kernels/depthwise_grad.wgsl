// Partial weight gradient of depthwise: dy [N, H, W, C], x [N, H, W, C] → partial [chunks, k · k, C].
// One invocation adds `chunk` rows of the images for one tap and channel.

override H: u32; override W: u32; override C: u32;
override k: u32; // odd
override rows: u32; override chunk: u32; // rows = N · H
override size: u32; // chunks · k · k · C

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let channel = i % C;
  let tap = i / C % (k * k);
  let first = i / C / (k * k) * chunk;
  let reach = k / 2u;
  var total = 0.0;
  for (var r = first; r < min(first + chunk, rows); r++) {
    let from_row = r % H + tap / k - reach; // wraps below zero, and so fails the test
    if (from_row >= H) { continue; }
    let from_start = (r / H * H + from_row) * W;
    for (var col = 0u; col < W; col++) {
      let from_col = col + tap % k - reach;
      if (from_col >= W) { continue; }
      total += dy[(r * W + col) * C + channel] * x[(from_start + from_col) * C + channel];
    }
  }
  partial[i] = total;
}
