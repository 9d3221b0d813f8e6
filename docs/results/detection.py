"""R-CNN and SPPnet on generated scenes: fine-tuned on regions, then SVMs and box regressions.

    python docs/results/detection.py --seed 0

The convolutions are those of `fast_rcnn_small`, and proposals are windows. R-CNN's net starts from fresh weights and is
fine-tuned on warped regions. SPPnet takes its convolutions, and fine-tunes dense layers of its own.
"""

import argparse
import time
from functools import partial

import keras
import numpy as np

import inception_keras as ik
from inception_keras.blocks import classifier, max_pool
from inception_keras.data.datasets import Data
from inception_keras.detection.rcnn_small import trunk
from inception_keras.detection.windows import sliding_windows
from inception_keras.layers import SpatialPyramidPooling2D

SIDE, LEVELS, UNITS = 48, (3, 2, 1), 256


def dense(image: keras.KerasTensor, x: keras.KerasTensor, classes: int, name: str) -> keras.Model:
    """A dense layer and a classifier with an output for background."""
    x = keras.layers.Dense(UNITS, activation="relu", name="fc_6")(x)
    x = keras.layers.Dropout(0.5, name="fc_6-dropout")(x)
    return keras.Model(image, classifier(x, classes + 1, "softmax"), name=name)


def rcnn_net(classes: int) -> keras.Model:
    """The net of R-CNN: a warped region of 48 x 48 pixels."""
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = max_pool(trunk(image), 2, strides=2, name="pool_4")  # (3, 3, 128)
    return dense(image, keras.layers.Flatten(name="flatten")(x), classes, "rcnn_scenes")


def sppnet_net(classes: int, convolutions: keras.Model) -> keras.Model:
    """The net of SPPnet: an image of any size. It gets the weights of another net's convolutions."""
    image = keras.Input((None, None, 3), name="image")
    net = dense(image, SpatialPyramidPooling2D(LEVELS, name="spp")(trunk(image)), classes, "sppnet_scenes")
    for layer in net.layers:
        if layer.name.startswith("conv_") and layer.weights:
            layer.set_weights(convolutions.get_layer(layer.name).get_weights())
    return net


def measured(detector: ik.RCNN, data: Data, count: int) -> tuple[float, float]:
    """mAP at IoU 0.5 on test scenes, and seconds for one."""
    part = data.batches["test"].part
    truth, found, begun = [], [], time.perf_counter()
    for image, boxes, classes in zip(part.images[:count], part.targets.boxes, part.targets.classes, strict=False):
        guess = detector.detect(image)
        truth.append({"boxes": boxes, "classes": classes})
        found.append({name: getattr(guess, name) for name in ("boxes", "classes", "scores")})
    seconds = (time.perf_counter() - begun) / count
    return ik.voc_average_precision(truth, found, data.class_names).mean, seconds


def main() -> None:
    """Trains and measures both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4000, help="of fine-tuning")
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--scenes", type=int, default=4000, help="that fine-tuning learns from")
    parser.add_argument("--svm-scenes", type=int, default=200, help="that SVMs and box regressions learn from")
    parser.add_argument("--test-scenes", type=int, default=500)
    given = parser.parse_args()
    keras.utils.set_random_seed(given.seed)
    load = partial(ik.load_data, "scenes", task="detection", augment="none")
    many, few = load(count=given.scenes), load(count=given.svm_scenes)
    classes, net = len(many.class_names), None
    for kind, options in ((ik.RCNN, {}), (ik.SPPnet, {"scales": (96,)})):
        begun = time.perf_counter()
        net = rcnn_net(classes) if net is None else sppnet_net(classes, net)
        detector = kind(net, propose=lambda image: sliding_windows(*image.shape[:2]), **options)
        tuning = {"learning_rate": given.learning_rate, "drop_steps": given.steps * 2 // 3, "seed": given.seed}
        losses = detector.fine_tune(many, steps=given.steps, **tuning)
        net = detector.fit(few).net
        seconds = time.perf_counter() - begun
        score, each = measured(detector, many, given.test_scenes)
        print(
            f"{kind.__name__}, seed {given.seed}: mAP {score:.4f} on {given.test_scenes} test scenes, {each:.3f} s "
            f"each; loss {np.mean(losses[-100:]):.3f}, trained in {seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
