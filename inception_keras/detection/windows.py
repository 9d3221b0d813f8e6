"""Region proposals that look at nothing: windows of some sizes and shapes, evenly over the image."""

from collections.abc import Sequence

import numpy as np

from ..checks import check_count, check_share, got
from .anchors import positive

SIDES = (0.25, 0.4, 0.63)
RATIOS = (0.5, 1, 2)
STEP = 1 / 3


def sliding_windows(
    height: int,
    width: int,
    *,
    sides: Sequence[float] = SIDES,
    ratios: Sequence[float] = RATIOS,
    step: float = STEP,
) -> np.ndarray:
    """Proposes the same boxes for every image of a size: a dense set, as in section 5.5 of the Fast R-CNN paper.

    They need no package and no time. There have to be many of them, and a net has to move them to the objects.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        sides: sqrt(width * height) of the windows, as shares of the shorter side of the image.
        ratios: Height / width. A window that does not fit into the image is cut to its height or width.
        step: The largest distance between two windows, as a share of their height or width.

    Returns:
        float32 (k, 4): x1, y1, x2 and y2 in pixels, the largest windows first. The first and last of each row and
        column touch the edges of the image.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> sliding_windows(96, 96).shape
        (447, 4)
        >>> sliding_windows(4, 8, sides=[1], ratios=[1], step=0.5).tolist()
        [[0.0, 0.0, 4.0, 4.0], [2.0, 0.0, 6.0, 4.0], [4.0, 0.0, 8.0, 4.0]]
    """
    shape = check_count("height", height), check_count("width", width)
    if not 0 < check_share("step", step):
        raise ValueError(f"step must be above 0, got {got(step)}.")
    found = []
    for side in sorted(positive("sides", sides), reverse=True):
        for ratio in positive("ratios", ratios):
            size = min(shape) * side * np.array([ratio**0.5, ratio**-0.5])
            size = np.minimum(size, shape)
            # a millionth less, as a quotient may lie just above a whole number
            counts = np.ceil((shape - size) / (step * size) - 1e-6).astype(int) + 1
            rows, columns = (np.linspace(0, a - b, n) for a, b, n in zip(shape, size, counts, strict=True))
            y, x = (values.ravel() for values in np.meshgrid(rows, columns, indexing="ij"))
            found.append(np.stack([x, y, x + size[1], y + size[0]], axis=1))
    return np.concatenate(found).astype(np.float32)
