"""Trains for a few steps in a separate process, or in one for each of several workers, and returns the figures."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import outside

ROOT = Path(__file__).parents[1]
CASE: dict[str, Any] = {
    "devices": 1,  # a list plays the case with each number in turn
    "images": 17,  # the last of three batches has one: of two devices one has none
    "batch": 8,  # the last of three batches has 3 images
    "epochs": 2,
    "aux": True,
    "batch_norm": "synchronized",  # or "local", or None
    "soft": False,
    "class_weight": None,  # or a list with the weight of each class
    "precision": "float32",
    "dropout": 0.0,
    "ema": 0.0,
    "optimizer": "sgd",
    "rate": 0.1,
    "overflow": None,  # a step whose first image lets gradients overflow in float16
    "model": None,  # an id of the zoo instead of the small net
    "options": {},
    "boxes": False,  # a detector; the last batch but one has no objects
    "masks": None,  # the loss of a net of pixels, "mean" or "sum"; its last batch but one is void
}


def start(workers: int, command: list[str]) -> list[subprocess.Popen]:
    """Starts `python command` once for each worker of a cluster. A single worker runs without a cluster."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    started = []
    for index in range(workers):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment.pop("TF_CONFIG", None)
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        if workers > 1:
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": hosts}, "task": task})
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, text=True, **pipes))
    return started


