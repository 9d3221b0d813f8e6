"""Values of torchvision for boxes and regions: python tests/references_regions.py, where torch is installed."""

from pathlib import Path

import numpy as np
import torch
from torchvision import ops
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

FOLDER = Path(__file__).parent / "golden" / "operations"


def random_boxes(rng, count, side, grid=None):
    """Boxes of any size; on a coarse grid many of them touch or are identical."""
    corners = (
        rng.uniform(0, side, (count, 2, 2)) if grid is None else rng.integers(0, side // grid, (count, 2, 2)) * grid
    )
    low, high = corners.min(1), corners.max(1)
    return np.concatenate([low, high + (grid or 1)], 1).astype("float32")


def boxes():
    """Overlaps, offsets and non-maximum suppression, with ties, touching and identical boxes."""
    rng = np.random.default_rng(0)
    found = {}
    for name, grid in (("any", None), ("grid", 8)):
        some, others = random_boxes(rng, 60, 64, grid), random_boxes(rng, 40, 64, grid)
        scores = rng.integers(0, 12, 60).astype("float32") / 12  # many ties
        groups = rng.integers(0, 4, 60)
        found |= {f"{name}-boxes": some, f"{name}-others": others, f"{name}-scores": scores, f"{name}-groups": groups}
        a, b = torch.from_numpy(some), torch.from_numpy(others)
        found[f"{name}-iou"] = ops.box_iou(a, b).numpy()
        coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
        offsets = coder.encode_single(a[:40], b)
        found[f"{name}-encoded"] = offsets.numpy()
        wild = offsets * 3
        found[f"{name}-decoded"] = coder.decode_single(wild, b).numpy()
        for threshold in (0.0, 0.3, 0.5, 0.7, 1.0):
            kept = ops.nms(a, torch.from_numpy(scores), threshold)
            found[f"{name}-nms-{threshold}"] = kept.numpy().astype("int32")
            kept = ops.batched_nms(a, torch.from_numpy(scores), torch.from_numpy(groups), threshold)
            found[f"{name}-batched-{threshold}"] = kept.numpy().astype("int32")
    distances = torch.from_numpy(rng.normal(size=50).astype("float32"))
    found["distances"] = distances.numpy()
    for beta in (0.0, 1 / 9, 1.0):
        loss = torch.nn.functional.smooth_l1_loss(distances, torch.zeros(50), reduction="none", beta=beta)
        found[f"smooth_l1-{beta:.3f}"] = loss.numpy()
    sizes, ratios = ((32,), (64,), (40.5, 100)), ((0.5, 1.0, 2.0), (0.3, 1.0, 3.0), (0.5, 2.0))
    generator = AnchorGenerator(sizes, ratios)
    maps = [torch.zeros(1, 1, rows, columns) for rows, columns in ((3, 5), (2, 3), (1, 2))]
    found["anchors"] = generator(ImageList(torch.zeros(1, 3, 26, 43), [(26, 43)]), maps)[0].numpy()
    np.savez_compressed(FOLDER / "boxes.npz", **found)


def regions():
    """RoI pooling and RoIAlign of borders, single pixels, empty regions, regions far larger than the map."""
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(2, 9, 11, 3)).astype("float32")
    corners = rng.uniform(-40, 260, (2, 60, 2, 2))
    some = np.concatenate([corners.min(2), corners.max(2)], -1)
    some[:, :8] = [
        *([0, 0, 0, 0], [24, 24, 24, 24], [8, 8, 23, 40], [-8, -24, 7, 8]),  # one pixel; halves, also below 0
        *(
            [175, 143, 176, 144],
            [300, 300, 400, 400],
            [-900, -900, 900, 900],
            [50, 60, 30, 20],
        ),  # edge, outside, swapped
    ]
    some = some.astype("float32")
    found = {"maps": maps, "boxes": some}

    def both(name, pool):
        x = torch.from_numpy(maps.transpose(0, 3, 1, 2).copy()).requires_grad_()
        y = pool(x, [torch.from_numpy(boxes) for boxes in some])
        dy = torch.from_numpy(np.random.default_rng(2).normal(size=y.shape).astype("float32"))
        y.backward(dy)
        found[name] = y.detach().numpy().reshape(2, 60, *y.shape[1:]).transpose(0, 1, 3, 4, 2)
        found[f"{name}-dx"] = x.grad.numpy().transpose(0, 2, 3, 1)

    both("pool", lambda x, boxes: ops.roi_pool(x, boxes, (3, 4), 1 / 16))
    for aligned in (False, True):
        for ratio in (0, 2):
            name = f"align-{aligned}-{ratio}"
            both(name, lambda x, boxes, a=aligned, r=ratio: ops.roi_align(x, boxes, (3, 2), 1 / 16, r or -1, a))
    for height, width in ((13, 13), (10, 10), (5, 9), (1, 3)):
        x = rng.normal(size=(2, 3, height, width)).astype("float32")
        map_ = torch.from_numpy(x).requires_grad_()
        levels = [torch.nn.functional.adaptive_max_pool2d(map_, level) for level in (6, 3, 2, 1)]
        y = torch.cat([level.permute(0, 2, 3, 1).flatten(1) for level in levels], 1)
        y.backward(torch.from_numpy(np.random.default_rng(2).normal(size=y.shape).astype("float32")))
        name = f"pyramid-{height}-{width}"
        found |= {name: y.detach().numpy(), f"{name}-dx": map_.grad.numpy().transpose(0, 2, 3, 1)}
        found[f"{name}-x"] = x.transpose(0, 2, 3, 1)
    np.savez_compressed(FOLDER / "regions.npz", **found)


if __name__ == "__main__":
    boxes()
    regions()
