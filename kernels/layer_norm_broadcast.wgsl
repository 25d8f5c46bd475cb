// Normalises rows on CPU adapters: x [rows, C], gain [C], bias [C] → y [rows, C], moments [rows, 2] (mean,
// 1 / √(var + eps)). A subgroup of 8 invocations takes `chunk` rows one by one; one invocation has every
// eighth elem in registers, so that each is loaded once: C <= 256. C counts fours where the row allows it.

alias elem = f32;
override C: u32; override lanes: f32; // lanes: values in an elem
override rows: u32; override chunk: u32;
override eps: f32;

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> gain: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<elem>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec2f>;

var<private> own_gain: array<elem, 32>;
var<private> own_bias: array<elem, 32>;
var<private> own: array<elem, 32>; // of the row
var<private> lane: u32;
var<private> start: u32;
var<private> mean: f32;
var<private> scale: f32;
var<private> total: elem;
var<private> squares: elem;

const turn = 0u; const load = 1u; const deviate = 2u; const store = 3u;

// A step with elem 8 j + lane of a row.
fn at(j: u32, step: u32) {
  let i = 8u * j + lane;
  if (8u * j >= C) { return; }
  if (step == turn) {
    own_gain[j] = own_gain[min(j + 1u, 31u)];
    own_bias[j] = own_bias[min(j + 1u, 31u)];
    return;
  }
  if (i >= C) { return; }
  if (step == load) {
    own[j] = x[start + i];
    total += own[j];
  } else if (step == deviate) {
    let d = own[j] - mean;
    squares += d * d;
  } else {
    y[start + i] = (own[j] - mean) * scale * own_gain[j] + own_bias[j];
  }
}
// No loops: arrays are registers only if each index is a constant.
fn four(j: u32, step: u32) { at(j, step); at(j + 1u, step); at(j + 2u, step); at(j + 3u, step); }
fn all(step: u32) {
  four(0u, step); four(4u, step); four(8u, step); four(12u, step);
  four(16u, step); four(20u, step); four(24u, step); four(28u, step);
}

// The sum over the elems of all 8 invocations.
fn across(v: elem) -> f32 {
  let low = subgroupBroadcast(v, 0u) + subgroupBroadcast(v, 1u) + subgroupBroadcast(v, 2u) + subgroupBroadcast(v, 3u);
  let high = subgroupBroadcast(v, 4u) + subgroupBroadcast(v, 5u) + subgroupBroadcast(v, 6u) + subgroupBroadcast(v, 7u);
  return dot(vec4f(low + high), vec4f(lanes / 4.0));
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  lane = local;
  let width = f32(C) * lanes;
  let count = (C + 7u) / 8u; // registers in use
  // A loop, because each load in the text takes long to compile: what was loaded moves down.
  for (var i = lane; i < 8u * count; i += 8u) {
    all(turn);
    if (i < C) {
      own_gain[count - 1u] = gain[i];
      own_bias[count - 1u] = bias[i];
    }
  }
  let first = (group.y * groups.x + group.x) * chunk;
  for (var row = first; row < min(first + chunk, rows); row++) {
    start = row * C;
    total = elem(0.0);
    all(load);
    mean = across(total) / width;
    // A second pass: the one-pass formula cancels where the variance is small.
    squares = elem(0.0);
    all(deviate);
    scale = 1.0 / sqrt(across(squares) / width + eps);
    all(store);
    if (local == 0u) { moments[row] = vec2f(mean, scale); }
  }
}
