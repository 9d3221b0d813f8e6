"""Trains a compiled model on several devices and machines, with the losses and gradients of a single device."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import count
from typing import Any

import keras
import tensorflow as tf

from ..checks import check_callable, check_count, check_model, check_type, got
from ..layers.normalization import weighing
from .devices import in_cluster, worker_index
from .shares import at_least_one, first

_CPU_DEVICES = 64
_LOST = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError, tf.errors.CancelledError)


class WorkerLost(RuntimeError):
    """Another worker of the run has ended, or does not respond."""


def strategy(devices: int = 1) -> tf.distribute.Strategy:
    """The strategy that spreads a run over devices. Models built in its `scope()` live on all devices.

    Call it before anything else: TensorFlow's first operation fixes its devices and its cluster.

    Args:
        devices: Number of this machine's devices to use: its first GPUs. Without GPUs, the CPU is divided into that
            many logical devices, which share its cores; this is for trying things out. With `TF_CONFIG`, it is the
            number of GPUs of each worker, or 1.

    Returns:
        TensorFlow's default strategy for one device, `MirroredStrategy` for several, `MultiWorkerMirroredStrategy` if
        the environment variable `TF_CONFIG` names a cluster of workers.

    Raises:
        ValueError: If there are not that many GPUs, or `TF_CONFIG` cannot be read.
        RuntimeError: If TensorFlow has already started, so that it is too late.

    Examples:
        >>> strategy(1).num_replicas_in_sync
        1
    """
    check_count("devices", devices)
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and devices > len(gpus):
        raise ValueError(f"There are {len(gpus)} GPUs, got devices={devices}.")
    if in_cluster():
        return _multi_worker(tuple(gpus), devices, os.environ["TF_CONFIG"])
    if devices == 1:
        return tf.distribute.get_strategy()
    if gpus:
        return _mirrored("gpu", devices)
    if devices > _CPU_DEVICES:
        raise ValueError(f"There is no GPU, and a CPU makes at most {_CPU_DEVICES} logical devices, got {devices}.")
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    except RuntimeError:  # TensorFlow has started; the devices it started with may be enough
        there = len(tf.config.list_logical_devices("CPU"))
        if there < devices:
            raise RuntimeError(
                f"TensorFlow has begun work with {there} CPU device{'s'[: there > 1]}: "
                f"call strategy({devices}) before anything else, in a new process."
            ) from None
    return _mirrored("cpu", devices)


def synchronize_batch_norm(model: keras.Model) -> keras.Model:
    """Makes every batch norm of a model take its statistics from the images of all devices.

    Otherwise each device uses only its own images. Call it before the first step. It costs three sums over all devices
    for each layer and step, and is useful if each device has few images.

    Args:
        model: A model.

    Returns:
        The same model.

    Examples:
        >>> model = synchronize_batch_norm(create_model("googlenet_cifar", batch_norm=True))
        >>> model.get_layer("inception_3a-conv_1x1-bn").synchronized
        True
    """
    check_type("model", model, keras.Model, "a Keras model")
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    return model


class Steps:
    """Trains and evaluates a compiled model on every device of a strategy.

    Each device takes its slice of a global batch. Its loss is weighted by the slice's share of the batch. So losses and
    gradients equal those of one device with the whole batch, even if the slices differ in size. The moving statistics
    of batch norm are averaged by the shares of images after each step, unless the layer is synchronized. Dropout draws
    different masks on each device.

    A loss is a mean over images. If its object has a method `count(y_true)`, it is a mean over so many other things,
    such as pixels that are not void, and the shares are those of them. All heads must have the same number.

    With several workers, all workers must call every method except `is_chief`, in the same order.

    Args:
        model: A model that was built and compiled inside `strategy.scope()`.
        strategy: From `strategy`.
        batch: A batch of the data, `(images, labels)` or `(images, labels, weights)`. Loss, metrics and optimizer are
            built from it.

    Raises:
        ValueError: If the model was built outside the scope, or its optimizer clips gradients, device by device.

    Examples:
        >>> model = compile_model(create_model("lenet5_modern"), "sgd")
        >>> data = load_data("digits", image_size=32, batch_size=64)
        >>> steps = Steps(model, strategy(1), next(iter(data.train)))
        >>> iterator = steps.distribute(lambda shard: data.train)
        >>> steps.train(iterator) > 0
        True
    """

    def __init__(self, model: keras.Model, strategy: tf.distribute.Strategy, batch: Any):
        check_model("model", model)
        check_type("strategy", strategy, tf.distribute.Strategy, "a strategy of tf.distribute")
        if not model.compiled:
            raise ValueError(f"{model.name} must be compiled: compile_model does that.")
        if not isinstance(batch, tuple) or len(batch) not in (2, 3):
            raise ValueError(f"batch must be (images, labels) or (images, labels, weights), got {got(batch)}.")
        replicas = strategy.num_replicas_in_sync
        if replicas > 1 and model.distribute_strategy is not strategy:
            raise ValueError("The model must be built and compiled within strategy.scope().")
        inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        clips = [name for name in ("clipnorm", "global_clipnorm", "clipvalue") if getattr(inner, name, None)]
        if replicas > 1 and clips:
            raise ValueError(f"An optimizer with {clips[0]} is for one device, got a strategy of {replicas}.")
        self._model, self._strategy, self._replicas = model, strategy, replicas
        self.worker, self.workers = worker_index(strategy)
        self._local = replicas // self.workers
        with strategy.scope():
            # `fit` does this build as well, but would take wrong shapes from a distributed batch
            model._symbolic_build(data_batch=batch)
        self._loss = model.metrics[0]
        loss = tf.nest.flatten(model.loss)[0]
        self._count = getattr(loss, "count", None) if isinstance(loss, keras.losses.Loss) else None
        self._seeds = [v for v in model.variables if v.path.endswith("seed_generator_state")]
        self._statistics = [
            v
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable and not layer.synchronized
            for v in (layer.moving_mean, layer.moving_variance)
        ]
        self._train = self._function(
            lambda batch: strategy.reduce("SUM", strategy.run(self._train_share, args=(batch,)), axis=None)
        )
        # no sum over the workers, as they may have different numbers of batches
        self._test = self._function(lambda batch: strategy.run(self._test_share, args=(batch,)))
        self._results = tf.function(partial(model.get_metrics_result), autograph=False)
        self._sum = tf.function(
            lambda numbers: strategy.reduce("SUM", strategy.run(tf.identity, args=(numbers,)), axis=None),
            reduce_retracing=True,
            autograph=False,
        )

    @property
    def is_chief(self) -> bool:
        """Whether this process is the worker that writes files."""
        return self.worker == 0

    def distribute(self, make_dataset: Callable[[tuple[int, int]], tf.data.Dataset]) -> Iterator:
        """An iterator for `train`.

        Args:
            make_dataset: A function that takes `(index, count)` and returns the batches of worker `index` of `count`:
                its share of each global batch, which may be empty. All workers must have the same number of batches.
        """
        check_callable("make_dataset", make_dataset, "a function from (index, count) to batches")
        return iter(make_dataset((self.worker, self.workers)))

    def train(self, iterator: Iterator) -> float:
        """Does one step with the next global batch, and returns its mean loss. Metrics accumulate, see `metrics`.

        Raises:
            StopIteration: If there is no further batch.
            WorkerLost: If another worker is gone.
        """
        return float(self._call(self._train, iterator))

    def evaluate(
        self,
        dataset: tf.data.Dataset | Callable[[tuple[int, int]], tf.data.Dataset],
        *,
        call: Callable[..., None] | None = None,
    ) -> dict[str, float]:
        """The metrics on a data set, as means over all its images on all workers.

        Args:
            dataset: Batches, of which each worker takes every `workers`-th batch; or a function as for `distribute`,
                with which workers may have different numbers of batches.
            call: A function that is called with the name of a Keras callback method, "on_test_batch_begin" or
                "on_test_batch_end", and the number of the batch.

        Returns:
            "loss", which is the minimised total, and the compiled metrics.
        """
        if isinstance(dataset, tf.data.Dataset):
            mine = dataset.shard(self.workers, self.worker) if self.workers > 1 else dataset
        else:
            mine = dataset((self.worker, self.workers))
        self.reset_metrics()
        iterator = iter(mine)
        try:
            for batch in count():
                self._call(self._test, iterator)
                if call:  # both are called here, as only now it is certain that there was a batch
                    call("on_test_batch_begin", batch)
                    call("on_test_batch_end", batch)
        except StopIteration:
            figures = self.metrics()
        self.reset_metrics()
        return figures

    def metrics(self) -> dict[str, float]:
        """The metrics since the last `reset_metrics`, over all workers."""
        with self._strategy.scope():
            figures = self._call(self._results)
        # left out: Keras's loss of each head is a mean over batches, which is wrong if their sizes differ
        heads = {metric.name for metric in getattr(self._model._compile_loss, "metrics", ())}
        return {name: float(figure) for name, figure in figures.items() if name not in heads}

    def reset_metrics(self) -> None:
        """Resets the metrics."""
        with self._strategy.scope():
            self._model.reset_metrics()

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set on any worker.

        Workers use this to agree on decisions that depend on a clock or a signal.
        """
        if self.workers == 1:
            return flags
        return tuple(bool(count > 0) for count in self._call(self._sum, tf.cast(flags, "float32")).numpy())

    def same(self, number: int) -> bool:
        """Whether all workers pass the same number, of at most 63 bits."""
        bits = [number >> i & 1 for i in range(63)]
        ones, zeros = self.any(*map(bool, bits)), self.any(*(not bit for bit in bits))
        return not any(one and zero for one, zero in zip(ones, zeros, strict=True))

    def _function(self, step: Callable) -> Callable:
        """A compiled graph of `step` on the next batch of an iterator."""
        # partials: TensorFlow counts traces by the line of code, and would warn of retracing at the fifth run
        if self._replicas == 1 and self._model.jit_compile:
            step = tf.function(partial(step), reduce_retracing=True, autograph=False, jit_compile=True)
        return tf.function(partial(_on_next, step), reduce_retracing=True, autograph=False)

    def _call(self, function: Callable, *args: Any) -> Any:
        with watched(self.workers):
            try:
                return function(*args)
            except tf.errors.OutOfRangeError:
                raise StopIteration from None

    def _train_share(self, batch: Any) -> Any:
        """The work of one device in a step; returns its part of the mean loss."""
        model = self._model
        x, y, weights, images, counted = self._slice(batch)
        self._shift_seeds(1)
        with tf.GradientTape() as tape, weighing(tf.cast(images > 0, "float32")):
            outputs = self._outputs(x, images, training=True)
            # Keras returns the mean over the device's images, divided by the number of devices
            loss = mean = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights, training=True)
            if self._replicas > 1:
                context = tf.distribute.get_replica_context()
                mine = tf.stack([tf.cast(images, "float32"), counted])
                whole = context.all_reduce("SUM", mine)
                part, share = tf.unstack(tf.math.divide_no_nan(mine, whole))
                loss = mean * self._replicas * tf.where(whole[1] > 0, share, part)  # else all is void
            scaled = model.optimizer.scale_loss(loss)
        self._shift_seeds(-1)
        self._loss.update_state(mean * self._replicas, sample_weight=counted)
        gradients = tape.gradient(scaled, model.trainable_weights)
        if self._replicas > 1:
            gradients = self._all_finite(gradients)
            if self._statistics:
                parts = [tf.convert_to_tensor(variable) * part for variable in self._statistics]
                for variable, value in zip(self._statistics, context.all_reduce("SUM", parts), strict=True):
                    variable.assign(value)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        model.compute_metrics(x, y, outputs, sample_weight=weights)
        return loss

    def _test_share(self, batch: Any) -> None:
        model = self._model
        x, y, weights, images, counted = self._slice(batch)
        outputs = self._outputs(x, images, training=False)
        mean = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights, training=False)
        self._loss.update_state(mean * self._replicas, sample_weight=counted)
        model.compute_metrics(x, y, outputs, sample_weight=weights)

    def _slice(self, batch: Any) -> tuple[Any, Any, Any, tf.Tensor, tf.Tensor]:
        """This device's slice of the worker's batch: images, labels, weights, and their number and that of the loss.

        If the slice is empty, one image of zeros is returned. Convolutions of empty batches are wrong on a CPU
        (oneDNN's have the number of input channels), and batch norm needs at least one image.
        """
        if self._local > 1:
            index = tf.distribute.get_replica_context().replica_id_in_sync_group % self._local
            with tf.device("/cpu:0"):  # so that only the slice is copied to the device
                size = tf.shape(tf.nest.flatten(batch)[0])[0]
                begin, end = size * index // self._local, size * (index + 1) // self._local
                batch = tf.nest.map_structure(lambda part: part[begin:end], batch)
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        images = tf.shape(tf.nest.flatten(x)[0])[0]
        if self._replicas > 1:
            x = tf.nest.map_structure(partial(at_least_one, images), x)
        counted = images if self._count is None else self._count(tf.nest.flatten(y)[0])
        return x, y, weights, images, tf.cast(counted, "float32")

    def _outputs(self, x: Any, images: tf.Tensor, *, training: bool) -> Any:
        outputs = self._model(x, training=training)
        return outputs if self._replicas == 1 else tf.nest.map_structure(lambda part: first(part, images), outputs)

    def _shift_seeds(self, sign: int) -> None:
        """Changes the seeds on each device while masks are drawn.

        The first device keeps the seeds of a run on one device.
        """
        if self._replicas > 1:
            index = tf.distribute.get_replica_context().replica_id_in_sync_group
            for seed in self._seeds:
                shift = tf.cast(tf.stack([sign * 1_000_003 * index, 0]), seed.dtype)
                seed.assign(tf.convert_to_tensor(seed) + shift)

    def _all_finite(self, gradients: list) -> list:
        """With loss scaling, makes all devices skip a step if the gradients of one device overflow."""
        if not isinstance(self._model.optimizer, keras.optimizers.LossScaleOptimizer):
            return gradients
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None])
        bad = tf.distribute.get_replica_context().all_reduce("SUM", tf.cast(~finite, "float32"))
        first = next(i for i, g in enumerate(gradients) if g is not None)
        poison = tf.where(bad > 0, tf.constant(float("nan")), tf.constant(0.0))
        return [*gradients[:first], gradients[first] + tf.cast(poison, gradients[first].dtype), *gradients[first + 1 :]]


