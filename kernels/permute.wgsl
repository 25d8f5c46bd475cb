// Reorders up to six axes: x [any] → y [d0, d1, d2, d3, d4, d5]; s0 … s5 are x's strides in the order of y's axes.
// One invocation per element of y.

override d1: u32; override d2: u32; override d3: u32; override d4: u32; override d5: u32;
override s0: u32; override s1: u32; override s2: u32; override s3: u32; override s4: u32; override s5: u32;
override size: u32; // d0 · … · d5

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  var rest = i;
  var at = rest % d5 * s5; rest /= d5;
  at += rest % d4 * s4; rest /= d4;
  at += rest % d3 * s3; rest /= d3;
  at += rest % d2 * s2; rest /= d2;
  at += rest % d1 * s1; rest /= d1;
  y[i] = x[at + rest * s0];
}
