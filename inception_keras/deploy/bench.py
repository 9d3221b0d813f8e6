"""Compares the speed with torchvision and timm, on the same machine in the same run.

Each library runs in its own process. The two take turns, so that a drift in the machine's speed affects both alike. All
figures are medians. Torch runs eagerly, in the faster of its two memory formats. Detectors of torch are also compiled,
and the fastest way counts.
"""

import copy
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from ..zoo import find  # import nothing that loads TensorFlow: torch's process must not have it

_TORCHVISION = {"googlenet_slim": "googlenet", "googlenet": ""}  # torchvision's is TF-Slim's, not the paper's
_TIMM = {
    **{"mobilenet_v1": "mobilenetv1_100", "xception": "legacy_xception"},
    **{f"seresnet{depth}": f"legacy_seresnet{depth}" for depth in (18, 34, 50, 101, 152)},
    **{f"seresnext{depth}_32x4d": f"legacy_seresnext{depth}_32x4d" for depth in (50, 101)},
    "senet154": "legacy_senet154",
}
LIBRARIES = ("torchvision", "timm")


@dataclass(frozen=True)
class Speed:
    """Images per second of two implementations of one net, and the peak memory of their processes."""

    model: str
    reference: str
    work: str  # "inference" or "training"
    batch: int
    size: int | str  # side of the images in pixels, or height and width such as "800x1066"
    ours: float
    theirs: float
    ratio: float  # median of the ratios of all rounds; above 1 means that ours is faster
    ours_mib: int
    theirs_mib: int


