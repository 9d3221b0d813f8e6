"""What R-CNN and SPPnet learn from the features of regions: a linear SVM and a box regression for each class.

arXiv:1311.2524, sections 2.3 and 3.5 and appendix C, with the settings of the released code: `rcnn_train.m` and
`rcnn_train_bbox_regressor.m`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from .boxes import batched_nms, clip, decode, encode, iou

NORM = 20.0  # features are scaled to this mean norm
NEGATIVE = 0.3  # a region below this IoU with every object of a class is a negative of it
_HARD, _EASY, _RETRAIN = -1.0001, -1.2, 2000  # scores of new and of dropped negatives; new ones before a new SVM
_C, _POSITIVE, _BIAS = 1e-3, 2, 10  # of the SVM: C, weight of a positive, size of the constant feature
_CLOSE, _LAMBDA = 0.6, 1000  # of the box regression: lowest IoU of a region, and weight of the ridge
_MOST = 100  # detections of a class before non-maximum suppression


@dataclass(frozen=True)
class Regions:
    """The regions of an image: its objects and its proposals.

    Args:
        boxes: float32 (k, 4).
        features: float32 (k, d), what the SVMs see.
        maps: float32 (k, m), the flattened map that the box regression sees, CaffeNet's pool5.
        truth: int (k,): the class of an object, -1 for a proposal.
        overlaps: float32 (k, classes): the largest IoU with an object of each class.
    """

    boxes: np.ndarray
    features: np.ndarray
    maps: np.ndarray
    truth: np.ndarray
    overlaps: np.ndarray


@dataclass(frozen=True)
class Linear:
    """Linear scores of features that are scaled: `scale * features @ weights + bias`."""

    weights: np.ndarray  # (d, outputs)
    bias: np.ndarray  # (outputs,)
    scale: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(k, d) -> (k, outputs)."""
        return self.scale * (features @ self.weights) + self.bias


def train_svms(images: Sequence[Regions], classes: int) -> Linear:
    """A linear SVM for each class, with hard negatives, in one pass over the images.

    Positives are the objects alone. Negatives are regions with an IoU below 0.3 with all objects of the class; the
    others are left out. From the second image on, only negatives with a score above -1.0001 are taken. After each 2,000
    new ones, and at the end, a class gets a new SVM, and negatives below -1.2 are dropped. A class without positives or
    without negatives has the score minus infinity.

    Args:
        images: The regions of each image; each is read once for positives and once for negatives.
        classes: Number of classes.

    Returns:
        The scores of all classes.
    """
    norms = np.concatenate([np.linalg.norm(image.features, axis=1) for image in images])
    scale = NORM / max(float(norms.mean()) if len(norms) else 1.0, 1e-12)
    width = images[0].features.shape[1]
    weights, bias = np.zeros((width, classes), np.float32), np.full(classes, -np.inf, np.float32)
    positives: list[list[np.ndarray]] = [[] for _ in range(classes)]
    for image in images:
        for label in range(classes):
            positives[label].append(scale * image.features[image.truth == label])
    caches = [_Cache(np.concatenate(found)) for found in positives]
    for number, image in enumerate(images):
        features = scale * image.features
        scores = features @ weights + bias
        for label, cache in enumerate(caches):
            negative = image.overlaps[:, label] < NEGATIVE
            if np.isfinite(bias[label]):
                negative &= scores[:, label] > _HARD
            cache.add(features[negative])
            is_due = number in (0, len(images) - 1) or cache.new > _RETRAIN
            if is_due and len(cache.positives) and len(cache.negatives):
                weights[:, label], bias[label] = cache.fit()
    return Linear(weights, bias, scale)


