/**
 * What the launches of a plan cost: arithmetic, and bytes between memory and processor. Counted from
 * a draft, so without a device.
 *
 * @module
 */
import type { Op, Target } from "../op.ts";
import { bytesOf, sizeOf } from "../tensor.ts";
import type { Draft } from "./draft.ts";
import type { Group } from "./fuse.ts";

/** Work, whatever does it. */
export interface Cost {
  /** Floating-point operations; a product and a sum are two. */
  readonly flops: number;
  /** Bytes read and written, each operand once: what they are with a perfect cache. */
  readonly bytes: number;
}

/** Cost of an op's launches, or of steps fused into one launch. */
export interface GroupCost extends Cost {
  /** The last step's. */
  readonly stage: string;
  /** What is computed, forward or backward: `matmul`, `attention`, …; maps alone are `elementwise`. */
  readonly family: string;
}

/** The cost of each group of a draft, in order. Copies to donated arguments at the end do not count. */
export function costsOf(
  target: Target,
  { graph: { values }, groups }: Pick<Draft<unknown>, "graph" | "groups">,
): GroupCost[] {
  return groups.map((group) => {
    const { steps, kernel } = group;
    const bound = boundBy(target, group);
    return {
      stage: steps.at(-1)!.stage ?? "",
      family: familyOf(kernel?.op),
      flops: steps.reduce((sum, { op }) => sum + flopsOf(op), 0),
      bytes: bound.values().reduce((sum, value) => sum + bytesOf(values[value]), 0),
    };
  });
}

/** The cost of many together. */
export function totalOf(costs: readonly Cost[]): Cost {
  return costs.reduce<Cost>(
    (sum, { flops, bytes }) => ({ flops: sum.flops + flops, bytes: sum.bytes + bytes }),
    { flops: 0, bytes: 0 },
  );
}

/** Floating-point operations of an op. */
export function flopsOf({ flops, lowering, outputs: [{ shape }] }: Op): number {
  return flops ?? (lowering.kind === "map" ? sizeOf(shape) : 0);
}

function familyOf(op?: Op): string {
  if (!op) return "elementwise";
  const name = op.name.replace(/^masked_/, "").replace(/_grad.*$/, "");
  return name === "linear" ? "matmul" : name;
}

/** The values that a group's launches bind: not scratch space, nor what stays in a fused kernel. */
function boundBy(target: Target, { kernel, maps, operands, outputs }: Group): Set<number> {
  const bound = new Set(operands.map(({ value }) => value));
  if (kernel?.op.lowering.kind === "kernel") {
    const own = [...kernel.inputs.map(({ value }) => value), ...kernel.outputs];
    for (const dispatch of kernel.op.lowering.dispatches(target)) {
      for (const operand of dispatch.operands) bound.add(own[operand]);
    }
    for (const value of kernel.outputs) if (!outputs.includes(value)) bound.delete(value);
  }
  if (maps.length > 0) { for (const value of outputs) bound.add(value); }
  return bound;
}
