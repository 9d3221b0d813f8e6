"""Times RoI pooling and RoIAlign: python tests/speed_regions.py [keras|torch] [regions ...].

Each library needs its own environment, if they are not installed together; run one after the other on an idle machine.
The maps are 38 x 50 x 512, of VGG-16 at 600 x 800 pixels. Times are milliseconds, the least of ten runs: inference, and
a step of training with the gradient. Keras runs graphs, as `predict` and `fit` do; torch runs eagerly.
"""

import sys
import time

import numpy as np


def inputs(count):
    """Maps, and regions of all sizes on an image of 600 x 800 pixels."""
    rng = np.random.default_rng(0)
    maps = np.maximum(rng.normal(size=(1, 38, 50, 512)), 0).astype("float32")
    corners = rng.uniform((0, 0), (800, 600), (1, count, 2, 2))
    return maps, np.concatenate([corners.min(2), corners.max(2)], -1).astype("float32")


def least(run):
    times = []
    for _ in range(11):  # the first one is not counted
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return 1000 * min(times[1:])


def of_keras(count):
    import tensorflow as tf

    from inception_keras.layers import RoIAlign, RoIPooling

    maps, boxes = map(tf.constant, inputs(count))
    for layer, options in ((RoIPooling(7, 1 / 16), {"training": True}), (RoIAlign(7, 1 / 16, sampling_ratio=2), {})):

        @tf.function
        def one_step_on_maps(layer=layer):  # layers know by such a name that the graph is one of Keras's own
            return layer([maps, boxes])

        @tf.function
        def one_step_on_both(layer=layer, options=options):
            with tf.GradientTape() as tape:
                tape.watch(maps)
                y = layer([maps, boxes], **options)
            return tape.gradient(y, maps)

        forward, both = (least(lambda f=f: f().numpy()) for f in (one_step_on_maps, one_step_on_both))
        yield type(layer).__name__, forward, both


def of_torch(count):
    import torch
    from torchvision import ops

    maps, boxes = inputs(count)
    x = torch.from_numpy(maps.transpose(0, 3, 1, 2).copy()).requires_grad_()
    rois = [torch.from_numpy(boxes[0])]
    for name, pool in (
        ("RoIPooling", lambda: ops.roi_pool(x, rois, 7, 1 / 16)),
        ("RoIAlign", lambda: ops.roi_align(x, rois, 7, 1 / 16, 2)),
    ):

        def forward(pool=pool):
            with torch.no_grad():
                return pool()

        yield name, least(forward), least(lambda pool=pool: pool().sum().backward())


if __name__ == "__main__":
    library, *counts = sys.argv[1:] or ["keras"]
    for count in map(int, counts or (128, 300, 2000)):
        for name, forward, both in {"keras": of_keras, "torch": of_torch}[library](count):
            print(f"{library} {name}, {count} regions: {forward:.0f} ms, with gradient {both:.0f} ms")
