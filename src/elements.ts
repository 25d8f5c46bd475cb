/**
 * Element types of tensors in files, by PyTorch's names.
 *
 * @module
 */

/** Typed array that holds the elements of each type; float16 and bfloat16 stay raw bits. */
export const ELEMENTS = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint64: BigUint64Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

/** Element type. */
export type ElementType = keyof typeof ELEMENTS;

/** Values of a tensor. */
export type Elements = InstanceType<typeof ELEMENTS[ElementType]>;

/** Rounds to float32, which holds float16 and bfloat16 exactly; float32 is not copied. */
export function toFloat32(type: ElementType, values: Elements): Float32Array<ArrayBuffer> {
  const { buffer, byteOffset, length } = values as Uint16Array<ArrayBuffer>;
  if (type === "float32") return values as Float32Array<ArrayBuffer>;
  if (type === "float16") return new Float32Array(new Float16Array(buffer, byteOffset, length));
  if (type === "bfloat16") {
    const bits = Uint32Array.from(values as Uint16Array, (half) => half << 16);
    return new Float32Array(bits.buffer);
  }
  const result = new Float32Array(length);
  for (let i = 0; i < length; i++) result[i] = Number(values[i]);
  return result;
}
