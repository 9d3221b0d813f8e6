"""The measures of detectors, from arrays of boxes: average precision by the rules of Pascal VOC and of COCO.

Objects and detections are given for each image as dicts of arrays, as data and detectors give them. Boxes are x1, y1,
x2 and y2. Entries of class -1 are padding.
"""

import io
import math
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..checks import check_choice, check_number, check_share, check_texts, check_type, got

COCO_FIGURES = (
    *("ap", "ap_50", "ap_75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
)
POINTS = ("all", "11")
Image = Mapping[str, Any]  # of arrays


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision by VOC's rule.

    `mean` is the mean over the classes that have objects; NaN if none has. `classes` has a row for each class: its name
    as "class"; its average precision "ap", NaN if it has no objects; the number of its "objects" without difficult
    ones; the number of detections "found", without those of difficult objects; and the "recall" of all detections.
    """

    mean: float
    classes: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class CocoMeasures:
    """COCO's twelve figures, from 0 to 1. A figure that nothing was counted for is NaN.

    `figures` has the twelve by name: "ap", the mean over the IoU thresholds 0.50, 0.55 ... 0.95; "ap_50" and "ap_75" at
    one threshold; "ap_small", "ap_medium" and "ap_large" for areas below 32², between, and above 96² pixels; the
    average recall with at most 1, 10 and 100 detections an image, "ar_1", "ar_10" and "ar_100"; and "ar_small",
    "ar_medium" and "ar_large". `classes` has a row for each class: "class", "ap" and "ap_50".
    """

    figures: dict[str, float]
    classes: tuple[dict[str, Any], ...]

    @property
    def mean(self) -> float:
        """The figure "ap"."""
        return self.figures["ap"]


def voc_average_precision(
    truth: Sequence[Image],
    found: Sequence[Image],
    names: Sequence[str],
    *,
    points: str = "all",
    threshold: float = 0.5,
    extra: float = 0.0,
) -> AveragePrecision:
    """Average precision as Pascal VOC's development kit defines it.

    Detections of all images are taken in the order of their scores. Of the objects of its class in its image, a
    detection is compared only with the one that it overlaps most. It is a hit if their IoU is above the threshold and
    no earlier detection has hit that object, and otherwise false. If that object is difficult, the detection does not
    count at all. Detections of equal score are taken in the order in which they are given.

    Args:
        truth: For each image the "boxes" (k, 4) and "classes" (k,) of its objects; "difficult" (k,) may be there.
        found: For each image the "boxes" (m, 4), "classes" (m,) and "scores" (m,) of its detections.
        names: The names of the classes.
        points: `"all"` for the area under the curve, as in VOC since 2010; `"11"` for the mean of the precision at 11
            recalls, as in VOC 2007. The recalls are `np.arange(0, 1.1, 0.1)`, so the fourth is a little above 0.3, as
            in the kit.
        threshold: An IoU from 0 to 1, which a hit must exceed.
        extra: Pixels that are added to widths and heights. 0 is right for this package's boxes, whose x2 is the right
            edge. 1 is right for boxes as in VOC's files, whose x2 is the index of the last pixel.

    Returns:
        The mean, and a row for each class.

    Raises:
        ValueError: If the arrays do not fit together, or an argument is not valid.

    Reference:
        Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 2010, section 4.2.

    Examples:
        >>> truth = [{"boxes": [[0, 0, 10, 10]], "classes": [0]}, {"boxes": [[0, 0, 10, 10]], "classes": [0]}]
        >>> found = [
        ...     {"boxes": [[0, 0, 10, 9], [50, 50, 60, 60]], "classes": [0, 0], "scores": [0.9, 0.8]},
        ...     {"boxes": [[1, 0, 10, 10]], "classes": [0], "scores": [0.7]},
        ... ]
        >>> round(voc_average_precision(truth, found, ["dog"]).mean, 4)
        0.8333
        >>> round(voc_average_precision(truth, found, ["dog"], points="11").mean, 4)
        0.8485
    """
    check_choice("points", points, POINTS)
    threshold, extra = check_share("threshold", threshold), check_number("extra", extra, least=0)
    objects, guesses = _checked(truth, found, names)
    rows: list[dict[str, Any]] = []
    for label, name in enumerate(names):
        hits, counts = _hits(objects, guesses, label, threshold, extra)
        recall = np.cumsum(hits) / max(counts, 1)
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        ap = (_area if points == "all" else _eleven)(recall, precision) if counts else math.nan
        rows.append(
            {
                "class": name,
                "ap": ap,
                "objects": counts,
                "found": len(hits),
                "recall": float(recall.max(initial=0)) if counts else math.nan,
            }
        )
    return AveragePrecision(_mean([row["ap"] for row in rows]), tuple(rows))


def coco_average_precision(truth: Sequence[Image], found: Sequence[Image], names: Sequence[str]) -> CocoMeasures:
    """COCO's twelve figures, computed by pycocotools.

    Difficult objects are handled as crowds: detections that lie in them count neither way, and may be any number. Of
    each image, at most 100 detections of a class count.

    Args:
        truth: For each image the "boxes" (k, 4) and "classes" (k,) of its objects. "difficult" (k,) and "areas" (k,)
            may be there. COCO's own areas, which tell small objects from large ones, are those of masks; without
            "areas" they are those of the boxes.
        found: For each image the "boxes" (m, 4), "classes" (m,) and "scores" (m,) of its detections.
        names: The names of the classes.

    Returns:
        The figures, and a row for each class.

    Raises:
        ValueError: If the arrays do not fit together.

    Reference:
        Lin et al., Microsoft COCO: Common Objects in Context, arXiv:1405.0312; https://cocodataset.org/#detection-eval.

    Examples:
        >>> truth = [{"boxes": [[0, 0, 10, 10]], "classes": [0]}]
        >>> found = [{"boxes": [[0, 0, 10, 8]], "classes": [0], "scores": [0.9]}]
        >>> figures = coco_average_precision(truth, found, ["dog"]).figures
        >>> round(figures["ap"], 4), round(figures["ap_75"], 4)  # an IoU of 0.8 is enough for 7 of the 10 thresholds
        (0.7, 1.0)
    """
    from pycocotools.cocoeval import COCOeval

    objects, guesses = _checked(truth, found, names)
    with redirect_stdout(io.StringIO()):  # it tells every step
        measure = COCOeval(_coco(objects, names), _coco(guesses, names), "bbox")
        measure.params.imgIds = list(range(len(objects)))
        measure.params.catIds = list(range(len(names)))
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    figures = {name: _number(value) for name, value in zip(COCO_FIGURES, measure.stats, strict=True)}
    precision = measure.eval["precision"][..., 0, -1]  # (thresholds, recalls, classes), all areas, 100 detections
    rows = [
        {"class": name, "ap": _number(_there(precision[:, :, label])), "ap_50": _number(_there(precision[0, :, label]))}
        for label, name in enumerate(names)
    ]
    return CocoMeasures(figures, tuple(rows))


class _Boxes(NamedTuple):
    boxes: np.ndarray  # float64 (k, 4)
    classes: np.ndarray  # (k,)
    scores: np.ndarray  # (k,)
    difficult: np.ndarray  # bool (k,)
    areas: np.ndarray  # (k,)


def _checked(truth: Sequence[Image], found: Sequence[Image], names: Sequence[str]) -> tuple[list[_Boxes], list[_Boxes]]:
    for label, images in (("truth", truth), ("found", found)):
        check_type(label, images, (tuple, list), "a list with a dict for each image")
    check_texts("names", names)
    if len(truth) != len(found):
        raise ValueError(f"truth and found must be of equally many images, got {len(truth)} and {len(found)}.")
    if not len(names):
        raise ValueError("names must have at least one class.")
    return [_image("truth", i, one, len(names)) for i, one in enumerate(truth)], [
        _image("found", i, one, len(names)) for i, one in enumerate(found)
    ]


def _image(label: str, index: int, image: Image, count: int) -> _Boxes:
    """The arrays of an image without padding."""
    needed = ("boxes", "classes") if label == "truth" else ("boxes", "classes", "scores")
    if not isinstance(image, Mapping) or any(name not in image for name in needed):
        raise ValueError(f"{label} must have a dict of {', '.join(needed)} for each image, got {got(image)}.")
    boxes = np.asarray(image["boxes"], np.float64).reshape(-1, 4)
    classes = np.asarray(image["classes"]).reshape(-1).astype(np.int64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    parts = {"scores": np.zeros(len(classes)), "difficult": np.zeros(len(classes), bool), "areas": areas}
    for name in parts:
        if name in image:
            parts[name] = np.asarray(image[name]).reshape(-1).astype(parts[name].dtype)
    if any(len(part) != len(boxes) for part in (classes, *parts.values())):
        raise ValueError(f"Image {index} of {label} has {len(boxes)} boxes, but not as many of each other array.")
    real = classes >= 0
    if (classes >= count).any():
        raise ValueError(f"Image {index} of {label} has the class {classes.max()}, but there are {count} names.")
    if not np.isfinite(boxes[real]).all() or not np.isfinite(parts["scores"][real]).all():
        raise ValueError(f"Image {index} of {label} has a box or a score that is not a finite number.")
    return _Boxes(boxes[real], classes[real], *(part[real] for part in parts.values()))


# ---------------------------------------------------------------------------------------------------------------- VOC


def _hits(
    objects: Sequence[_Boxes], guesses: Sequence[_Boxes], label: int, threshold: float, extra: float
) -> tuple[np.ndarray, int]:
    """Whether each detection that counts is a hit, the best first; and the number of objects that count."""
    scores, hits, counts, total = [], [], [], 0
    for there, guessed in zip(objects, guesses, strict=True):
        mine, boxes = there.classes == label, guessed.boxes[guessed.classes == label]
        difficult, of_image = there.difficult[mine], guessed.scores[guessed.classes == label]
        total += int((~difficult).sum())
        if not len(boxes):
            continue
        order = np.argsort(-of_image, kind="stable")
        overlaps = iou(boxes[order], there.boxes[mine], extra)
        best, enough = np.zeros(len(order), int), np.zeros(len(order), bool)
        if len(difficult):
            best = overlaps.argmax(axis=1)
            enough = overlaps.max(axis=1) > threshold
        first = np.zeros(len(order), bool)
        first[np.unique(np.where(enough, best, -1), return_index=True)[1]] = True
        scores.append(of_image[order])
        hits.append(enough & first)
        counts.append(~(enough & difficult[best]) if len(difficult) else np.ones(len(order), bool))
    if not scores:
        return np.zeros(0, bool), total
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return np.concatenate(hits)[order][np.concatenate(counts)[order]], total


def iou(boxes: np.ndarray, others: np.ndarray, extra: float = 0.0) -> np.ndarray:
    """Intersection over union, float64 (n, m), as `detection.boxes.iou`, which computes in float32."""
    sides = np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - np.maximum(boxes[:, None, :2], others[None, :, :2])
    inside = np.maximum(sides + extra, 0).prod(axis=-1)
    areas = [(some[:, 2:] - some[:, :2] + extra).prod(axis=-1) for some in (boxes, others)]
    union = areas[0][:, None] + areas[1][None, :] - inside
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)


def _eleven(recall: np.ndarray, precision: np.ndarray) -> float:
    return float(sum(precision[recall >= point].max(initial=0) for point in np.arange(0, 1.1, 0.1)) / 11)


def _area(recall: np.ndarray, precision: np.ndarray) -> float:
    """The area under the curve, in which precision never rises with recall."""
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * falling).sum())


# --------------------------------------------------------------------------------------------------------------- COCO


def _coco(images: Sequence[_Boxes], names: Sequence[str]) -> Any:
    """Objects or detections as pycocotools holds them."""
    from pycocotools.coco import COCO

    dataset = COCO()
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images):
        corners, sides = image.boxes[:, :2], image.boxes[:, 2:] - image.boxes[:, :2]
        for corner, side, label, score, difficult, area in zip(corners, sides, *image[1:], strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # 0 would count as no match
                    "image_id": number,
                    "category_id": int(label),
                    "bbox": [*corner.tolist(), *side.tolist()],
                    "area": float(area),
                    "score": float(score),
                    "iscrowd": int(difficult),
                }
            )
    dataset.dataset = {
        "images": [{"id": number} for number in range(len(images))],
        "categories": [{"id": label, "name": name} for label, name in enumerate(names)],
        "annotations": annotations,
    }
    dataset.createIndex()
    return dataset


def _there(values: np.ndarray) -> float:
    """The mean of the values that pycocotools has counted; it marks others by -1."""
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else -1.0


def _number(value: float) -> float:
    return math.nan if value == -1 else float(value)


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan
