"""Nets of each family of segmentation learn eight scenes by heart."""

import keras
import numpy as np
import pytest

import inception_keras as ik
from inception_keras.data.scenes import scenes
from inception_keras.training.pixels import PixelCrossEntropy, confusion, figures

# The finest net of each family. Bilinear interpolation by 8 allows a mean IoU of 0.993 on scenes of 256 pixels, 0.988
# at 192 and 0.976 at 128, and nets of stride 32 could not reach 0.98 at any of these sizes.
FAMILIES = {
    "fcn_small8s": ({}, 256, 3e-3),
    "fcn_googlenet8s": ({"batch_norm": True}, 256, 3e-3),
}
STEPS, CHECK = 400, 20  # most steps; steps between two looks at the mean IoU


@pytest.mark.slow
@pytest.mark.parametrize("id", FAMILIES)
def test_a_net_learns_eight_scenes_by_heart(id, capsys):
    options, size, rate = FAMILIES[id]
    made = scenes(8, size=size)
    images, masks = ik.Preprocessing((size, size)).normalise(made.images.astype(np.float32)), made.masks
    keras.utils.set_random_seed(0)
    model = ik.create_model(id, input_shape=(size, size, 3), classes=len(made.class_names), **options)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # the statistics of the few steps so far
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    net = ik.strip_aux(model)
    heads = masks if net is model else dict.fromkeys(model.output, masks)
    losses = PixelCrossEntropy() if net is model else {name: PixelCrossEntropy() for name in heads}
    falling = keras.optimizers.schedules.CosineDecay(rate, STEPS)
    model.compile(keras.optimizers.Adam(falling, global_clipnorm=1.0), losses, jit_compile=False)
    reached = 0.0
    for step in range(CHECK, STEPS + 1, CHECK):
        for _ in range(CHECK):
            model.train_on_batch(images, heads)
        guess = np.concatenate([net(images[i : i + 2], training=False).numpy().argmax(-1) for i in range(0, 8, 2)])
        reached = float(figures(confusion(masks, guess, len(made.class_names)))["mean_iou"])
        with capsys.disabled():
            print(f"\n{id}: mean IoU {reached:.4f} after {step} steps", end="")
        if reached >= 0.98:
            break
    assert reached >= 0.98
