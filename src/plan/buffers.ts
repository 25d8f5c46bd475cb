/**
 * From a draft to buffers: of a device, or of numbers that only tell sizes.
 *
 * @module
 */
import { createBuffer, type Device } from "../device.ts";
import { type Aval, bytesOf, type Tensor } from "../tensor.ts";
import type { Draft } from "./draft.ts";
import { takeFrom } from "./memory.ts";
import { valuesOfArguments } from "./place.ts";
import type { Value } from "./trace.ts";

/** Makes buffers of kind B. */
export interface Allocator<B> {
  /** The buffer of an argument. */
  argument(path: string, leaf: Tensor): B;
  /** The buffer of a constant, with its values. */
  constant(value: Value): B;
  /** A buffer that belongs to the plan alone. */
  own(aval: Aval, label: string): B;
  /** Buffers that other plans use too. */
  slots(bytes: readonly number[]): readonly B[];
}

/** The buffers of a plan. */
export interface Buffers<B> {
  /** Of each argument. */
  readonly bound: B[];
  /** Of each value; undefined for what lives inside of a fused kernel only. */
  readonly values: (B | undefined)[];
  /** Copies of arguments that are asked for as results. */
  readonly kept: ReadonlyMap<number, B>;
  /** Of each result. */
  readonly results: readonly B[];
}

/** Gives every value of a draft its buffer. */
export function buffersOf<B>(
  { given, graph, outcomes, placement }: Draft<unknown>,
  allocator: Allocator<B>,
): Buffers<B> {
  const bound = given.map(([path, leaf]) => allocator.argument(path, leaf));
  const kept = new Map(
    [...placement.kept].map((value) => [value, allocator.own(graph.values[value], "result")]),
  );
  const slots = allocator.slots(placement.slots);
  const values = graph.values.map((value, i): B | undefined => {
    const home = placement.homes[i];
    if (value.source?.kind === "argument") return bound[value.source.index];
    if (home?.kind === "source") return allocator.constant(value);
    if (home?.kind === "argument") return bound[home.index];
    if (home?.kind === "own") return allocator.own(value, "result");
    return home && slots[home.slot];
  });
  const valueOfArgument = valuesOfArguments(graph);
  const copies = new Map(placement.copies.map(({ result, to }) => [result, to]));
  const results = outcomes.map(({ value, argument }, i) => {
    const to = copies.get(i);
    if (to !== undefined) return bound[to];
    const stays = argument >= 0 && valueOfArgument.get(argument) === value;
    return !stays && kept.get(value) || values[value]!;
  });
  return { bound, values, kept, results };
}

/** Every buffer, once. */
export function allOf<B>({ bound, values, kept }: Buffers<B>): Set<B> {
  return new Set([...bound, ...values, ...kept.values()].filter((buffer) => buffer !== undefined));
}

/**
 * Buffers of a device.
 *
 * @param own Takes those that belong to the plan alone.
 */
export function deviceBuffers(device: Device, own: GPUBuffer[]): Allocator<GPUBuffer> {
  const allocate = (aval: Aval, label: string) => {
    const buffer = createBuffer(device, bytesOf(aval), label);
    own.push(buffer);
    return buffer;
  };
  return {
    argument: (path, leaf) =>
      leaf.source.kind === "device" ? leaf.source.buffer : allocate(leaf, path),
    constant(value) {
      if (value.source?.kind === "device") return value.source.buffer;
      const buffer = allocate(value, "constant");
      const { data } = value.source as { data: Float32Array<ArrayBuffer> };
      device.gpu.queue.writeBuffer(buffer, 0, data);
      return buffer;
    },
    own: allocate,
    slots(bytes) {
      const pool = device.scratch.map(({ size }) => size);
      const taken = takeFrom(pool, bytes);
      for (const size of pool.slice(device.scratch.length)) {
        device.scratch.push(createBuffer(device, size, "slot"));
      }
      return taken.map((place) => device.scratch[place]);
    },
  };
}
