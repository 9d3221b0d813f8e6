"""Makes inception_keras/assets/scenes.jpg, the photographs that scenes show, from those of scikit-image 0.26
and scikit-learn. NOTICE has their licences.

    python tests/photographs_of_scenes.py
"""

from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image

SIDE = 256
NAMES = (
    *("astronaut", "brick", "camera", "cell", "chelsea", "flower", "grass", "hubble_deep_field", "ihc", "retina"),
    *("china", "clock_motion", "coffee", "gravel", "rocket"),
)
PLACES = Path(skimage.data.data_dir), Path(sklearn.datasets.__file__).parent / "images"
ZOOM = {"cell": 0.7, "hubble_deep_field": 0.5, "retina": 0.55}  # only the middle of these


def square(name: str) -> np.ndarray:
    """The middle of a photograph, uint8 (256, 256, 3)."""
    path = next(path for place in PLACES for path in place.glob(f"{name}.*"))
    image = Image.open(path).convert("RGB")
    side = round(min(image.size) * ZOOM.get(name, 1))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box))


if __name__ == "__main__":
    sheet = np.concatenate([square(name) for name in NAMES])
    target = Path(__file__).parents[1] / "inception_keras/assets/scenes.jpg"
    # all colours at full resolution: every decoder gives the same pixels
    Image.fromarray(sheet).save(target, quality=78, subsampling=0, optimize=True)
    print(target, target.stat().st_size)