def finish(started: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Waits for all processes and returns the exit code, stdout and stderr of each."""
    try:
        ended = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.communicate()
    return [(process.returncode, *texts) for process, texts in zip(started, ended, strict=True)]


FORKS = """
import json, os, sys
sys.path.insert(0, {folder!r})
import worker
os.environ.pop("TF_CONFIG", None)
hosts, me, processes = {hosts!r}, 0, []
while len(processes) < len(hosts) - 1:
    me += 1
    processes.append(os.fork())
    if not processes[-1]:
        break
else:
    me = 0
if len(hosts) > 1:
    os.environ["TF_CONFIG"] = json.dumps({{"cluster": {{"worker": hosts}}, "task": {{"type": "worker", "index": me}}}})
worker.main(json.loads({case!r}), f"{{me}}.json")
for process in processes if not me else ():
    assert os.waitpid(process, 0)[1] == 0
"""


def run(workers: int = 1, **case: Any) -> list[dict]:
    """Runs the workers and returns the figures of each."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    with tempfile.TemporaryDirectory() as folder:
        outside.python(FORKS.format(folder=str(Path(__file__).parent), hosts=hosts, case=json.dumps(case)), folder)
        return [json.loads((Path(folder) / f"{index}.json").read_text()) for index in range(workers)]


def free_ports(count: int) -> list[int]:
    """Ports that no process listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def play(case: dict[str, Any], strategy: Any) -> dict[str, Any]:
    """Trains for some steps and returns the losses of each step and the figures at the end."""
    import keras
    import numpy as np
    import rectangles
    import tensorflow as tf
    import tiny_detector

    from inception_keras import Recipe, Steps, compile_model, create_model, synchronize_batch_norm
    from inception_keras.training.aux_labels import with_aux_labels
    from inception_keras.training.compile import output_names
    from inception_keras.training.tasks import detection

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(case["precision"])
    classes = 10
    rng = np.random.default_rng(0)
    images = rng.standard_normal((case["images"], 32, 32, 3), "float32")
    labels = rng.integers(0, classes, case["images"])
    if case["overflow"] is not None:
        images[case["overflow"] * case["batch"]] *= 1000
    if case["masks"]:
        labels = rng.integers(0, 4, (case["images"], 32, 32), "uint8")
        labels[rng.random(labels.shape) < rng.random((case["images"], 1, 1))] = 255  # as many as may be, in each image
        labels[case["batch"] : 2 * case["batch"]] = 255
    if case["boxes"]:
        corners = rng.uniform(0, 20, (case["images"], 3, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(4, 12, corners.shape)], axis=-1).astype("float32")
        labels = rng.integers(-1, 3, boxes.shape[:2], "int32")
        labels[case["batch"] : 2 * case["batch"]] = -1
        labels = {"boxes": boxes, "classes": labels, "difficult": (labels >= 0) & (rng.random(labels.shape) < 0.2)}
    targets = np.eye(classes, dtype="float32")[labels] * 0.9 + 0.01 if case["soft"] else labels
    with strategy.scope():
        if case["boxes"]:
            model = detection.packed(tiny_detector.training_form(tiny_detector.net()))
        elif case["masks"]:
            model = rectangles.net(aux=case["aux"], kernel_regularizer="l2")
        elif case["model"]:
            model = create_model(case["model"], input_shape=(32, 32, 3), classes=classes, **case["options"])
            for layer in model.layers:  # the masks of dropout are each device's own
                if isinstance(layer, keras.layers.Dropout):
                    layer.rate = case["dropout"]
        else:
            model = small_net(case, classes)
        if case["batch_norm"] == "synchronized":
            synchronize_batch_norm(model)
        ema = {"use_ema": True, "ema_momentum": case["ema"]} if case["ema"] else {}
        optimizer = keras.optimizers.get(
            {"class_name": case["optimizer"], "config": {"learning_rate": case["rate"]} | ema}
        )
        if case["boxes"]:
            tiny_detector.TASK.compile(model, optimizer, None, SimpleNamespace(class_names=tiny_detector.NAMES))
        elif case["masks"]:
            recipe = Recipe(task_options={"loss": case["masks"]}, task="segmentation")
            rectangles.TASK.compile(model, optimizer, recipe, SimpleNamespace(class_names=rectangles.NAMES))
        else:
            compile_model(model, optimizer, metrics=("accuracy",) if case["soft"] else ("accuracy", "cross_entropy"))
        if case["soft"]:
            names = output_names(model)
            losses = {name: keras.losses.CategoricalCrossentropy() for name in names}
            weights = {name: 1.0 if name == "predictions" else 0.3 for name in names}
            one = len(names) == 1
            model.compile(
                optimizer,
                losses["predictions"] if one else losses,
                loss_weights=None if one else weights,
                metrics=["accuracy"] if one else {name: ["accuracy"] for name in names},
                jit_compile=False,
            )

    def data(shard: tuple[int, int]) -> tf.data.Dataset:
        index, count = shard

        def part(batch_images: Any, batch_labels: Any) -> Any:
            size = tf.shape(batch_images)[0]
            begin, end = size * index // count, size * (index + 1) // count
            return batch_images[begin:end], tf.nest.map_structure(lambda values: values[begin:end], batch_labels)

        batches = tf.data.Dataset.from_tensor_slices((images, targets)).batch(case["batch"])
        weights = None if case["class_weight"] is None else dict(enumerate(case["class_weight"]))
        if case["boxes"]:
            return tiny_detector.TASK.targets(batches.map(part), model, None, None)
        if case["masks"]:
            return rectangles.TASK.targets(batches.map(part), model, None, None)
        return with_aux_labels(batches.map(part), model, class_weight=weights)

    steps = Steps(model, strategy, next(iter(data((0, 1)))))
    result: dict[str, Any] = {"losses": [], "epochs": [], "chief": steps.is_chief}
    for _ in range(case["epochs"]):
        iterator = steps.distribute(data)
        steps.reset_metrics()
        for _ in range(-(-case["images"] // case["batch"])):
            result["losses"].append(steps.train(iterator))
        result["epochs"].append({"train": steps.metrics(), "shared": steps.evaluate(data)})
    result["dataset"] = steps.evaluate(data((0, 1)))
    result["any"] = steps.any(steps.worker == steps.workers - 1, False)
    result["scale"] = float(np.asarray(getattr(model.optimizer, "dynamic_scale", 1.0)))
    result["weights"] = [np.asarray(v.value).ravel()[:50].tolist() for v in model.weights]
    average = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    averages = getattr(average, "_model_variables_moving_average", None) or ()
    result["averages"] = [np.asarray(v.value).ravel()[:50].tolist() for v in averages]
    return result


def small_net(case: dict[str, Any], classes: int) -> Any:
    """A net of convolutions, batch norm and two heads that is quick to trace."""
    import keras

    from inception_keras.layers import BatchNormalization

    x = image = keras.Input((32, 32, 3))
    for width in (8, 16):
        x = keras.layers.Conv2D(width, 3, strides=2, use_bias=not case["batch_norm"], kernel_regularizer="l2")(x)
        if case["batch_norm"]:
            x = BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
        if width == 8:
            side = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if case["dropout"]:
        x = keras.layers.Dropout(case["dropout"], seed=1)(x)
    outputs = {"predictions": keras.layers.Dense(classes, activation="softmax", dtype="float32", name="predictions")(x)}
    if case["aux"]:
        outputs["aux_1"] = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="aux_1")(side)
    return keras.Model(image, outputs if case["aux"] else outputs["predictions"])


def main(case: dict[str, Any], path: str) -> None:
    """Plays a case, with each number of devices in turn if it has a list of them, and writes the figures to a file."""
    case = CASE | case
    from inception_keras import strategy

    numbers = case["devices"]
    results = [play(case, strategy(number)) for number in (numbers if isinstance(numbers, list) else [numbers])]
    Path(path).write_text(json.dumps(results if isinstance(numbers, list) else results[0]))
