"""torchvision's Faster R-CNN with a pyramid: python tests/references_fpn.py, where torchvision is installed.

Writes tests/golden/operations/fasterrcnn_resnet50_fpn.npz: what the net finds with the weights and images of
synthetic.py; and fasterrcnn_photograph.npz: how it resizes a photograph, and what it finds in it.
"""

from pathlib import Path

import numpy as np
import synthetic
import torch
from torch.nn import functional
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.models.detection.image_list import ImageList

FOLDER = Path(__file__).parent / "golden" / "operations"
SIZE, GAIN, SCORE = (200, 260), 0.4, 0.02
PHOTO, SIDES = (301, 443), (160, 200)  # height and width; smallest and largest side that it is resized to
SHAPES = [(427, 640), (480, 640), (1000, 333), (375, 500), (801, 1333), (61, 57), (720, 1281)]


def network(**options):
    net = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **options).eval()
    net.roi_heads.score_thresh = SCORE  # so that many boxes are found
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0  # as torchvision sets it for its published weights
    entries = {key: value for key, value in net.state_dict().items() if value.ndim}
    shapes = {key: tuple(value.shape) for key, value in entries.items()}
    for key, array in synthetic.state_dict(shapes, GAIN).items():
        entries[key].copy_(torch.from_numpy(array))
    return net


@torch.inference_mode()
def write():
    net = network()
    image = torch.from_numpy(synthetic.image(*SIZE).transpose(0, 3, 1, 2).copy())
    images = ImageList(functional.pad(image, (0, -SIZE[1] % 32, 0, -SIZE[0] % 32)), [SIZE])
    maps = net.backbone(images.tensors)
    logits, offsets = net.rpn.head(list(maps.values()))
    proposals, _ = net.rpn(images, maps)
    pooled = net.roi_heads.box_roi_pool(maps, proposals, images.image_sizes)
    scores, moves = net.roi_heads.box_predictor(net.roi_heads.box_head(pooled))
    (found,), _ = net.roi_heads(maps, proposals, images.image_sizes)
    # parts of each step, so that the file stays small
    arrays = {
        **{f"map_{i}": level[0, ::64].permute(1, 2, 0) for i, level in enumerate(maps.values())},
        **{f"logits_{i}": level[0].permute(1, 2, 0) for i, level in enumerate(logits) if i},
        **{f"offsets_{i}": level[0, ::3].permute(1, 2, 0) for i, level in enumerate(offsets) if i > 1},
        "proposals": proposals[0],
        "pooled": pooled[::50, ::64].permute(0, 2, 3, 1),
        "class_scores": scores[::10, ::5],
        "class_offsets": moves[::10, ::20],
        "boxes": found["boxes"],
        "classes": found["labels"].int() - 1,
        "scores": found["scores"],
    }
    arrays = {name: value.numpy() for name, value in arrays.items()}
    print({name: (value.shape, float(np.abs(value).max())) for name, value in arrays.items()})
    np.savez_compressed(FOLDER / "fasterrcnn_resnet50_fpn.npz", **arrays)


@torch.inference_mode()
def write_photograph():
    net = network(min_size=SIDES[0], max_size=SIDES[1])
    pixels = np.random.default_rng(0).integers(0, 256, (*PHOTO, 3), np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    (found,) = net([image])
    resized, _ = net.transform.resize(net.transform.normalize(image))
    usual = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval().transform
    arrays = {
        "sizes": np.array([usual.resize(torch.zeros(3, *shape))[0].shape[1:] for shape in SHAPES]),
        "size": np.array(resized.shape[1:]),
        "resized": resized[:, ::12, ::12].permute(1, 2, 0).numpy(),
        "boxes": found["boxes"].numpy(),
        "classes": found["labels"].int().numpy() - 1,
        "scores": found["scores"].numpy(),
    }
    print({name: (value.shape, float(np.abs(value).max())) for name, value in arrays.items()}, arrays["sizes"])
    np.savez_compressed(FOLDER / "fasterrcnn_photograph.npz", **arrays)


if __name__ == "__main__":
    write()
    write_photograph()
