"""Fast and Faster R-CNN in torch, from their release: python tests/references_detection.py, where torch is installed.

Writes tests/golden/operations/<id>.npz: what the nets find with the weights and images of synthetic.py, step by step.
Boxes are those of the released code, whose x2 and y2 are the last pixels of a box.
"""

import sys
from math import prod
from pathlib import Path

import numpy as np
import synthetic
import torch
from references import Net
from torch import nn
from torch.nn import functional
from torchvision import ops

FOLDER = Path(__file__).parent / "golden" / "operations"
SMALL, LARGE = (96, 128), (192, 256)
CLASSES = 3


def anchors_of(stride, scales, ratios=(0.5, 1, 2)):
    """Width, then height rounded from a square of 16 pixels; then all scales of a ratio."""
    found = []
    for ratio in ratios:
        width = round(float(np.sqrt(256 / ratio)))
        height = int(np.round(width * ratio))
        for scale in scales:
            w, h = width * scale - 1, height * scale - 1
            middle = (stride - 1) / 2
            found.append([middle - w / 2, middle - h / 2, middle + w / 2, middle + h / 2])
    return torch.tensor(found)


def moved(boxes, offsets):
    """bbox_transform_inv: sizes are x2 - x1 + 1."""
    w, h = boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1
    x, y = boxes[:, 0] + 0.5 * w + offsets[:, 0] * w, boxes[:, 1] + 0.5 * h + offsets[:, 1] * h
    w, h = torch.exp(offsets[:, 2]) * w, torch.exp(offsets[:, 3]) * h
    return torch.stack([x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h], 1)


def clipped(boxes, size):
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack(
        [x1.clamp(0, width - 1), y1.clamp(0, height - 1), x2.clamp(0, width - 1), y2.clamp(0, height - 1)], 1
    )


def suppressed(boxes, scores, threshold):
    return ops.nms(boxes + torch.tensor([0.0, 0.0, 1.0, 1.0]), scores, threshold)


class Rcnn(Net):
    """The nets of py-faster-rcnn, or with proposals given, of fast-rcnn."""

    def __init__(self, trunk, stride, bins, units, rpn=0, scales=(8, 16, 32), min_size=16, proposals=300):
        super().__init__()
        self.trunk, self.stride, self.bins, self.units, self.rpn = trunk, stride, bins, units, rpn
        self.scales, self.min_size, self.proposals = scales, min_size, proposals

    def vgg(self, x, divisor=1, blocks=5):
        for block, (count, filters) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))[:blocks], 1):
            x = functional.max_pool2d(x, 2, 2, ceil_mode=True) if block > 1 else x
            for i in range(1, count + 1):
                unit = self.conv if divisor == 1 else self.conv_bn
                x = unit(x, f"conv_{block}_{i}", filters // divisor, 3).relu()
        return x

    def zf(self, x):
        for name, filters, kernel in (("conv_1", 96, 7), ("conv_2", 256, 5)):
            x = self.conv(x, name, filters, kernel, 2).relu()
            x = x * (1 + 5e-5 * functional.avg_pool2d(x * x, 3, 1, 1)) ** -0.75  # padding counts
            x = functional.max_pool2d(x, 3, 2, 1, ceil_mode=True)
        for name, filters in (("conv_3", 384), ("conv_4", 384), ("conv_5", 256)):
            x = self.conv(x, name, filters, 3).relu()
        return x

    def caffenet(self, x):
        norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)
        x = self.conv(x, "conv_1", 96, 11, 4, padding=5).relu()
        x = norm(functional.max_pool2d(x, 3, 2, ceil_mode=True))
        x = norm(functional.max_pool2d(self.conv(x, "conv_2", 256, 5, groups=2).relu(), 3, 2, ceil_mode=True))
        x = self.conv(self.conv(x, "conv_3", 384, 3).relu(), "conv_4", 384, 3, groups=2).relu()
        return self.conv(x, "conv_5", 256, 3, groups=2).relu()

    def proposed(self, maps, size):
        x = self.conv(maps, "rpn-conv", self.rpn, 3).relu()
        base = anchors_of(self.stride, self.scales)
        count = len(base)
        scores = self.conv(x, "rpn-scores", 2 * count, 1)
        offsets = self.conv(x, "rpn-offsets", 4 * count, 1)
        scores = torch.stack([scores[:, :count], scores[:, count:]]).softmax(0)[1]
        scores = scores.permute(0, 2, 3, 1).reshape(-1)
        rows, columns = maps.shape[2:]
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        places = self.stride * torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
        boxes = moved((places + base).reshape(-1, 4), offsets.permute(0, 2, 3, 1).reshape(-1, 4))
        boxes = clipped(boxes, size)
        large = ((boxes[:, 2:] - boxes[:, :2] + 1) >= self.min_size).all(1)
        boxes, scores = boxes[large], scores[large]
        order = scores.argsort(descending=True, stable=True)[:6000]
        boxes, scores = boxes[order], scores[order]
        return boxes[suppressed(boxes, scores, 0.7)[: self.proposals]]

    def forward(self, image, given=None):
        size = image.shape[2:]
        maps = self.trunk(self, image)
        boxes = self.proposed(maps, size) if given is None else given
        x = ops.roi_pool(maps, [boxes], self.bins, 1 / self.stride).flatten(1)
        x = self.dense(self.dense(x, "fc_6", self.units).relu(), "fc_7", self.units).relu()
        scores, offsets = self.dense(x, "scores", CLASSES + 1), self.dense(x, "offsets", 4 * (CLASSES + 1))
        found = []
        for label in range(1, CLASSES + 1):
            score = scores.softmax(1)[:, label]
            places = clipped(moved(boxes, offsets[:, 4 * label : 4 * label + 4] / torch.tensor([10, 10, 5, 5])), size)
            used = score > 0.05
            kept = suppressed(places[used], score[used], 0.3)
            found += [
                (float(s), label - 1, p.numpy()) for s, p in zip(score[used][kept], places[used][kept], strict=True)
            ]
        found.sort(key=lambda each: -each[0])
        found = found[:100]
        return {
            "maps": maps[0, :8].permute(1, 2, 0),
            "proposals": boxes,
            "class_scores": scores,
            "class_offsets": offsets,
            "boxes": np.array([box for _, _, box in found], "float32"),
            "classes": np.array([label for _, label, _ in found], "int32"),
            "scores": np.array([score for score, _, _ in found], "float32"),
        }


