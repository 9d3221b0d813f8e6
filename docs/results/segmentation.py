"""Draws test scenes with their true masks and what FCN-32s, FCN-16s and FCN-8s find, for the page of results.

sh docs/results/segmentation.sh runs/segmentation
python docs/results/segmentation.py runs/segmentation docs/results/segmentation.png
"""

import sys
from pathlib import Path

from inception_keras import scenes, segment
from inception_keras.analysis.overlays import plot_overlays
from inception_keras.data.palette import palette

NETS = {"FCN-32s": "fcn32s_0", "FCN-16s": "fcn16s_0", "FCN-8s": "fcn8s_0"}

runs, path = map(Path, sys.argv[1:])
given = scenes(4, split="test")
rows = [
    [(image, None), (image, mask), *((image, segment(runs / run, image)) for run in NETS.values())]
    for image, mask in zip(given.images, given.masks, strict=True)
]
plot_overlays(rows, given.class_names, palette(), path, titles=("scene", "truth", *NETS))
