"""Fine-tuning of the net of R-CNN or SPPnet on the regions of images: which are drawn, and a step of training."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from .transfer import transfer

POSITIVE = 0.5  # from this IoU with an object on, a region has its class
MOMENTUM, DECAY = 0.9, 5e-4
_MEMORY = 2**28  # bytes of examples that are made at once

Examples = Callable[[int, np.ndarray, np.ndarray], np.ndarray]


def labelled(overlaps: np.ndarray, low: float) -> np.ndarray:
    """What regions are in training: their class + 1, 0 for background, or -1 for neither.

    Args:
        overlaps: (k, classes): the largest IoU of each region with an object of each class.
        low: From this IoU on, a region is background.

    Examples:
        >>> labelled(np.array([[0.6, 0.7], [0.0, 0.4], [0.0, 0.0]]), low=0.1).tolist()
        [2, 0, -1]
    """
    best = overlaps.max(axis=1, initial=0)
    label = overlaps.argmax(axis=1) + 1 if overlaps.size else np.zeros(len(overlaps), int)
    return np.where(best >= POSITIVE, label, np.where(best >= low, 0, -1))


def batches(
    labels: Sequence[np.ndarray],
    examples: Examples,
    steps: int,
    positives: int,
    negatives: int,
    example_bytes: int,
    seed: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of examples, drawn evenly from the regions of all images, half of them mirrored.

    The regions of many batches are drawn at once, so that each image is read once for all of them.

    Args:
        labels: For each image what its regions are, as `labelled` gives it.
        examples: `(image, rows, mirrored) -> array`: what the net sees of these regions of an image.
        steps: Number of batches.
        positives: Regions with a class in a batch.
        negatives: Regions of background in a batch.
        example_bytes: The bytes of an example.
        seed: Of the draws.

    Yields:
        Examples (positives + negatives, ...) and their labels.

    Raises:
        ValueError: If there are no regions with a class, or none of background.
    """
    places = []
    for name, wanted in (("with a class", lambda of: of > 0), ("of background", lambda of: of == 0)):
        rows = [np.flatnonzero(wanted(of)) for of in labels]
        images = np.repeat(np.arange(len(rows)), [len(found) for found in rows])
        places.append(np.stack([images, np.concatenate([np.zeros(0, int), *rows])], axis=1))
        if not len(images):
            raise ValueError(f"The training images have no regions {name}, which fine-tuning needs.")
    rng, size = np.random.default_rng(seed), positives + negatives
    group = max(1, _MEMORY // (size * example_bytes))
    for start in range(0, steps, group):
        count = min(group, steps - start)
        drawn = [
            of[rng.integers(len(of), size=(count, n))] for of, n in zip(places, (positives, negatives), strict=True)
        ]
        regions = np.concatenate(drawn, axis=1).reshape(-1, 2)
        mirrored = rng.random(len(regions)) < 0.5
        x, y = np.zeros(0, np.float32), np.zeros(len(regions), np.int32)
        for image in map(int, np.unique(regions[:, 0])):
            here = np.flatnonzero(regions[:, 0] == image)
            chosen = regions[here, 1]
            made = examples(image, chosen, mirrored[here])
            x = x if len(x) else np.empty((len(regions), *made.shape[1:]), np.float32)
            x[here], y[here] = made, labels[image][chosen]
        for batch in range(count):
            own = slice(batch * size, (batch + 1) * size)
            yield x[own], y[own]


def with_outputs(net: keras.Model, count: int) -> keras.Model:
    """A classifier with so many outputs: the net itself, or its copy with a fresh last layer."""
    return net if net.output_shape[-1] == count else transfer(net, count, freeze=None)


def fit_batches(
    net: keras.Model,
    last: keras.layers.Layer,
    batches: Iterator[tuple[np.ndarray, np.ndarray]],
    learning_rate: float,
    drop_steps: int,
    head_rate: float,
) -> list[float]:
    """Trains a classifier as Caffe does: momentum 0.9, weight decay 0.0005, and twice the learning rate for biases.

    Args:
        net: The classifier, which gives probabilities.
        last: Its last layer with weights.
        batches: Inputs and labels.
        learning_rate: Of the first steps.
        drop_steps: After each so many steps, the learning rate is divided by 10.
        head_rate: Factor of the learning rate of the last layer.

    Returns:
        The loss of each step.

    Raises:
        ValueError: If a loss is not finite.
    """
    head = {id(variable) for variable in last.trainable_variables}
    variables = net.trainable_variables
    factors = [(head_rate if id(v) in head else 1.0) * (2.0 if v.name == "bias" else 1.0) for v in variables]
    decays = [DECAY if len(v.shape) > 1 else 0.0 for v in variables]
    optimizer = keras.optimizers.SGD(learning_rate, momentum=MOMENTUM)
    optimizer.build(variables)
    step = tf.function(
        partial(_step, net, optimizer, factors, decays),
        [tf.TensorSpec((None, *net.input_shape[1:])), tf.TensorSpec((None,), tf.int32)],
        autograph=False,
    )
    losses: list[float] = []
    for x, y in batches:
        optimizer.learning_rate = learning_rate * 0.1 ** (len(losses) // drop_steps)
        losses.append(float(step(tf.constant(x), tf.constant(y))))
        if not np.isfinite(losses[-1]):
            raise ValueError(
                f"The loss is {losses[-1]} at step {len(losses)} with the learning rate {learning_rate:g}: take a "
                "smaller one."
            )
    return losses


def _step(
    net: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    factors: Sequence[float],
    decays: Sequence[float],
    x: tf.Tensor,
    y: tf.Tensor,
) -> tf.Tensor:
    variables = net.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, net(x, training=True)))
    gradients = tape.gradient(loss, variables)
    optimizer.apply(
        [
            factor * (gradient + decay * variable)
            for gradient, variable, factor, decay in zip(gradients, variables, factors, decays, strict=True)
        ],
        variables,
    )
    return loss
