/**
 * Reads a file of annotations, and says what is wrong with it.
 *
 * @module
 */
import { DataError } from "../dataset.ts";
import { A_BOX, Ids, isBox, isRecord, wrongField } from "./fields.ts";
import type { CocoAnnotation, CocoCategory, CocoImage, CocoInstances } from "./instances.ts";
import { readRecords } from "./records.ts";
import { MOST_PIXELS } from "./run_string.ts";
import { checkSegmentation } from "./segmentation.ts";

/** Annotations of a file, and where ids lead. */
export interface Annotated extends CocoInstances {
  /** Index into `images` by id. */
  readonly imageIds: Pick<Ids, "get">;
  /** Index into `categories` by id. */
  readonly categoryIds: Pick<Ids, "get">;
}

/**
 * Reads a file of annotations.
 *
 * As COCO has them, boxes may be empty and may lie outside the image, as may points of polygons;
 * `iscrowd` may be missing, which means 0, as may a mask; an image's name, where it is missing, is
 * empty. All else that COCO's API reads or relies on is checked: there are images, categories and
 * annotations, ids are integers and unique in their list, and known where they are referred to, sizes
 * are integers, areas and boxes finite, and runs cover the annotation's image exactly.
 *
 * @throws {DataError} If the file cannot be read, or at the first thing that is wrong.
 */
export function readAnnotations(path: string): Annotated {
  const images: CocoImage[] = [];
  const categories: CocoCategory[] = [];
  const annotations: CocoAnnotation[] = [];
  const imageIds = new Ids(path, "images");
  const categoryIds = new Ids(path, "categories");
  const annotationIds = new Ids(path, "annotations");
  const found = readRecords(path, {
    images(record, index) {
      images.push(imageOf(record, path, `images[${index}]`));
      imageIds.add(images[index].id, index);
    },
    categories(record, index) {
      categories.push(categoryOf(record, path, `categories[${index}]`));
      categoryIds.add(categories[index].id, index);
    },
    annotations(record, index) {
      annotations.push(annotationOf(record, path, `annotations[${index}]`));
      annotationIds.add(annotations[index].id, index);
    },
  });
  for (const [name, { length }] of Object.entries({ images, categories, annotations })) {
    if (!found.has(name)) throw new DataError(`Cannot use ${path}: it has no list ${name}`);
    if (length === 0) throw new DataError(`Cannot use ${path}: its list ${name} is empty`);
  }
  // The lists may be in any order, so what refers to another comes last.
  for (const [i, { image_id, category_id, segmentation }] of annotations.entries()) {
    const field = (name: string) => `annotations[${i}].${name}`;
    const image = images[imageIds.get(image_id) ?? -1];
    if (!image) throw wrongField(path, field("image_id"), "an id of its images", image_id);
    if (categoryIds.get(category_id) === undefined) {
      throw wrongField(path, field("category_id"), "an id of its categories", category_id);
    }
    if (segmentation === undefined) continue;
    try {
      checkSegmentation(segmentation, [image.height, image.width]);
    } catch (cause) {
      const { message } = cause as RangeError;
      throw new DataError(`Cannot use ${path}: ${field("segmentation")} ${message}`, { cause });
    }
  }
  return { images, categories, annotations, imageIds, categoryIds };
}

function imageOf(record: unknown, path: string, at: string): CocoImage {
  const { id, width, height, file_name = "" } = fieldsOf(record, path, at);
  for (const [name, value] of Object.entries({ width, height })) {
    const isSide = Number.isSafeInteger(value) && (value as number) > 0;
    if (!isSide) throw wrongField(path, `${at}.${name}`, "a positive integer", value);
  }
  if ((width as number) * (height as number) > MOST_PIXELS) {
    throw new DataError(`Cannot use ${path}: ${at} has more than ${MOST_PIXELS} pixels`);
  }
  if (typeof file_name !== "string") {
    throw wrongField(path, `${at}.file_name`, "a string", file_name);
  }
  return { id: id as number, file_name, width: width as number, height: height as number };
}

function categoryOf(record: unknown, path: string, at: string): CocoCategory {
  const { id, name } = fieldsOf(record, path, at);
  if (typeof name !== "string") throw wrongField(path, `${at}.name`, "a string", name);
  return { id: id as number, name };
}

function annotationOf(record: unknown, path: string, at: string): CocoAnnotation {
  const { id, image_id, category_id, bbox, area, iscrowd = 0, segmentation } = fieldsOf(
    record,
    path,
    at,
  );
  if (!isBox(bbox)) throw wrongField(path, `${at}.bbox`, A_BOX, bbox);
  const isArea = Number.isFinite(area) && (area as number) >= 0;
  if (!isArea) throw wrongField(path, `${at}.area`, "a finite number from 0 up", area);
  if (iscrowd !== 0 && iscrowd !== 1) throw wrongField(path, `${at}.iscrowd`, "0 or 1", iscrowd);
  return {
    ...{ id: id as number, image_id: image_id as number, category_id: category_id as number },
    ...{ bbox, area: area as number, iscrowd },
    segmentation: segmentation as CocoAnnotation["segmentation"],
  };
}

function fieldsOf(record: unknown, path: string, at: string): Readonly<Record<string, unknown>> {
  if (isRecord(record)) return record;
  throw wrongField(path, at, "an object", record);
}
