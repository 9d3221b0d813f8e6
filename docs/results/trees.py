"""Faster R-CNN on aerial photographs: trees, measured on a photograph that the net has never seen.

    pip download --no-deps deepforest==2.1.0
    python docs/results/trees.py deepforest-2.1.0-py3-none-any.whl runs/trees

The wheel of DeepForest (Weinstein et al., MIT licence) holds four photographs of the National Ecological Observatory
Network with 951 trees; it is read as a file, and never installed. Three of them, with 672 trees, are cut into tiles and
trained on; the fourth, with 279 trees, is the test. The net has the first layers of SqueezeNet 1.1, with its weights of
ImageNet, and anchors that `anchor_report` chooses. The last lines are the results.
"""

import argparse
import csv
import io
import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

TRAIN = ("2019_YELL_2_528000_4978000_image_crop2", "OSBS_029", "SOAP_061")
TEST = "2019_YELL_2_541000_4977000_image_crop"
TILE, OVERLAP = 160, 40  # pixels of a photograph
SCALE = 2  # the net sees photographs twice as large, as most trees have only 20 to 60 pixels
STRIDE, FILTERS, UNITS = 8, 128, 256
ANCHORS = {  # scales, times 16 pixels, and ratios
    "as released": ((8, 16, 32), (0.5, 1, 2)),
    "a quarter": ((2, 4, 8), (0.5, 1, 2)),
    "four sizes": ((2, 3.5, 5, 7), (0.5, 1, 2)),
    "nearly square": ((2, 3.5, 5, 7), (0.7, 1, 1.4)),
}
SHOWN = 0.5  # the lowest score of a tree that is drawn


def unpack(wheel: Path, folder: Path) -> None:
    """Writes the photographs and their boxes, with all trees in one class, also those that are called alive or dead."""
    with zipfile.ZipFile(wheel) as file:
        for name in (*TRAIN, TEST):
            split = folder / ("test" if name == TEST else "train")
            split.mkdir(parents=True, exist_ok=True)
            text = file.read(f"deepforest/data/{name}.xml").decode()
            for old, new in (("Alive<", "Tree<"), ("Dead<", "Tree<"), (f"{name}.tif", f"{name}.png")):
                text = text.replace(old, new)
            (split / f"{name}.xml").write_text(text)
            picture = Image.open(io.BytesIO(file.read(f"deepforest/data/{name}.png")))
            picture.convert("RGB").save(split / f"{name}.png")


def anchors_of(scales: tuple, ratios: tuple) -> np.ndarray:
    """The anchors of the first position of the map, as `faster_rcnn` makes them."""
    from inception_keras.detection.anchors import rcnn_anchors

    return rcnn_anchors(16, ratios, scales) + (STRIDE - 16) / 2


def choose(data) -> tuple[tuple, tuple]:
    """The scales and ratios that fit the trees best, by the mean of each tree's best IoU."""
    import inception_keras as ik

    found = {}
    for name, (scales, ratios) in ANCHORS.items():
        report = ik.anchor_report(data.split("train"), anchors_of(scales, ratios), STRIDE)
        found[name] = report.rows[-1]
        print(f"anchors {name}: scales {scales}, ratios {ratios}")
        print(report)
    best = max(found, key=lambda name: found[name].mean_iou)
    print(f"chosen: {best}, mean best IoU {found[best].mean_iou:.3f}")
    return ANCHORS[best]


def train(data, scales: tuple, ratios: tuple, epochs: int, rate: float):
    """Trains the net, the RPN and the head jointly, and gives it."""
    import keras

    import inception_keras as ik
    from inception_keras.detection.region_forms import training_form
    from inception_keras.training.tasks import detection

    trunk = ik.create_model("squeezenet1_1", include_top=False, input_shape=(None, None, 3), weights="imagenet")
    options = {"stride": STRIDE, "filters": FILTERS, "units": UNITS, "proposals": 1000, "min_size": 8}
    net = ik.faster_rcnn(trunk, scales=scales, ratios=ratios, classes=len(data.class_names), **options)
    # the 100 detections of the paper are too few for a photograph of 279 trees
    net.get_layer("detections").most = 500
    form = detection.packed(training_form(net, proposals={"before": 2000, "after": 500}))
    steps = len(data.epoch(0))
    falling = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * steps - steps // 2, warmup_target=rate, warmup_steps=steps // 2
    )
    optimizer = keras.optimizers.Adam(falling, global_clipnorm=5.0)
    recipe = ik.Recipe(model="faster_rcnn", task="detection")  # the functions of the task take one
    form = detection.compile(form, optimizer, recipe, data)
    batches = detection.targets(data.epochs(), form, recipe, data)
    begun = time.perf_counter()

    def report(epoch: int, logs: dict) -> None:
        terms = ", ".join(f"{name} {logs[f'{name}_mean']:.3f}" for name in ("rpn_class", "rpn_box", "class", "box"))
        print(f"epoch {epoch + 1}: loss {logs['loss']:.3f} ({terms}), {time.perf_counter() - begun:.0f} s", flush=True)

    told = keras.callbacks.LambdaCallback(on_epoch_end=report)
    form.fit(batches, epochs=epochs, steps_per_epoch=steps, callbacks=[told], shuffle=False, verbose=0)
    return net


