// Gradient of softmax over long rows: dy [rows, stride], y [rows, stride] → dx [rows, stride] =
// y · (dy − Σ dy · y), of which C values count; the rest of dx is zeros. A workgroup of 64 takes a row; one invocation
// every 64th value.

override C: u32; override stride: u32; override rows: u32;

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

var<workgroup> parts: array<f32, 64>;

// Sum over the workgroup, which all come to.
fn across(local: u32, part: f32) -> f32 {
  workgroupBarrier();
  parts[local] = part;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (local < half) { parts[local] += parts[local + half]; }
    workgroupBarrier();
  }
  return parts[0];
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= rows) { return; }
  let start = row * stride;
  var part = 0.0;
  for (var i = local; i < C; i += 64u) { part += dy[start + i] * y[start + i]; }
  var total = across(local, part);
  // The sum once more, about itself: what it lost by rounding would be the gradient of the keys' bias,
  // which is zero, and Adam would follow it.
  var rest = 0.0;
  for (var i = local; i < C; i += 64u) { rest += y[start + i] * (dy[start + i] - total); }
  total += across(local, rest);
  for (var i = local; i < C; i += 64u) { dx[start + i] = y[start + i] * (dy[start + i] - total); }
  for (var i = C + local; i < stride; i += 64u) { dx[start + i] = 0.0; }
}
