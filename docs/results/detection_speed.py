"""Seconds that R-CNN, SPPnet, Fast R-CNN, Faster R-CNN and YOLO take for a photograph, and where they go.

    pip install 'inception_keras[proposals]' scikit-image
    python docs/results/detection_speed.py docs/results

All five have the same backbone, CaffeNet up to its fifth convolution, and see the same photographs of scikit-image. The
weights are fresh: a step takes as long with learned ones, but for non-maximum suppression, which takes little time. It
writes detection_speed.csv and detection_speed.png into the folder, and prints the table.

- proposals: selective search, measured once for the first three; in Faster R-CNN the region proposal network.
- convolutions: the backbone, on the whole photograph or on every region. R-CNN's dense layers are among them.
- regions: warping them, or pooling them from the map; the dense layers and SVMs that see them.
- the rest: preparing the photograph, box regressions, non-maximum suppression.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

PHOTOGRAPHS = ("coffee", "chelsea", "astronaut", "rocket")
PARTS = ("proposals", "convolutions", "regions", "rest")
COLOURS = ("#d9b44a", "#4878a8", "#c8553d", "#9a9a9a")
CLASSES, SPP_SCALES, YOLO_SIDE = 20, (480, 576, 688, 864, 1200), 448
REPEATS = 3  # of the parts of Fast R-CNN, Faster R-CNN and YOLO, which take fractions of a second; medians count


class Clock:
    """Adds up the seconds of functions by the part that they belong to."""

    def __init__(self):
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def timed(self, part: str, function: Callable) -> Callable:
        """The same function, whose seconds count."""

        def call(*args, **kwargs):
            begun = time.perf_counter()
            result = finished(function(*args, **kwargs))
            self.seconds[part] += time.perf_counter() - begun
            return result

        return call


def finished(result):
    """Waits for what TensorFlow still computes."""
    import keras

    return keras.tree.map_structure(lambda value: value.numpy() if hasattr(value, "numpy") else value, result)


def median_of(times: int, function: Callable, *args) -> tuple[float, object]:
    """The median of the seconds of some calls, and the result of the last one."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        result = finished(function(*args))
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken)), result


def compiled(inputs, outputs) -> Callable:
    """A part of a net as one graph."""
    import keras
    import tensorflow as tf

    net = keras.Model(inputs, outputs)
    signature = [tf.TensorSpec((1, *x.shape[1:]), tf.float32) for x in net.inputs]
    return tf.function(lambda *x: net(list(x) if len(x) > 1 else x[0], training=False), signature, autograph=False)


# ------------------------------------------------------------------------------------------------- R-CNN and SPPnet


def with_svms(detector, features: int, maps: int):
    """Gives a detector SVMs and box regressions of random numbers."""
    from inception_keras.detection.region_svms import BoxRegression, Linear

    rng = np.random.default_rng(0)
    svms, boxes = (rng.normal(0, 1 / np.sqrt(n), (n, k)) for n, k in ((features, CLASSES), (maps, 4 * CLASSES)))
    detector.class_names = tuple(f"class {index}" for index in range(CLASSES))
    detector.svms = Linear(svms.astype("float32"), np.full(CLASSES, -1, "float32"), 1.0)
    line = Linear(0.01 * boxes.astype("float32"), np.zeros(4 * CLASSES, "float32"), 1.0)
    detector.regression = BoxRegression(line, np.zeros((CLASSES, 4)), np.tile(np.eye(4), (CLASSES, 1, 1)))
    return detector


def by_regions(detector, parts: list[tuple], photographs: dict, proposals: dict) -> list[dict[str, float]]:
    """The seconds of a detector that looks at given regions. `parts` says where functions of which object count."""
    clock = Clock()
    for of, name, part in [*parts, (detector, "svms", "regions")]:
        setattr(of, name, clock.timed(part, getattr(of, name)))
    rows = []
    for number, (name, pixels) in enumerate([*list(photographs.items())[:1], *photographs.items()]):
        seconds, boxes = proposals[name]
        some = boxes if number else boxes[:70]  # the first time is to compile
        detector._propose = lambda _, some=some: some
        clock.seconds.update(dict.fromkeys(PARTS, 0.0))
        begun = time.perf_counter()
        detector.detect(pixels)
        whole = time.perf_counter() - begun
        row = clock.seconds | {"rest": whole - sum(clock.seconds.values()), "proposals": seconds}
        if number:
            rows.append(row)
    return rows


def rcnn(photographs: dict, proposals: dict) -> list[dict[str, float]]:
    """R-CNN: the net sees every region."""
    import inception_keras as ik

    detector = with_svms(ik.RCNN(ik.create_model("rcnn"), preprocessing=prepare(227)), 4096, 9216)
    parts = [(detector, "_crops", "regions"), (detector._outputs, "predict_on_batch", "convolutions")]
    return by_regions(detector, parts, photographs, proposals)