def bench(
    ids: Sequence[str],
    *,
    against: str | None = None,
    batch: int = 32,
    train_batch: int = 16,
    size: int | Sequence[int] | None = None,
    rounds: int = 5,
    threads: int | None = None,
) -> Iterator[Speed]:
    """Compares nets with their reference implementations, in inference and in training steps with SGD.

    Detectors are compared in inference only. Both implementations have the same weights, so that they find equally many
    proposals.

    Args:
        ids: Model ids.
        against: `"torchvision"` or `"timm"`; None takes torchvision's net if there is one, else timm's.
        batch: Images per batch in inference; 0 leaves inference out.
        train_batch: Images per batch in training; 0 leaves training out.
        size: Side of the images in pixels, or height and width; None takes each net's own size.
        rounds: Number of turns of each library.
        threads: Threads of each library; None takes the number of processors available to this process.

    Yields:
        A Speed for each net and each kind of work.

    Raises:
        ValueError: If neither library has a net.
        ImportError: If torch, torchvision or timm is missing; the extra `bench` installs them.

    Examples:
        >>> fast = next(bench(["squeezenet1_1"], batch=1, size=64, rounds=1))  # doctest: +SKIP
    """
    from ..checks import check_count

    check_count("rounds", rounds)
    threads = threads or len(os.sched_getaffinity(0))
    works = [(work, n) for work, n in (("inference", batch), ("training", train_batch)) if n]
    for id in ids:
        entry, (library, name) = find(id), reference(id, against)
        height, width = sides(size or entry.image)
        pixels = height if height == width else f"{height}x{width}"
        detects = entry.task == "detection"
        for work, n in works:
            if detects and work == "training":
                continue
            with ExitStack() as stack:
                weights = Path(stack.enter_context(TemporaryDirectory()), "weights.pth") if detects else None
                options = (work, n, (height, width), threads, weights)
                theirs = stack.enter_context(in_process(_torch_calls, (library, name), *options))
                ours = stack.enter_context(in_process(_keras_calls, id, *options))
                pairs = [(min(turn(ours)), min(turn(theirs))) for _ in range(rounds)]
                memory = _memory(ours), _memory(theirs)
            seconds = [statistics.median(column) for column in zip(*pairs, strict=True)]
            ratio = statistics.median(b / a for a, b in pairs)
            yield Speed(id, f"{library}:{name}", work, n, pixels, n / seconds[0], n / seconds[1], ratio, *memory)


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width, given as one side or as both."""
    from ..checks import check_count

    both = (size, size) if isinstance(size, int) else tuple(size)
    if len(both) != 2:
        raise ValueError(f"size must be a side in pixels, or height and width, got {size!r}.")
    height, width = (check_count("a side of size", side) for side in both)
    return height, width


def reference(id: str, against: str | None = None) -> tuple[str, str]:
    """The library that has a net, and the name of the net there."""
    if against not in (None, *LIBRARIES):
        raise ValueError(f"against must be {' or '.join(LIBRARIES)}, got {against!r}.")
    names = {"torchvision": _TORCHVISION.get(id, id), "timm": _TIMM.get(id, id)}
    for library in (against,) if against else LIBRARIES:
        if names[library] in known_names()[library]:
            return library, names[library]
    raise ValueError(f"Neither torchvision nor timm has {id}." if against is None else f"{against} has no {id}.")


@cache
def known_names() -> dict[str, list[str]]:
    """The names of the nets of each library.

    A separate process lists them, because some versions of the libraries crash a process that has loaded TensorFlow.
    """
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(_list_names).result()
    except ImportError as error:
        extra = "pip install 'inception_keras[bench]'"
        raise ImportError(f"bench needs torch, torchvision and timm ({error}): {extra}.") from None


def _list_names() -> dict[str, list[str]]:
    import timm
    import torchvision

    return {"torchvision": torchvision.models.list_models(), "timm": timm.list_models()}


@contextmanager
def in_process(calls: Callable, *args: object) -> Iterator[Connection]:
    """Starts a process that times calls, and yields the connection to it.

    `calls(*args)` runs in the process and returns one or more functions to time. The process answers each "go" with the
    seconds that a call of each of them takes.
    """
    context = multiprocessing.get_context("spawn")  # TensorFlow and torch do not survive a fork
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, calls, args))  # no daemon: data loaders start workers
    process.start()
    there.close()
    try:
        try:
            ready = here.recv()
        except EOFError:
            ready = RuntimeError(f"{calls.__name__}{args}: the process ended, as it does where memory runs out.")
        if isinstance(ready, Exception):
            raise ready
        yield here
    finally:
        here.close()
        process.join(10)
        process.kill()


def _serve(pipe: Connection, calls: Callable, args: tuple) -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - os.devnull is a name, not always a path
        os.dup2(nowhere.fileno(), 2)  # both libraries log to stderr; errors go through the pipe
    try:
        ways = calls(*args)
        taken = [_time(way) for way in ways]
        if min(taken) < 2:  # in longer calls, the allocations of the first one hardly count
            taken = [_time(way) for way in ways]
        ways = [way for way, seconds in zip(ways, taken, strict=True) if seconds < 1.3 * min(taken)]
        pipe.send("ready")
    except Exception as error:
        pipe.send(RuntimeError(f"{calls.__name__}{args}: {error}"))
        return
    while True:
        try:
            word = pipe.recv()
        except EOFError:
            return
        if word == "memory":
            pipe.send(_peak())
        else:
            pipe.send([_seconds(way) for way in ways])


def _seconds(call: Callable) -> float:
    """The median time of calls, over at least a second.

    The first call is left out, because the caches are cold after the other library's turn. If a call takes half a
    second or more, that does not matter, and the first call counts, too.
    """
    taken = [_time(call)]
    if taken[0] < 0.5:
        taken.clear()
    while sum(taken) < 1:
        taken.append(_time(call))
    return statistics.median(taken)


def _time(call: Callable) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def turn(worker: Connection) -> list[float]:
    """The seconds of a call, for each function that the process times."""
    worker.send("go")
    return worker.recv()


def _memory(worker: Connection) -> int:
    worker.send("memory")
    return worker.recv()


def _peak() -> int:
    """The peak memory of this process in MiB."""
    try:  # getrusage would count the parent's memory, too
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
    except (OSError, StopIteration):  # not Linux
        unit = 1024 if sys.platform == "darwin" else 1
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit // 1024


def _keras_calls(
    id: str, work: str, batch: int, size: tuple[int, int], threads: int, weights: Path | None
) -> list[Callable]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import numpy as np
    import tensorflow as tf

    from ..training.compile import compile_model
    from ..training.optimizers import SGD
    from ..zoo import create_model

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    task = find(id).task
    options: dict = {"weights": weights} if task == "detection" else {"classifier_activation": None}
    model = create_model(id, input_shape=(*size, 3), **options)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(batch, *size, 3)).astype("float32"))
    if task == "detection":
        return [lambda: model.predict_on_batch(images)]
    if task == "segmentation":
        model.compile(SGD(0.01, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        labels = tf.constant(rng.integers(0, 21, (batch, *size)))
    else:
        compile_model(model, SGD(0.01, momentum=0.9), metrics=())
        labels = tf.constant(rng.integers(0, 1000, batch))
    if work == "inference":
        return [lambda: model.predict_on_batch(images)]
    return [lambda: model.train_on_batch(images, labels)]


def _torch_calls(
    net: tuple[str, str], work: str, batch: int, size: tuple[int, int], threads: int, weights: Path | None
) -> list[Callable]:
    import timm
    import torch
    import torchvision

    torch.set_num_threads(threads)
    library, name = net
    if weights:
        return _detectors(torch, torchvision.models.get_model(name, weights_backbone=None), batch, size, weights)
    pixels = library == "torchvision" and name.startswith("fcn_")
    options: dict = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if pixels:
        options = {"weights_backbone": None, "aux_loss": False}
    build: Any = torchvision.models.get_model if library == "torchvision" else timm.create_model
    calls = []
    for layout in (torch.channels_last, torch.contiguous_format):
        model = build(name, **options).to(memory_format=layout)
        images = torch.randn(batch, 3, *size).to(memory_format=layout)
        labels = torch.randint(0, 21, (batch, *size)) if pixels else torch.randint(0, 1000, (batch,))
        if name in ("googlenet", "inception_v3"):
            model.aux_logits = False  # the nets compared have no auxiliary heads
            model.aux1 = model.aux2 = model.AuxLogits = None
        calls.append(_torch_call(torch, model, work, images, labels))
    return calls


def _torch_call(torch: ModuleType, model: Any, work: str, images: Any, labels: Any) -> Callable:
    if work == "inference":
        model.eval()

        def infer() -> None:
            with torch.inference_mode():
                model(images)

        return infer
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        outputs = model(images)
        scores = outputs["out"] if isinstance(outputs, dict) else outputs
        torch.nn.functional.cross_entropy(scores, labels).backward()
        optimizer.step()

    return step


def _detectors(torch: ModuleType, model: Any, batch: int, size: tuple[int, int], path: Path) -> list[Callable]:
    """Calls of a detector of torchvision in both memory formats, and compiled. Its weights are written to a file."""
    images = [torch.rand(3, *size) for _ in range(batch)]
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # statistics of these images, so that scores and boxes are not out of all bounds
    with torch.no_grad():
        model.backbone.train()(torch.randn(batch, 3, *size))
    torch.save(model.eval().state_dict(), path)

    def call(net: Any) -> Callable:
        def infer() -> None:
            with torch.no_grad():  # what is compiled knows no inference mode
                net(images)

        return infer

    calls = []
    for layout in (torch.channels_last, torch.contiguous_format):
        net = copy.deepcopy(model).to(memory_format=layout)
        net.transform.min_size, net.transform.max_size = (min(size),), max(size)  # the images keep their size
        calls.append(call(net))
        compiled = call(torch.compile(net))
        try:
            compiled()
        except Exception:  # there is no compiler, or it cannot compile the net
            continue
        calls.append(compiled)
    return calls
