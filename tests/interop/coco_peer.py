"""Evaluates the same two files with pycocotools, and compares figures, time and memory.

    deno run -A tests/bench/coco.ts DIR
    deno run -A tests/bench/coco_process.ts DIR/annotations.json DIR/boxes.json > ours.txt
    python3 tests/interop/coco_peer.py DIR/annotations.json DIR/boxes.json ours.txt

Needs pycocotools. A line of JSON on stdout has its figures, the seconds of the whole process and its
peak memory. ours.txt ends with the line of `deno task eval coco`; without it nothing is compared.
Exits with 1 if a figure differs by more than 1e-6.
"""

import time

START = time.perf_counter()

import contextlib
import json
import resource
import sys
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
NAMES += ["AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
BOUND = 1e-6


def figures(truth, found, kind):
    evaluation = COCOeval(truth, truth.loadRes(found), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return dict(zip(NAMES, evaluation.stats.tolist()))


def evaluate(truth_path, found_path):
    truth = COCO(truth_path)
    found = json.loads(Path(found_path).read_text())
    results = {}
    # Detections have either masks or boxes: with both, the box's area would stand for the mask's.
    if "segmentation" in found[0]:
        boxes = [result.pop("bbox") for result in found]
        results["segm"] = figures(truth, found, "segm")
        for result, box in zip(found, boxes):
            result["bbox"] = box
            del result["segmentation"]
    results["bbox"] = figures(truth, found, "bbox")
    return results


def main(truth_path, found_path, ours_path=None):
    with contextlib.redirect_stdout(sys.stderr):
        results = evaluate(truth_path, found_path)
    seconds = time.perf_counter() - START
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**results, "seconds": seconds, "peakBytes": peak}))
    if ours_path is None:
        return 0
    ours = json.loads(Path(ours_path).read_text().splitlines()[-1])
    differences = [
        abs(ours[kind][name] - value)
        for kind, values in results.items()
        for name, value in values.items()
    ]
    print(f"{len(differences)} figures, largest difference {max(differences):.1e}", file=sys.stderr)
    return 0 if max(differences) <= BOUND else 1


sys.exit(main(*sys.argv[1:]))
