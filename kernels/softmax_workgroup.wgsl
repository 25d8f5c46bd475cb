// Softmax over long rows: x [rows, stride] → y [rows, stride], of which C values count; the rest of y is zeros.
// A workgroup of 64 takes a row; one invocation every 64th value.

override C: u32; override stride: u32; override rows: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

const lowest = -3e38;

var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= rows) { return; }
  let start = row * stride;
  var top = lowest;
  for (var i = local; i < C; i += 64u) { top = max(top, x[start + i]); }
  parts[local] = top;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (local < half) { parts[local] = max(parts[local], parts[local + half]); }
    workgroupBarrier();
  }
  top = parts[0];
  workgroupBarrier();

  var total = 0.0;
  for (var i = local; i < C; i += 64u) { total += exp(x[start + i] - top); }
  parts[local] = total;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (local < half) { parts[local] += parts[local + half]; }
    workgroupBarrier();
  }
  let share = 1.0 / parts[0];
  for (var i = local; i < C; i += 64u) { y[start + i] = share * exp(x[start + i] - top); }
  for (var i = C + local; i < stride; i += 64u) { y[start + i] = 0.0; }
}
