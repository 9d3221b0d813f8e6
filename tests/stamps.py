"""Makes a folder of images and masks from real cut-outs: those of Debian's tuxpaint-stamps-default, on photographs.

    apt-get install tuxpaint-stamps-default
    python tests/stamps.py FOLDER --train 1500 --size 128
    inception-keras data check FOLDER --task segmentation

Every split has its own cut-outs and its own parts of the photographs; with --same-stamps, all splits share the
cut-outs. Soft borders of the cut-outs are void, as PASCAL VOC's are. Tux Paint's cut-outs are under the GPL: the folder
is for checks.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from inception_keras.data.palette import index_image
from inception_keras.data.scenes import _Dice, _photograph
from inception_keras.data.targets import VOID

STAMPS = Path("/usr/share/tuxpaint/stamps")
CLASSES = ("background", "animals", "clothes", "food", "household", "plants", "town", "vehicles")
FOLDERS = {"train": "train", "validation": "val", "test": "test"}
SHARES = {"train": 1, "validation": 8, "test": 4}  # there is one scene for so many training scenes


def cut_outs(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each class that have both opaque and transparent pixels."""
    found = {}
    for name in CLASSES[1:]:
        paths = []
        for path in sorted((folder / name).rglob("*.png")):
            with Image.open(path) as image:
                alpha = np.asarray(image.convert("RGBA"))[..., 3]
            if 0.1 < (alpha > 127).mean() < 0.98:
                paths.append(path)
        found[name] = paths
    return found


def parts(paths: list[Path], split: str, same: bool) -> list[Path]:
    """The cut-outs of a split: of every ten, seven for training, one for validation and two for the test."""
    numbers = {"train": range(7), "validation": (7,), "test": (8, 9)}[split]
    return [path for number, path in enumerate(paths) if same or number % 10 in numbers]


def draw(dice: _Dice, split: str, size: int, stamps: dict[str, list[Path]]) -> tuple[Image.Image, np.ndarray]:
    """A photograph with one to three cut-outs, and its mask."""
    scene = Image.fromarray(_photograph(dice, split, size, size, dice.between(0.4, 1)))
    mask = np.zeros((size, size), np.uint8)
    for _ in range(1 + dice.below(3)):
        label = 1 + dice.below(len(stamps))
        with Image.open(dice.choose(stamps[CLASSES[label]])) as image:
            stamp = image.convert("RGBA")
        stamp = stamp.crop(stamp.getchannel("A").getbbox())
        scale = dice.between(0.35, 0.75) * size / max(stamp.size)
        stamp = stamp.resize([max(4, round(scale * side)) for side in stamp.size], Image.Resampling.LANCZOS)
        if dice.below(2):
            stamp = stamp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        stamp = stamp.rotate(dice.between(-20, 20), Image.Resampling.BICUBIC, expand=True)
        left, top = (round(dice.between(-0.2 * side, size - 0.8 * side)) for side in stamp.size)
        scene.paste(stamp, (left, top), stamp)
        alpha = Image.new("L", (size, size))
        alpha.paste(stamp.getchannel("A"), (left, top))
        opacity = np.asarray(alpha)
        mask[opacity > 32] = VOID
        mask[opacity > 224] = label
    return scene, mask


def make(folder: Path, train: int, size: int, stamps: Path = STAMPS, same: bool = False) -> None:
    """Writes the folder, with a quarter as many scenes for the test as for training, and an eighth for validation."""
    found = cut_outs(stamps)
    (folder / "classes.txt").parent.mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    for number, (split, name) in enumerate(FOLDERS.items()):
        chosen = {label: parts(paths, split, same) for label, paths in found.items()}
        for kind in ("images", "masks"):
            (folder / name / kind).mkdir(parents=True)
        for index in range(-(-train // SHARES[split])):
            scene, mask = draw(_Dice(17, number, index), split, size, chosen)
            scene.save(folder / name / f"images/{index:05}.png")
            index_image(mask).save(folder / name / f"masks/{index:05}.png")
        print(split, index + 1, {label: len(paths) for label, paths in chosen.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="is made anew")
    parser.add_argument("--train", type=int, default=1500, help="number of training scenes (1500)")
    parser.add_argument("--size", type=int, default=128, help="side length in pixels (128)")
    parser.add_argument("--stamps", type=Path, default=STAMPS, help=f"the cut-outs ({STAMPS})")
    parser.add_argument("--same-stamps", action="store_true", help="all splits share the cut-outs")
    given = parser.parse_args()
    make(given.folder, given.train, given.size, given.stamps, given.same_stamps)