def sppnet(photographs: dict, proposals: dict) -> list[dict[str, float]]:
    """SPPnet: the convolutions see the photograph at five scales; pyramids of regions go on."""
    import keras
    from keras import layers

    import inception_keras as ik
    from inception_keras.detection.fast_rcnn import caffenet

    image = keras.Input((None, None, 3))
    x = ik.layers.SpatialPyramidPooling2D((6, 3, 2, 1))(caffenet(image))
    for name in ("fc_6", "fc_7"):
        x = layers.Dense(4096, activation="relu", name=name)(x)
    net = keras.Model(image, layers.Dense(CLASSES + 1, activation="softmax", name="predictions")(x))
    detector = with_svms(ik.SPPnet(net, scales=SPP_SCALES, preprocessing=prepare(224)), 4096, 12800)
    parts = [(detector, "_maps", "convolutions"), (detector, "_pool", "regions")]
    parts.append((detector._head, "predict_on_batch", "regions"))
    return by_regions(detector, parts, photographs, proposals)


# ----------------------------------------------------------------------------------- Fast R-CNN, Faster R-CNN and YOLO


def prepare(side: int):
    """How the released code prepares photographs."""
    from inception_keras.data.preprocessing import Preprocessing

    return Preprocessing((side, side), order="bgr", mean=(102.9801, 115.9465, 122.7717), std=(1.0,), antialias=False)


def in_steps(net, photographs: dict, proposals: dict | None) -> list[dict[str, float]]:
    """The seconds of Fast or Faster R-CNN, step by step. Both resize a photograph to a shorter side of 600."""
    from inception_keras.training.detect import finder

    find, last = finder(net, prepare(600)), net.get_layer("detections")
    images, regions, *heads = last.input
    maps = net.get_layer("regions").input[0]
    convolve, pooled = compiled(images, maps), compiled([maps, regions], heads)
    suppress = compiled([images, regions, *heads], net.output)
    propose = None if proposals else compiled([images, maps], regions)
    rows = []
    for number, (name, pixels) in enumerate([*list(photographs.items())[:1], *photographs.items()]):
        times = REPEATS if number else 1  # the first time is to compile
        size = find.size(*pixels.shape[:2])
        make = replace(find.prepare, size=size, resize=None)
        row = dict.fromkeys(PARTS, 0.0)
        row["rest"], image = median_of(times, lambda pixels=pixels, make=make: make(pixels)[None])
        row["convolutions"], map_ = median_of(times, convolve, image)
        if proposals:
            row["proposals"], boxes = proposals[name]
            scale = np.tile(np.divide(size, pixels.shape[:2])[::-1], 2)
            places = (boxes * scale - (0, 0, 1, 1)).astype("float32")[None]
            row["whole"] = median_of(times, lambda pixels=pixels, boxes=boxes: find(pixels, 0, boxes).boxes)[0]
            row["whole"] += row["proposals"]
        else:
            row["proposals"], places = median_of(times, propose, image, map_)
            row["whole"] = median_of(times, lambda pixels=pixels: find(pixels).boxes)[0]
        row["regions"], found = median_of(times, pooled, map_, places)
        row["rest"] += median_of(times, suppress, image, places, *found)[0]
        rows.append(row)
    return rows[1:]


def trunk(side: int | None = None):
    """CaffeNet up to its fifth convolution; with a side, and the pool after it, for YOLO."""
    import keras

    from inception_keras.detection.fast_rcnn import caffenet

    image = keras.Input((side, side, 3), name="images")
    x = caffenet(image)
    return keras.Model(image, keras.layers.MaxPooling2D(3, 2, "same", name="pool_5")(x) if side else x, name="caffenet")


def fast_rcnn(photographs: dict, proposals: dict) -> list[dict[str, float]]:
    """Fast R-CNN: regions of selective search are pooled from the map of the photograph."""
    import inception_keras as ik

    options = {"bins": 6, "units": 4096, "proposals": None, "classes": CLASSES}
    return in_steps(ik.fast_rcnn(trunk(), **options), photographs, proposals)


def faster_rcnn(photographs: dict, proposals: dict) -> list[dict[str, float]]:
    """Faster R-CNN: the regions come from the map, too."""
    import inception_keras as ik

    options = {"bins": 6, "units": 4096, "filters": 256, "classes": CLASSES}
    return in_steps(ik.faster_rcnn(trunk(), **options), photographs, None)


def yolo(photographs: dict, proposals: dict) -> list[dict[str, float]]:
    """YOLO: the grid of a photograph, which is stretched to 448 x 448 pixels."""
    import inception_keras as ik
    from inception_keras.detection.forms import detections
    from inception_keras.training.detect import finder

    net = ik.yolo(trunk(YOLO_SIDE), classes=CLASSES)
    find, found = finder(net, prepare(YOLO_SIDE)), detections(net)
    convolve, suppress = compiled(net.inputs, net.output), compiled(net.output, found.output)
    rows = []
    for number, pixels in enumerate([next(iter(photographs.values())), *photographs.values()]):
        times = REPEATS if number else 1  # the first time is to compile
        row = dict.fromkeys(PARTS, 0.0)
        row["rest"], image = median_of(
            times, lambda pixels=pixels: find.prepare.resized((YOLO_SIDE,) * 2)(pixels)[None]
        )
        row["convolutions"], grid = median_of(times, convolve, image)
        row["rest"] += median_of(times, suppress, grid)[0]
        row["whole"] = median_of(times, lambda pixels=pixels: find(pixels).boxes)[0]
        rows.append(row)
    return rows[1:]


