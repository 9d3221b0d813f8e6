"""CIFAR's Python version: pickles of every protocol are read as data, and no code in them is run."""

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from test_data import RANDOM, everything, pixels, write_tar
from test_formats import refused

from inception_keras import load_data
from inception_keras.data.pickled import read_pickle
from inception_keras.weights import torch_file


def python2(pixels: np.ndarray, labels: list[int], key: bytes = b"labels") -> bytes:
    """A batch as Python 2 pickled it, with strings for bytes and the old names of NumPy's functions."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    number = b"J" + struct.pack("<i", -1)
    dtype = b"cnumpy\ndtype\nq\x05" + text(b"u1") + b"K\0K\1\x87R(K\3" + text(b"|") + b"NNN" + number * 2 + b"K\0tb"
    shape = b"".join(b"J" + struct.pack("<i", side) for side in pixels.shape) + b"\x86"
    content = b"T" + struct.pack("<i", pixels.size) + pixels.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text(b"b") + b"\x87R(K\1" + shape
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    entries = text(b"data") + array + dtype + b"\x89" + content + b"tb" + text(key) + b"q\x06" + numbers
    return b"\x80\2}q\1(" + text(b"batch_label") + text(b"training batch 1 of 5") + entries + b"u."


def test_the_python_2_batch_is_what_python_reads():
    pixels = RANDOM.integers(0, 256, (4, 6), np.uint8)
    ours, pickles = (
        read(python2(pixels, [1, 2, 3, 4])) for read in (read_pickle, lambda x: pickle.loads(x, encoding="bytes"))
    )
    assert ours.keys() == pickles.keys() and ours[b"labels"] == [1, 2, 3, 4]
    np.testing.assert_array_equal(ours[b"data"], pixels)
    np.testing.assert_array_equal(pickles[b"data"], pixels)


def batch_files(classes: int, protocol: int | None) -> tuple[dict[str, bytes], np.ndarray]:
    def batch(count):
        images = RANDOM.integers(0, 256, (count, 3072), np.uint8)
        labels = [i % classes for i in range(count)]
        if protocol is None:
            return python2(images, labels, b"labels" if classes == 10 else b"fine_labels"), images
        key = "labels" if classes == 10 else "fine_labels"
        return pickle.dumps({"data": images, key: labels, "filenames": ["a.png"] * count}, protocol), images

    names = [f"class {i}" for i in range(classes)]
    test, images = batch(2 * classes)
    if classes == 10:
        meta = pickle.dumps({"label_names": names, "num_vis": 3072}, protocol or 2)
        files = {f"data_batch_{i}": batch(20)[0] for i in (1, 2)} | {"test_batch": test, "batches.meta": meta}
    else:
        meta = pickle.dumps({"fine_label_names": names, "coarse_label_names": names[:20]}, protocol or 2)
        files = {"train": batch(400)[0], "test": test, "meta": meta}
    return files, images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
    ("classes", "protocol"), [*((10, protocol) for protocol in (None, *range(6))), *((100, p) for p in (None, 2, 4, 5))]
)
@pytest.mark.parametrize("place", ["archive", "below"])
@pytest.mark.parametrize("batched", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_cifar_in_pythons_form(tmp_path, classes, protocol, place, batched):
    files, images = batch_files(classes, protocol)
    if place == "archive":
        write_tar(tmp_path / f"cifar-{classes}-python.tar.gz", files, "some-folder")
    else:
        folder = tmp_path / ("cifar-10-batches-py" if classes == 10 else "cifar-100-python")
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    data = load_data(None, data_dir=tmp_path)
    assert data.counts["test"] == 2 * classes and data.class_names[:2] == ("class 0", "class 1")
    assert data.counts["train"] + data.counts["validation"] == (40 if classes == 10 else 400)
    part = data.batches["test"].part
    found, labels = everything(data.test) if batched else (part.images, part.labels)
    np.testing.assert_array_equal(pixels(found) if batched else found, images)
    assert labels.tolist() == [i % classes for i in range(2 * classes)]


class _Call:
    """An object whose pickle calls `os.mkdir`."""

    def __init__(self, path):
        self._path = str(path)

    def __reduce__(self):
        return os.mkdir, (self._path,)


def test_nothing_in_a_pickle_is_run(tmp_path):
    trap = tmp_path / "trap"
    path = str(trap).encode()
    path = b"X" + struct.pack("<I", len(path)) + path
    attacks = [pickle.dumps({"data": _Call(trap)}, protocol) for protocol in range(6)]
    attacks += [
        b"(" + path + b"iposix\nmkdir\n.",  # INST
        b"(cposix\nmkdir\n" + path + b"o.",  # OBJ
        b"\x80\2cposix\nmkdir\n" + path + b"\x85\x81.",  # NEWOBJ
        b"\x80\2cposix\nmkdir\n" + path + b"\x85}\x92.",  # NEWOBJ_EX
        b"\x80\2\x82\1.",  # EXT1
        b"\x80\2P1\n.",  # PERSID
        b"\x80\2K\1Q.",  # BINPERSID
        b"\x80\5\x97.",  # NEXT_BUFFER
    ]
    (tmp_path / "cifar-10-batches-py").mkdir()
    for attack in attacks:
        (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(attack)
        refused("data_batch_1 is not a batch of CIFAR: it (asks for|has the opcode|refers to objects|is no)", tmp_path)
        assert not trap.exists()
    pickle.loads(attacks[0])  # what the others would have done
    assert trap.exists()


def test_pickles_that_would_take_for_ever(monkeypatch):
    monkeypatch.setattr("inception_keras.unpickle._MOST", 1000)
    nested = b"\x80\2)" + b"q\0h\0\x86" * 99  # a tuple of two of the same, 99 deep: its hash takes 2 ** 99 steps
    for content, sentence in [
        (nested + b"h\0\x93.", "a name that is no text"),
        (b"\x80\2Nr\xff\xff\xff\xff.", None),  # a memo of four billion places
        (b"\x80\2X\xff\xff\xff\xff.", "expected 4294967295 bytes"),
        (b"\x80\2\x8e" + b"\xff" * 7 + b"\x7f.", "bytes"),
        (b"N" * 2_000, "more than 1000 opcodes"),
    ]:
        if sentence is None:
            assert read_pickle(content) is None
        else:
            with pytest.raises(ValueError, match=sentence):
                read_pickle(content)


def test_keys_whose_hash_would_take_for_ever(tmp_path):
    nested = b")" + b"q\0h\0\x86" * 99
    for add in (
        b"}" + nested + b"K\1s.",
        b"(" + nested + b"K\1d.",
        b"\x8f(" + nested + b"\x90.",
        b"(" + nested + b"\x91.",
    ):
        assert len(read_pickle(b"\x80\4" + add)) == 1
    large = b"".join(b"\x8a\x09" + (n * (2**61 - 1)).to_bytes(9, "little") + b"N" for n in range(1, 99))
    assert len({hash(key) for key in read_pickle(b"\x80\2}(" + large + b"u.")}) > 9  # as ints, all have the hash 0
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\2}" + nested + b"K\1s.")
    with pytest.raises(ValueError, match=r"net\.pth is not a file of torch weights: it holds no tensors by name"):
        torch_file.read(tmp_path / "net.pth")


def test_wrong_batches_are_named(tmp_path):
    images = np.zeros((3, 3072), np.uint8)
    for batch, sentence in [
        ({"data": images.astype(np.int16), "labels": [1, 2, 3]}, "it asks for a dtype that is not uint8"),
        ({"data": images[:, 1:], "labels": [1, 2, 3]}, "has no data of 3072 bytes for each image"),
        ({"data": images, "labels": [1, 2]}, "has no list of 3 labels"),
        ({"data": images, "labels": [1, 2, 10]}, "has the label 10, more than 9"),
        ({"data": images, "labels": [1, 2, -1]}, "has labels that are no class"),
        ({"data": images, "labels": [1, 2, 10**4000]}, "has labels that are no class"),
        ({"data": images, "labels": [1, 2, 0.5]}, "has labels that are no class"),
        ([images], "it holds no dict"),
    ]:
        (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, 2))
        refused(sentence, tmp_path)
    whole = pickle.dumps({"data": images, "labels": [1, 2, 3]}, 2)
    for content in (b"", whole[:99], whole[:-1], whole[:-400]):
        (tmp_path / "data_batch_1").write_bytes(content)
        refused("data_batch_1 is not a batch of CIFAR: ", tmp_path)
    (tmp_path / "data_batch_1").write_bytes(whole)
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a"]}))
    refused("batches.meta has 1 names, not 10", tmp_path)
