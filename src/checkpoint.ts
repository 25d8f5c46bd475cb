/**
 * Trees of parameters as safetensors: every leaf under its path, which is its PyTorch name.
 *
 * @module
 */
import type { Safetensor, Safetensors } from "./safetensors.ts";
import { sameShape, type Tensor, tensor } from "./tensor.ts";
import { entries, map, type Tree } from "./tree.ts";

/** Raised where a file holds another model than the one asked for. */
export class CheckpointError extends Error {
  override name = "CheckpointError";
}

/**
 * The leaves of a tree as named tensors.
 *
 * @param tree Host tensors.
 * @param prefix Goes before every name.
 * @throws {TypeError} If a leaf is not in host memory.
 */
export function toSafetensors(
  tree: Tree<Tensor>,
  prefix = "",
): [name: string, tensor: Safetensor][] {
  return entries<Tensor>(tree).map(([path, { shape, source }]) => {
    if (source.kind !== "host") throw new TypeError(`Cannot store ${path}: it is not on the host`);
    return [prefix + path, {
      dtype: "F32",
      shape: [...shape],
      data: source.data as Float32Array<ArrayBuffer>,
    }];
  });
}

/**
 * A tree like `like`, with the values of a file.
 *
 * @param prefix Stands before every name in the file.
 * @returns Host tensors.
 * @throws {CheckpointError} If a tensor is missing, or has another shape or type.
 */
export function fromSafetensors<T extends Tree<Tensor>>(
  file: Safetensors,
  like: T,
  prefix = "",
): T {
  return map<Tensor, Tensor>(like, ({ shape }, path) => {
    const found = file.tensors.get(prefix + path);
    if (!found) throw new CheckpointError(`it is of another model: it has no ${prefix}${path}`);
    if (found.dtype !== "F32" || !sameShape(found.shape, shape)) {
      throw new CheckpointError(
        `it is of another model: ${prefix}${path} is ${found.dtype} [${found.shape}], not F32 [${shape}]`,
      );
    }
    return tensor(found.data, shape);
  });
}
