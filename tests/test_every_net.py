"""Every net at its smallest input: it runs, and every weight is trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_keras import create_model, list_models, without_weights
from inception_keras.zoo import ZOO

FAST = ("lenet5", "resnet20_cifar", "squeezenet1_1")
IDS = [id if id in FAST else pytest.param(id, marks=pytest.mark.slow) for id in list_models()]


@pytest.mark.parametrize("id", IDS)
def test_runs_and_learns(id):
    keras.utils.set_random_seed(0)
    with without_weights():
        channels = create_model(id).input_shape[-1]
    options = {
        "input_shape": (ZOO[id].min_size, ZOO[id].min_size, channels),
        "classes": 5,
        "classifier_activation": None,
    }
    model = create_model(id, **options)
    # a batch norm over two pixels says but which is larger, and a hundred of them make gradients that overflow
    image = keras.random.normal((8, *options["input_shape"]), seed=1)

    @tf.function  # what works eagerly may fail in a graph, and much is fused there
    def learn():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(image, training=True) ** 2)
        return tape.gradient(loss, model.trainable_variables)

    gradients = learn()
    without = [v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if g is None]
    assert without == []
    assert all(np.isfinite(g).all() for g in gradients)

    assert np.isfinite(model(image)).all()
