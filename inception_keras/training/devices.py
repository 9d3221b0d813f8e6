"""Chooses the device to work on, and tells whether this process is one of several workers."""

import json
import logging
import os
from contextlib import AbstractContextManager

import keras
import tensorflow as tf


def device(name: str = "auto") -> AbstractContextManager:
    """A context in which TensorFlow places everything that is built on one device.

    Args:
        name: `"auto"` for the first GPU, or for the CPU if there is no GPU; or a device such as `"cpu"`, `"gpu:1"`,
            `"/GPU:0"`. TensorFlow then takes GPU memory as needed, not all of it at once.

    Returns:
        A context manager.

    Raises:
        ValueError: If the device does not exist. The message lists the existing devices.

    Examples:
        >>> with device("cpu"):
        ...     model = create_model("googlenet_cifar")
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            break  # TensorFlow already uses the GPUs; their memory setting can no longer be changed
    there = [one.name.removeprefix("/device:") for one in tf.config.list_logical_devices()]
    wanted = str(name).removeprefix("/").removeprefix("device:").upper()
    if wanted == "AUTO":
        wanted = "GPU:0" if "GPU:0" in there else "CPU:0"
    if ":" not in wanted:
        wanted += ":0"
    if wanted not in there:
        raise ValueError(f"There is no device {name!r}; there are {', '.join(there)}, and 'auto'.")
    return tf.device(f"/{wanted}")


def no_xla_on_cpu(model: keras.Model) -> keras.Model:
    """Turns XLA off for a compiled model if there is no GPU, and returns the model.

    On a CPU, XLA's convolutions take twice the time of oneDNN's, and compiling takes long.
    """
    if not tf.config.list_physical_devices("GPU"):
        model.jit_compile = False
    return model


def evaluated(model: keras.Model, dataset: tf.data.Dataset) -> dict[str, float]:
    """The metrics of Keras's `evaluate`.

    TensorFlow counts how often Keras makes a graph, over all models of a process, and warns of retracing at the fifth.
    That warning is not shown, as each model needs its own graph.
    """
    logger = tf.get_logger()
    logger.addFilter(_is_not_of_retracing)
    try:
        return model.evaluate(dataset, verbose=0, return_dict=True)
    finally:
        logger.removeFilter(_is_not_of_retracing)


def _is_not_of_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def in_cluster() -> bool:
    """Whether TF_CONFIG names a cluster of workers."""
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return False
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        others = sorted(set(cluster) - {"chief", "worker", "evaluator"})
        number = sum(len(cluster.get(job, ())) for job in ("chief", "worker"))
        if cluster and (others or not number or int(task["index"]) >= len(cluster[task["type"]])):
            raise ValueError("the cluster must consist of workers and at most one chief, and the task be one of them")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            'TF_CONFIG must be {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, '
            f"got {text!r} ({error})."
        ) from None
    return bool(cluster)


def worker_index(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """The index of this process among the workers, and the number of workers. The chief has index 0."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict():
        return 0, 1
    spec = resolver.cluster_spec()
    chiefs = spec.num_tasks("chief") if "chief" in spec.jobs else 0
    workers = spec.num_tasks("worker") if "worker" in spec.jobs else 0
    index = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
    return index, chiefs + workers
