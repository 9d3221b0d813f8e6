"""The five terms of YOLO's loss, and the forms of a YOLO net: for training and for inference."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, layers, ops

from ..checks import check_bool, check_number
from ..layers._support import register
from .yolo_boxes import YoloDetections
from .yolo_grid import Grid, cells_of, check_size, parts

TERMS = ("centre", "size", "object", "no_object", "class")
_MIN_SIZE = 0.001  # of the sides of an object, as a share of the image; darknet leaves out smaller ones
_MEASURED: dict[str, Any] = {"score_threshold": 0.001, "iou_threshold": 0.5}  # what darknet measures with


@register
class YoloLoss(layers.Layer):
    """The five terms of YOLO's loss (equation 3) for each image, weighted as in darknet's files.

    An object belongs to the cell that its centre lies in. Of the boxes of this cell, the one with the largest IoU with
    the object is responsible for it; if no box overlaps it, the one whose x, y, w and h, in shares of the image, have
    the least distance from those of the object. The terms are sums of squares:

    - `"centre"`: of x and y of responsible boxes, times `coord_scale`.
    - `"size"`: of sqrt(w) and sqrt(h) of responsible boxes, times `coord_scale`.
    - `"object"`: of the confidence of a responsible box, which is to be its IoU with the object, times `object_scale`.
      No gradient flows through this IoU.
    - `"no_object"`: of the confidences of all other boxes, which are to be 0, times `noobject_scale`.
    - `"class"`: of all scores of cells with an object, times `class_scale`.

    If the centres of several objects lie in a cell, the first one counts. Darknet takes them in random order.

    Args:
        grid: The last layer of the net.
        size: Height and width of the net's input in pixels.
        coord_scale: Weight of the terms of coordinates, lambda_coord in the paper.
        object_scale: Weight of the confidence of responsible boxes.
        noobject_scale: Weight of the confidence of other boxes, lambda_noobj in the paper.
        class_scale: Weight of the scores of classes.
        rescore: Whether the confidence of a responsible box is to be its IoU with the object, as released; else 1.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> import numpy as np
        >>> from inception_keras.detection.yolo_grid import YoloGrid
        >>> loss = YoloLoss(YoloGrid(1, 1, 2), (8, 8))
        >>> perfect = np.float32([[0, 1, 1, 0.5, 0.5, 0.5, 0.5]])  # two scores, a confidence, and a box in the middle
        >>> terms = loss([perfect, np.float32([[[3, 3, 5, 5]]]), np.int32([[1]])])
        >>> {name: float(term[0]) for name, term in terms.items()}
        {'centre': 0.0, 'size': 0.0, 'object': 0.0, 'no_object': 0.0, 'class': 0.0}
    """

    def __init__(
        self,
        grid: Grid,
        size: Sequence[int],
        *,
        coord_scale: float = 5.0,
        object_scale: float = 1.0,
        noobject_scale: float = 0.5,
        class_scale: float = 1.0,
        rescore: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        self.cells, self.size = cells_of(grid), check_size(size)
        self.coord_scale = check_number("coord_scale", coord_scale, least=0)
        self.object_scale = check_number("object_scale", object_scale, least=0)
        self.noobject_scale = check_number("noobject_scale", noobject_scale, least=0)
        self.class_scale = check_number("class_scale", class_scale, least=0)
        self.rescore = check_bool("rescore", rescore)

    def call(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """Outputs of the net (n, outputs), boxes (n, most, 4), classes (n, most), -1 is padding -> five terms (n,)."""
        values, boxes, labels = inputs
        scores, confidences, found = parts(ops.convert_to_tensor(values), self.cells)
        has_object, truth, label = self._targets(ops.cast(boxes, "float32"), ops.cast(labels, "int32"))
        side = self.cells.grid
        # of the boxes of a cell, with centres as distances from the corner of the cell
        guess = ops.concatenate([found[..., :2] / side, found[..., 2:] ** 2], axis=-1)
        wanted = ops.concatenate([truth[..., :2] / side, truth[..., 2:]], axis=-1)[:, :, None]
        iou = ops.stop_gradient(_iou(guess, wanted))
        distance = ops.stop_gradient(ops.sum((guess - wanted) ** 2, axis=-1))
        best = ops.where(ops.max(iou, axis=-1) > 0, ops.argmax(iou, axis=-1), ops.argmin(distance, axis=-1))
        chosen = ops.one_hot(best, self.cells.boxes) * has_object[..., None]  # (n, cells, B)

        squares = (found - ops.concatenate([truth[..., :2], ops.sqrt(truth[..., 2:])], axis=-1)[:, :, None]) ** 2
        target = iou if self.rescore else 1.0
        classes = ops.one_hot(label, self.cells.classes)
        terms = (
            self.coord_scale * chosen * ops.sum(squares[..., :2], axis=-1),
            self.coord_scale * chosen * ops.sum(squares[..., 2:], axis=-1),
            self.object_scale * chosen * (confidences - target) ** 2,
            self.noobject_scale * (1 - chosen) * confidences**2,
            self.class_scale * has_object[..., None] * (scores - classes) ** 2,
        )
        return {name: ops.sum(term, axis=(1, 2)) for name, term in zip(TERMS, terms, strict=True)}

    def _targets(self, boxes: KerasTensor, labels: KerasTensor) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """For each cell whether it has an object, the object's x, y, w and h, and its class.

        x and y are shares of the cell; w and h shares of the image.
        """
        side = self.cells.grid
        height, width = self.size
        # one object that is padding, so that there is one
        boxes = ops.pad(boxes, [(0, 0), (0, 1), (0, 0)]) / ops.convert_to_tensor([width, height] * 2, "float32")
        labels = ops.pad(labels, [(0, 0), (0, 1)], constant_values=-1)
        sides = boxes[..., 2:] - boxes[..., :2]
        centres = (boxes[..., :2] + boxes[..., 2:]) / 2 * side
        cells = ops.clip(ops.floor(centres), 0, side - 1)
        is_real = (labels >= 0) & (labels < self.cells.classes) & ops.all(sides >= _MIN_SIZE, axis=-1)
        index = ops.cast(cells[..., 1] * side + cells[..., 0], "int32")
        inside = (index[..., None] == ops.arange(side * side)) & is_real[..., None]  # (n, objects, cells)
        first = ops.argmax(ops.cast(inside, "int32"), axis=1)  # (n, cells)
        objects = ops.concatenate([centres - cells, sides], axis=-1)
        truth = ops.take_along_axis(objects, first[..., None], axis=1)
        has_object = ops.cast(ops.any(inside, axis=1), "float32")
        # the numbers of cells without objects are not used, but must be finite
        return has_object, truth * has_object[..., None], ops.take_along_axis(labels, first, axis=1)

    def compute_output_spec(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """The shapes and types of the terms."""
        return {name: KerasTensor((inputs[0].shape[0],), "float32") for name in TERMS}

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        names = ("coord_scale", "object_scale", "noobject_scale", "class_scale", "rescore")
        own = {name: getattr(self, name) for name in names}
        return super().get_config() | {"grid": self.cells._asdict(), "size": self.size} | own


def _iou(boxes: KerasTensor, others: KerasTensor) -> KerasTensor:
    """Intersection over union of boxes x, y, w, h, each with its own other one: (..., 4), (..., 4) -> (...)."""
    sides = [
        ops.maximum(
            ops.minimum(boxes[..., i] + boxes[..., i + 2] / 2, others[..., i] + others[..., i + 2] / 2)
            - ops.maximum(boxes[..., i] - boxes[..., i + 2] / 2, others[..., i] - others[..., i + 2] / 2),
            0.0,
        )
        for i in (0, 1)
    ]
    both = sides[0] * sides[1]
    union = boxes[..., 2] * boxes[..., 3] + others[..., 2] * others[..., 3] - both
    return ops.where(both > 0, both / ops.where(union > 0, union, 1.0), 0.0)


def training_form(model: keras.Model, **options: Any) -> keras.Model:
    """The form of a YOLO net that is trained, see `detection.forms.training_form`.

    Args:
        model: A net that ends in a `YoloGrid` or `YoloConvGrid`.
        **options: As for `YoloLoss`, for example `noobject_scale=0.1`.
    """
    grid = _grid(model)
    images = keras.Input(model.inputs[0].shape[1:], name="images")
    boxes = keras.Input((None, 4), name="boxes")
    classes = keras.Input((None,), dtype="int32", name="classes")
    values = _on(model, images)
    size = images.shape[1:3]
    terms = YoloLoss(grid, size, name="loss", **options)([values, boxes, classes])
    found = YoloDetections(grid, size, name="detections", **_MEASURED)(values)
    return keras.Model({"images": images, "boxes": boxes, "classes": classes}, terms | found, name=model.name)


def detections(model: keras.Model, **options: Any) -> keras.Model:
    """A YOLO net with a last layer that makes boxes of its output, see `detection.forms.detections`.

    Args:
        model: A net that ends in a `YoloGrid` or `YoloConvGrid`.
        **options: As for `YoloDetections`. The default thresholds are those that darknet measures with, 0.001 and 0.5;
            `score_threshold=0.2, iou_threshold=0.4` are those that it shows with.
    """
    from ..graph import functional  # not above: this module is imported while Keras is, and so while ..graph is

    size = model.inputs[0].shape[1:3]
    found = YoloDetections(_grid(model), size, name="detections", **(_MEASURED | options))
    found = found(functional(model).outputs[0])
    return keras.Model(model.input, found, name=model.name)


def _grid(model: keras.Model) -> Grid:
    return next(layer for layer in model.layers if isinstance(layer, Grid))


def _on(model: keras.Model, images: KerasTensor) -> KerasTensor:
    """The output of a net for another input, computed by the same layers."""
    return keras.models.clone_model(model, input_tensors=images, clone_function=lambda layer: layer).outputs[0]