class _Cache:
    """The examples of a class."""

    def __init__(self, positives: np.ndarray):
        self.positives, self.negatives, self.new = positives, positives[:0], 0

    def add(self, negatives: np.ndarray) -> None:
        self.negatives, self.new = np.concatenate([self.negatives, negatives]), self.new + len(negatives)

    def fit(self) -> tuple[np.ndarray, float]:
        """The SVM of the examples. Easy negatives are dropped."""
        labels = np.repeat([1, -1], [len(self.positives), len(self.negatives)])
        svm = LinearSVC(
            C=_C, class_weight={1: _POSITIVE}, loss="hinge", intercept_scaling=_BIAS, random_state=0, max_iter=5000
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as liblinear's own limit of 1,000 rounds
            svm.fit(np.concatenate([self.positives, self.negatives]), labels)
        self.new = 0
        self.negatives = self.negatives[svm.decision_function(self.negatives) >= _EASY]
        return svm.coef_[0].astype(np.float32), float(svm.intercept_[0])


@dataclass(frozen=True)
class BoxRegression:
    """For each class a ridge regression from a map to the offsets of a better box.

    Classes without close regions have zeros: their boxes stay.
    """

    linear: Linear  # from maps to the whitened offsets of all classes, (m, 4 classes)
    means: np.ndarray  # (classes, 4)
    unwhiten: np.ndarray  # (classes, 4, 4)

    def __call__(self, boxes: np.ndarray, maps: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Better boxes for regions (k, 4) of these classes (k,)."""
        offsets = self.linear(maps).reshape(len(maps), -1, 4)[np.arange(len(maps)), classes]
        offsets = np.einsum("ki,kij->kj", offsets, self.unwhiten[classes]) + self.means[classes]
        return np.asarray(decode(offsets.astype(np.float32), boxes, max_log=None))


def train_box_regression(
    images: Sequence[Regions], truths: Sequence[tuple[np.ndarray, np.ndarray]], classes: int
) -> BoxRegression:
    """A ridge regression for each class, from regions with an IoU above 0.6 to the object that they overlap most.

    Targets are centred and whitened by (S + 0.001 I)^(-1/2), where S is their covariance; lambda is 1,000, and the
    constant feature is regularised as the others are.

    Args:
        images: The regions of each image.
        truths: The boxes (k, 4) and classes (k,) of the objects of each image.
        classes: Number of classes.

    Returns:
        The regressions of all classes.
    """
    norms = np.concatenate([np.linalg.norm(image.maps, axis=1) for image in images])
    scale = NORM / max(float(norms.mean()) if len(norms) else 1.0, 1e-12)
    width = images[0].maps.shape[1]
    inputs: list[list[np.ndarray]] = [[] for _ in range(classes)]
    targets: list[list[np.ndarray]] = [[] for _ in range(classes)]
    for image, (boxes, labels) in zip(images, truths, strict=True):
        if not len(boxes):
            continue
        overlaps = np.asarray(iou(image.boxes, boxes))
        nearest = overlaps.argmax(axis=1)
        close = overlaps.max(axis=1) > _CLOSE
        offsets = np.asarray(encode(boxes[nearest], image.boxes))
        for label in range(classes):
            chosen = close & (labels[nearest] == label)
            inputs[label].append(scale * image.maps[chosen])
            targets[label].append(offsets[chosen])
    weights, bias = np.zeros((width, classes, 4), np.float32), np.zeros((classes, 4), np.float32)
    means, unwhiten = np.zeros((classes, 4)), np.tile(np.eye(4), (classes, 1, 1))
    for label in range(classes):
        found = np.concatenate([np.zeros((0, width)), *inputs[label]])
        if len(found):
            aims = np.concatenate(targets[label]).astype(np.float64)
            means[label] = aims.mean(axis=0)
            values, vectors = np.linalg.eigh((aims - means[label]).T @ (aims - means[label]) / len(aims))
            roots = np.sqrt(np.maximum(values, 0) + 0.001)
            unwhiten[label] = vectors * roots @ vectors.T
            white = (aims - means[label]) @ (vectors / roots @ vectors.T)
            beta = _ridge(np.column_stack([found, np.ones(len(found))]), white)
            weights[:, label], bias[label] = beta[:-1], beta[-1]
    linear = Linear(weights.reshape(width, -1), bias.reshape(-1), scale)
    return BoxRegression(linear, means, unwhiten)


def _ridge(matrix: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Solves (A'A + lambda I) x = A'y; by (AA' + lambda I) where there are fewer rows than columns."""
    rows, columns = matrix.shape
    if rows < columns:
        return matrix.T @ np.linalg.solve(matrix @ matrix.T + _LAMBDA * np.eye(rows), targets)
    return np.linalg.solve(matrix.T @ matrix + _LAMBDA * np.eye(columns), matrix.T @ targets)


def overlaps_of(boxes: np.ndarray, truth: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The largest IoU of each box with an object of each class: (k, 4), (m, 4), (m,) -> float32 (k, classes)."""
    found = np.zeros((len(boxes), classes), np.float32)
    if len(truth) and len(boxes):
        overlaps = np.asarray(iou(boxes, truth))
        for label in np.unique(labels):
            found[:, label] = overlaps[:, labels == label].max(axis=1)
    return found


def find_objects(
    boxes: np.ndarray,
    scores: np.ndarray,
    maps: np.ndarray,
    regression: BoxRegression | None,
    size: tuple[int, int],
    min_score: float,
    threshold: float = 0.3,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The objects among scored regions: at most 100 regions of a class, made better, without overlapping ones.

    Args:
        boxes: (k, 4).
        scores: (k, classes).
        maps: (k, m), for the box regression.
        regression: Makes boxes better; None leaves them.
        size: (height, width) of the image, to which boxes are clipped.
        min_score: The lowest score.
        threshold: The largest IoU of two boxes of a class.

    Returns:
        Boxes (n, 4), classes (n,) and scores (n,), the best first.
    """
    chosen = [(np.zeros(0, int), np.zeros(0, int))]
    for label in range(scores.shape[1]):
        best = np.argsort(-scores[:, label], kind="stable")[:_MOST]
        best = best[scores[best, label] > min_score]
        chosen.append((best, np.full(len(best), label)))
    rows, classes = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
    found, values = boxes[rows].astype(np.float32), scores[rows, classes].astype(np.float32)
    if regression and len(rows):
        found = regression(found, maps[rows], classes)
    found = np.asarray(clip(found, size))
    kept = np.asarray(batched_nms(found, values, classes, threshold))
    return found[kept], classes[kept].astype(np.int32), values[kept]