NETS = {
    "faster_rcnn": lambda: Rcnn(Rcnn.vgg, 16, 7, 4096, 512),
    "faster_rcnn_zf": lambda: Rcnn(Rcnn.zf, 16, 6, 4096, 256),
    "faster_rcnn_small": lambda: Rcnn(small, 8, 6, 256, 128, (1, 2, 4), 4, 100),
    "fast_rcnn": lambda: Rcnn(Rcnn.vgg, 16, 7, 4096),
    "fast_rcnn_caffenet": lambda: Rcnn(Rcnn.caffenet, 16, 6, 4096),
    "fast_rcnn_small": lambda: Rcnn(small, 8, 6, 256),
}


def small(net, x):
    return net.vgg(x, 4, 4)


def proposals(size):
    """Proposals that are given to a net."""
    rng = np.random.default_rng(0)
    corners = rng.uniform((0, 0), size[::-1], (40, 2, 2))
    return np.concatenate([corners.min(1), corners.max(1) + 1], 1).astype("float32")


@torch.inference_mode()
def write(id):
    size = SMALL if id.endswith("small") else LARGE
    net, image = NETS[id](), torch.from_numpy(synthetic.image(*size).transpose(0, 3, 1, 2).copy())
    given = [torch.from_numpy(proposals(size) - np.float32([0, 0, 1, 1]))] if id.startswith("fast_") else []
    net(image, *given)  # makes the modules
    entries = {key: value for key, value in net.state_dict().items() if value.ndim}
    for key, array in synthetic.state_dict({key: value.shape for key, value in entries.items()}).items():
        entries[key].copy_(torch.from_numpy(array))
    found = {name: np.asarray(value) for name, value in net(image, *given).items()}
    count = sum(prod(value.shape) for name, value in net.named_parameters())
    print(id, f"{count:,}", {name: value.shape for name, value in found.items()})
    np.savez_compressed(FOLDER / f"{id}.npz", size=size, **found)


if __name__ == "__main__":
    for id in sys.argv[1:] or NETS:
        write(id)
