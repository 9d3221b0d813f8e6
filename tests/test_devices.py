"""Placement on devices, with a CPU split in two. Logical devices must be made before TensorFlow starts."""

import logging

import keras
import pytest
import tensorflow as tf
from outside import python

import inception_keras as ik
from inception_keras.training.devices import evaluated
from inception_keras.training.distribute import Steps


def test_cpu_and_auto():
    for name in ("auto", "cpu", "CPU:0", "/CPU:0", "/device:CPU:0"):
        with ik.device(name):
            assert tf.constant(1.0).device.endswith("device:CPU:0")


@pytest.mark.parametrize("name", ["/GPU:0", "gpu", "cpu:1", "tpu", "", "/", None, 7])
def test_what_is_not_there_is_said_with_what_is(name):
    with pytest.raises(ValueError, match=r"There is no device .*; there are CPU:0, and 'auto'\."):
        ik.device(name)


def test_two_logical_devices(tmp_path):
    code = """
import tensorflow as tf
import inception_keras as ik
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with ik.device("cpu:1"):
    model = ik.create_model("lenet5_modern")
    assert model(tf.zeros((1, 32, 32, 1))).device.endswith("CPU:1")
assert all(weight.value.device.endswith("CPU:1") for weight in model.weights)
try:
    ik.device("cpu:2")
except ValueError as error:
    print(error)
"""
    assert python(code, tmp_path) == "There is no device 'cpu:2'; there are CPU:0, CPU:1, and 'auto'.\n"


def test_many_runs_in_one_process_do_not_warn_of_retracing():
    said, handler = [], logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    batches = tf.data.Dataset.from_tensors((tf.zeros((2, 3)), tf.zeros(2)))
    for _ in range(5):  # TensorFlow warns at the fifth
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        steps = Steps(ik.compile_model(model), ik.strategy(1), next(iter(batches)))
        steps.train(iter(batches))
        steps.metrics()
        evaluated(model, batches)
    tf.get_logger().removeHandler(handler)
    assert not said