def matched(boxes: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which detections, the best first, are hits at an IoU above 0.5, and which trees were hit."""
    from inception_keras.detection.boxes import iou

    hits, hit = np.zeros(len(boxes), bool), np.zeros(len(truth), bool)
    overlaps = iou(boxes, truth).numpy()
    for index, row in enumerate(overlaps):
        best = row.argmax()
        if row[best] > 0.5 and not hit[best]:
            hits[index] = hit[best] = True
    return hits, hit


def draw(pixels: np.ndarray, boxes: np.ndarray, truth: np.ndarray, path: Path) -> None:
    """The photograph with hits in green, false detections in red, and missed trees in dashed yellow."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    hits, hit = matched(boxes, truth)
    height, width = pixels.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100 + 0.4), dpi=100)
    axes = figure.add_axes((0, 0, 1, height / (height + 40)))
    axes.imshow(pixels)
    axes.axis("off")
    kinds = (("found", boxes[hits], "#7fff3a", "-"), ("false", boxes[~hits], "#ff4040", "-"))
    for label, some, colour, style in (*kinds, ("missed", truth[~hit], "#ffe119", "--")):
        for x1, y1, x2, y2 in some:
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, ls=style, lw=1.3))
        axes.plot([], [], color=colour, ls=style, lw=3, label=f"{label}: {len(some)}")
    figure.legend(*axes.get_legend_handles_labels(), loc="upper center", ncols=3, frameon=False, fontsize=14)
    figure.savefig(path, dpi=100, pil_kwargs={"quality": 88})


def main(wheel: Path, out: Path, epochs: int, batch: int, rate: float) -> None:
    """Makes the tiles, trains, measures and draws."""
    import keras

    import inception_keras as ik
    from inception_keras.training.detect import finder
    from inception_keras.training.tasks.detection import pairs

    keras.utils.set_random_seed(0)
    photographs, tiles = out / "photographs", out / "tiles"
    if not tiles.exists():
        unpack(wheel, photographs)
        print(ik.cut_tiles(photographs, tiles, size=TILE, overlap=OVERLAP))
    side = TILE * SCALE
    prepare = replace(ik.preprocessing("squeezenet1_1"), size=(side, side), resize=None)
    data = ik.load_data(data_dir=tiles, task="detection", preprocessing=prepare, batch_size=batch, validation=0.05)
    print(f"{data.counts} tiles")
    scales, ratios = choose(data)
    net = train(data, scales, ratios, epochs, rate)
    net.save(out / "trees.keras")

    whole = ik.load_data(data_dir=photographs, task="detection", preprocessing=prepare, own_size=True)
    ((pixels, objects),) = pairs(whole, "test")
    find = finder(net, prepare, data.class_names, SCALE * min(pixels.shape[:2]), SCALE * max(pixels.shape[:2]))
    begun = time.perf_counter()
    found = find(pixels)
    print(f"the photograph took {time.perf_counter() - begun:.1f} s, with compiling")
    guess = [{"boxes": found.boxes, "classes": found.classes, "scores": found.scores}]
    all_points, eleven = (
        ik.voc_average_precision([objects], guess, data.class_names, points=points) for points in ("all", "11")
    )
    sure = found.boxes[found.scores >= SHOWN]
    hits, hit = matched(sure, objects["boxes"])
    measures = {
        "map_50": all_points.mean,
        "map_50_11": eleven.mean,
        "recall": all_points.classes[0]["recall"],
        "precision_at_05": float(hits.mean()) if len(hits) else 0.0,
        "recall_at_05": float(hit.mean()),
    }
    with (out / "measures.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("measure", "value"), *((name, f"{v:.4f}") for name, v in measures.items())])
    draw(pixels, sure, objects["boxes"], out / "trees.jpg")
    print(f"{TEST}: {len(objects['boxes'])} trees, " + ", ".join(f"{name} {v:.4f}" for name, v in measures.items()))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="deepforest-2.1.0-py3-none-any.whl")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    given = parser.parse_args()
    main(given.wheel, given.out, given.epochs, given.batch_size, given.learning_rate)
