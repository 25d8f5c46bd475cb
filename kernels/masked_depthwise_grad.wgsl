// Partial weight gradient of masked_depthwise: dy [N, V, s, s, C], x [N, V, s, s, C], keep [N, V],
// restore [N, S · GH · GW] → partial [chunks, kt · k · k, C].
// One invocation adds `chunk` blocks for one tap and elem. C counts fours where the channels allow it.

alias elem = f32;
override V: u32; override s: u32; override C: u32;
override S: u32; override GH: u32; override GW: u32;
override kt: u32; override k: u32; // odd
override blocks: u32; override chunk: u32; // blocks = N · V
override size: u32; // chunks · kt · k · k · C

@group(0) @binding(0) var<storage, read> dy: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> keep: array<u32>;
@group(0) @binding(3) var<storage, read> restore: array<u32>;
@group(0) @binding(4) var<storage, read_write> partial: array<elem>;

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
  for (var block = first; block < min(first + chunk, blocks); block++) {
    let sample = block / V;
    let place = keep[block];
    let from_slot = place / GW / GH + tap / k / k - kt / 2u; // wraps below zero, and so fails the test
    if (from_slot >= S) { continue; }
    for (var cell = 0u; cell < s * s; cell++) {
      let from_row = place / GW % GH * s + cell / s + tap / k % k - k / 2u;
      let from_col = place % GW * s + cell % s + tap % k - k / 2u;
      if (from_row >= GH * s || from_col >= GW * s) { continue; }
      let from_block = restore[((sample * S + from_slot) * GH + from_row / s) * GW + from_col / s];
      if (from_block >= V) { continue; }
      total += dy[(block * s * s + cell) * C + channel]
        * x[(((sample * V + from_block) * s + from_row % s) * s + from_col % s) * C + channel];
    }
  }
  partial[i] = total;
}
