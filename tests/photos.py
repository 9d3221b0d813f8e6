"""Makes a folder of photographs like ImageNet's: 500 x 375 JPEGs of about 100 kB.

    python tests/photos.py DIR [COUNT]

The photographs are crops of those in scikit-image and scikit-learn.
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image

SKIMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg")
SKLEARN = ("china.jpg", "flower.jpg")
SIZE = (500, 375)


def write(folder: Path, count: int, seed: int = 0) -> None:
    """Writes `folder/photo/000001.jpg` and so on, with a class for each photograph."""
    random = np.random.default_rng(seed)
    paths = [Path(skimage.data.data_dir) / name for name in SKIMAGE]
    paths += [Path(sklearn.datasets.__file__).parent / "images" / name for name in SKLEARN]
    photos = [Image.open(path).convert("RGB") for path in paths]
    for i in range(count):
        path, photo = paths[i % len(paths)], photos[i % len(paths)]
        width = min(photo.width, photo.height * SIZE[0] / SIZE[1]) * random.uniform(0.7, 1)
        height = width * SIZE[1] / SIZE[0]
        left, top = random.uniform(0, photo.width - width), random.uniform(0, photo.height - height)
        cut = photo.resize(SIZE, Image.Resampling.LANCZOS, (left, top, left + width, top + height))
        # the grain of a camera: enlarged pixels are smoother than photographed ones
        grain = random.normal(0, random.uniform(2, 8), (SIZE[1], SIZE[0], 1))
        cut = Image.fromarray(np.clip(np.asarray(cut) + grain, 0, 255).astype(np.uint8))
        (folder / path.stem).mkdir(parents=True, exist_ok=True)
        cut.save(folder / path.stem / f"{i:06}.jpg", quality=int(random.integers(80, 96)), subsampling=i % 3 and 2)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
    files = list(folder.rglob("*.jpg"))
    print(f"{len(files)} photographs of {sum(f.stat().st_size for f in files) / len(files) / 1000:.0f} kB on average")