DETECTORS = {
    "R-CNN": (rcnn, 2014),
    "SPPnet": (sppnet, 2014),
    "Fast R-CNN": (fast_rcnn, 2015),
    "Faster R-CNN": (faster_rcnn, 2015),
    "YOLO": (yolo, 2015),
}


def draw(means: dict[str, dict[str, float]], path: Path) -> None:
    """Seconds on a logarithmic scale, and the shares of the parts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35), sharey=True)
    names = [f"{name} ({DETECTORS[name][1]})" for name in means]
    totals = [sum(row[part] for part in PARTS) for row in means.values()]
    # points, as the length of a bar has no meaning on a logarithmic scale
    left.hlines(names, min(totals) / 3, totals, color="#b0b0b0", lw=2)
    left.plot(totals, names, "o", color="#333333", ms=11)
    left.set_xscale("log")
    left.set_xlim(min(totals) / 3, max(totals) * 6)
    left.xaxis.set_major_formatter("{x:g} s")
    left.minorticks_off()
    left.grid(axis="x", color="#e6e6e6")
    left.set_axisbelow(True)
    left.tick_params(axis="x", labelsize=12)
    for y, total in enumerate(totals):
        left.text(total * 1.35, y, f"{readable(total)} s", va="center", fontsize=13, weight="bold")
    left.set_title("seconds for a photograph", fontsize=13)
    start = np.zeros(len(names))
    for part, colour in zip(PARTS, COLOURS, strict=True):
        shares = np.array([row[part] for row in means.values()]) / totals
        right.barh(names, shares, left=start, color=colour, height=0.6, label="the rest" if part == "rest" else part)
        for y, (share, x) in enumerate(zip(shares, start, strict=True)):
            if share > 0.06:
                right.text(x + share / 2, y, f"{share:.0%}", ha="center", va="center", color="white", fontsize=12)
        start += shares
    right.set(xlim=(0, 1), xticks=[])
    right.set_title("where they go", fontsize=13)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, frameon=False, fontsize=12)
    for axes in (left, right):
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(axis="y", length=0, labelsize=12)
    left.invert_yaxis()
    figure.savefig(path, dpi=150)


def readable(seconds: float) -> str:
    """Three digits of a number."""
    return f"{seconds:.1f}" if seconds >= 10 else f"{seconds:.2f}" if seconds >= 1 else f"{seconds:.3f}"


def main(out: Path, count: int) -> None:
    """Measures all detectors, one after the other, and writes the table and the picture."""
    import keras
    from skimage import data

    import inception_keras as ik

    keras.utils.set_random_seed(0)
    photographs = {name: getattr(data, name)() for name in PHOTOGRAPHS[:count]}
    proposals = {}
    for name, pixels in photographs.items():
        begun = time.perf_counter()
        boxes = ik.selective_search(pixels)
        proposals[name] = time.perf_counter() - begun, boxes
        print(f"{name}: {pixels.shape[0]} x {pixels.shape[1]}, {len(boxes)} proposals", flush=True)
    means, rows = {}, []
    for name, (measure, _) in DETECTORS.items():
        measured = measure(photographs, proposals)
        means[name] = {part: float(np.mean([row[part] for row in measured])) for part in PARTS}
        if "whole" in measured[0]:
            whole, steps = np.mean([row["whole"] for row in measured]), sum(means[name].values())
            print(f"{name}: {steps:.3f} s in steps, {whole:.3f} s by detect", flush=True)
        rows += [
            {"detector": name, "photograph": photograph} | {part: f"{row[part]:.4f}" for part in PARTS}
            for photograph, row in zip(photographs, measured, strict=True)
        ]
        keras.backend.clear_session()
    out.mkdir(parents=True, exist_ok=True)
    with (out / "detection_speed.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(means, out / "detection_speed.png")
    print("\n| detector | proposals | convolutions | regions | the rest | seconds for a photograph |")
    print("|---|---|---|---|---|---|")
    for name, row in means.items():
        cells = " | ".join(readable(row[part]) if row[part] else "" for part in PARTS)
        print(f"| {name} | {cells} | {readable(sum(row.values()))} |")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder for detection_speed.csv and detection_speed.png")
    parser.add_argument("--photographs", type=int, default=len(PHOTOGRAPHS), choices=range(1, len(PHOTOGRAPHS) + 1))
    given = parser.parse_args()
    main(given.out, given.photographs)
