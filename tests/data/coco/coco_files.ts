/** A small file of annotations and one of results, as objects to change. */

/** Two images, three categories, four annotations with every kind of mask. */
export function annotations() {
  const square = [2, 1, 6, 1, 6, 5, 2, 5];
  return {
    images: [
      { id: 7, file_name: "seven.jpg", width: 10, height: 8 },
      { id: 3, file_name: "three.jpg", width: 6, height: 4 },
    ] as Record<string, unknown>[],
    categories: [
      { id: 5, name: "fox" },
      { id: 1, name: "owl" },
      { id: 9, name: "yak" },
    ] as Record<string, unknown>[],
    annotations: [
      { id: 11, image_id: 7, category_id: 5, bbox: [2, 1, 4, 4], area: 16, segmentation: [square] },
      {
        ...{ id: 12, image_id: 7, category_id: 1, bbox: [0, 0, 10, 8], area: 80, iscrowd: 1 },
        segmentation: { size: [8, 10], counts: [0, 80] },
      },
      {
        ...{ id: 13, image_id: 3, category_id: 1, bbox: [1, 0, 1, 4], area: 4, iscrowd: 0 },
        segmentation: { size: [4, 6], counts: "44`0" },
      },
      {
        ...{ id: 14, image_id: 3, category_id: 5, bbox: [0, 0, 6, 4], area: 24, iscrowd: 0 },
        segmentation: { size: [4, 6], counts: [0, 24] },
      },
    ] as Record<string, unknown>[],
  };
}

/** Results of the same, all of them right. */
export function results(): Record<string, unknown>[] {
  return annotations().annotations.filter(({ iscrowd }) => !iscrowd).map(
    ({ image_id, category_id, bbox, segmentation }, i) => (
      { image_id, category_id, bbox, segmentation, score: 0.9 - i / 10 }
    ),
  );
}

/** A value as a file. */
export async function writeJson(path: string, value: unknown): Promise<string> {
  await Deno.writeTextFile(path, typeof value === "string" ? value : JSON.stringify(value));
  return path;
}