@cache  # one for all runs of a process, such as both stages of a fine-tuning: two would confuse their collective ops
def _mirrored(kind: str, devices: int) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy([f"/{kind}:{i}" for i in range(devices)])


@cache  # TensorFlow allows one in a process
def _multi_worker(gpus: tuple, devices: int, cluster: str) -> tf.distribute.Strategy:
    if not gpus and devices > 1:
        raise ValueError(f"A worker without GPUs has one device, got devices={devices}.")
    try:
        tf.config.set_visible_devices(list(gpus[:devices]), "GPU")
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise RuntimeError(
            "TensorFlow has begun work: with TF_CONFIG, call strategy() before anything else, in a new process "
            f"({_reason(error)})."
        ) from error


@contextmanager
def watched(workers: int) -> Iterator[None]:
    """A context that turns TensorFlow's errors about a worker that ended or does not respond into `WorkerLost`."""
    try:
        yield
    except _LOST as error:
        if workers == 1:
            raise
        raise WorkerLost(
            f"Another of the {workers} workers ended or does not answer, so that this one ends too ({_reason(error)})."
        ) from error


def _on_next(step: Callable, iterator: tf.data.Iterator) -> Any:
    return step(iterator.get_next())


def _reason(error: Exception) -> str:
    """TensorFlow's message without the node and the call in which the error occurred."""
    text = str(getattr(error, "message", error)).partition("The error could be from")[0]
    text = text.partition("Additional GRPC error")[0].rpartition("Collective ops is aborted by:")[2]
    return " ".join(text.split()).rstrip(". ")
