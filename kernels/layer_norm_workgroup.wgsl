// Normalises rows on GPUs: x [rows, C], gain [C], bias [C] → y [rows, C], moments [rows, 2] (mean,
// 1 / √(var + eps)). A team of neighbouring invocations shares a row, a workgroup has one or more teams; one
// invocation has every `team`-th elem in registers: C <= 4 · team. C counts fours where the row allows it.

alias elem = f32;
override C: u32; override lanes: f32; // lanes: values in an elem
override rows: u32;
override team: u32; override size: u32; // invocations of a team and of a workgroup, powers of two
override eps: f32;

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> gain: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<elem>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec2f>;

var<workgroup> sums: array<f32, size>;

// The sum over the elems of all invocations of a team.
fn across(local: u32, v: elem) -> f32 {
  workgroupBarrier(); // the sum before was read
  sums[local] = dot(vec4f(v), vec4f(lanes / 4.0));
  for (var half = team / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local % team < half) { sums[local] += sums[local + half]; }
  }
  workgroupBarrier();
  return sums[local / team * team];
}

fn load(row: u32, i: u32) -> elem {
  if (row < rows && i < C) { return x[row * C + i]; }
  return elem(0.0);
}
fn deviation(i: u32, value: elem, mean: f32) -> elem { return select(elem(0.0), value - mean, i < C); }
fn store(row: u32, i: u32, normalised: elem) {
  if (row < rows && i < C) { y[row * C + i] = normalised * gain[i] + bias[i]; }
}

@compute @workgroup_size(size)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (group.y * groups.x + group.x) * (size / team) + local / team;
  let i = local % team;
  let j = i + team;
  let k = j + team;
  let l = k + team;
  var a = load(row, i); var b = load(row, j); var c = load(row, k); var d = load(row, l);
  let width = f32(C) * lanes;
  let mean = across(local, (a + b) + (c + d)) / width;
  // A second pass: the one-pass formula cancels where the variance is small.
  a = deviation(i, a, mean); b = deviation(j, b, mean); c = deviation(k, c, mean); d = deviation(l, d, mean);
  let scale = 1.0 / sqrt(across(local, (a * a + b * b) + (c * c + d * d)) / width + eps);
  store(row, i, a * scale); store(row, j, b * scale); store(row, k, c * scale); store(row, l, d * scale);
  if (i == 0u && row < rows) { moments[row] = vec2f(mean, scale); }
}
