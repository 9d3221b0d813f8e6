"""Set-up for all tests: a quiet TensorFlow, and a scope in which models allocate no weights."""

import gc
import os
import signal

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # as there is a process for each core

import pytest

import inception_keras as ik


@pytest.fixture
def without_weights():
    """A scope in which models have shapes and names but no weights."""
    with ik.without_weights():
        yield


def pytest_configure() -> None:
    """Processes that a shell starts in the background ignore Ctrl-C; those that the tests start must not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# take the longest and begin first, so that all processes of `make test` end at about the same time
LONG = """pipeline transfer examples zoo strangers_weights data strangers_fit resume strangers_models strangers_predict
strangers_output wishes strangers_caffe strangers_saving segmentation torch_weights formats""".split()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first."""
    place = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


def pytest_collection_finish() -> None:
    """Takes the libraries out of the garbage collection, which searched their million objects again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
