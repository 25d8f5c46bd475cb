// Gradients of layer_norm on CPU adapters: dy [rows, C], x [rows, C], gain [C], moments [rows, 2] →
// dx [rows, C], partial [chunks, 2, C] (gain, bias). A subgroup of 8 invocations takes `chunk` rows one by
// one; one invocation has every eighth elem in registers, so that each is loaded once: C <= 256. C counts
// fours where the row allows it.

alias elem = f32;
override C: u32; override lanes: f32; // lanes: values in an elem
override rows: u32; override chunk: u32;

@group(0) @binding(0) var<storage, read> dy: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> gain: array<elem>;
@group(0) @binding(3) var<storage, read> moments: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> dx: array<elem>;
@group(0) @binding(5) var<storage, read_write> partial: array<elem>;

var<private> own_gain: array<elem, 32>;
var<private> gain_sum: array<elem, 32>;
var<private> bias_sum: array<elem, 32>;
var<private> normalised: array<elem, 32>;
var<private> g: array<elem, 32>; // dy · gain
var<private> lane: u32;
var<private> start: u32;
var<private> moment: vec2f; // mean, scale
var<private> plain: elem; // Σ g
var<private> along: elem; // Σ g · normalised
var<private> mean_g: f32;
var<private> mean_gx: f32;

const turn = 0u; const load = 1u; const store = 2u;

// A step with elem 8 j + lane of a row.
fn at(j: u32, step: u32) {
  let i = 8u * j + lane;
  if (8u * j >= C) { return; }
  if (step == turn) {
    own_gain[j] = own_gain[min(j + 1u, 31u)];
    gain_sum[j] = gain_sum[min(j + 1u, 31u)];
    bias_sum[j] = bias_sum[min(j + 1u, 31u)];
    return;
  }
  if (i >= C) { return; }
  if (step == load) {
    let own = dy[start + i];
    normalised[j] = (x[start + i] - moment.x) * moment.y;
    gain_sum[j] += own * normalised[j];
    bias_sum[j] += own;
    g[j] = own * own_gain[j];
    plain += g[j];
    along += g[j] * normalised[j];
  } else {
    dx[start + i] = moment.y * (g[j] - mean_g - normalised[j] * mean_gx);
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
  let part = group.y * groups.x + group.x;
  let first = part * chunk;
  if (first >= rows) { return; }
  lane = local;
  let width = f32(C) * lanes;
  let count = (C + 7u) / 8u; // registers in use
  // Loops, because each load and store in the text takes long to compile: registers move down.
  for (var i = lane; i < 8u * count; i += 8u) {
    all(turn);
    if (i < C) { own_gain[count - 1u] = gain[i]; }
  }
  for (var row = first; row < min(first + chunk, rows); row++) {
    start = row * C;
    moment = moments[row];
    plain = elem(0.0);
    along = elem(0.0);
    all(load);
    mean_g = across(plain) / width;
    mean_gx = across(along) / width;
    all(store);
  }
  for (var i = lane; i < 8u * count; i += 8u) {
    if (i < C) {
      partial[part * 2u * C + i] = gain_sum[0];
      partial[(part * 2u + 1u) * C + i] = bias_sum[0];
    }
    all(turn);
  }
}
