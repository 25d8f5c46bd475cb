// Partial weight gradient of depthwise: dy [N, S, H, W, C], x [N, S, H, W, C] → partial [chunks, kt · k · k, C].
// One invocation adds `chunk` rows of the maps for one tap and elem. C counts fours where the channels allow it.

alias elem = f32;
override S: u32; override H: u32; override W: u32; override C: u32;
override kt: u32; override k: u32; // odd
override rows: u32; override chunk: u32; // rows = N · S · H
override size: u32; // chunks · kt · k · k · C

@group(0) @binding(0) var<storage, read> dy: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> partial: array<elem>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let channel = i % C;
  let tap = i / C % (kt * k * k);
  let first = i / C / (kt * k * k) * chunk;
  var total = elem(0.0);
  for (var r = first; r < min(first + chunk, rows); r++) {
    let from_slot = r / H % S + tap / k / k - kt / 2u; // wraps below zero, and so fails the test
    let from_row = r % H + tap / k % k - k / 2u;
    if (from_slot >= S || from_row >= H) { continue; }
    let from_start = ((r / H / S * S + from_slot) * H + from_row) * W;
    for (var col = 0u; col < W; col++) {
      let from_col = col + tap % k - k / 2u;
      if (from_col >= W) { continue; }
      total += dy[(r * W + col) * C + channel] * x[(from_start + from_col) * C + channel];
    }
  }
  partial[i] = total;
}
