"""Writes files as torch.save does, without torch."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict


class Named:
    """Pickles as a name in another module; the module need not exist."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class TorchPickler(pickle._Pickler):
    """Pickles like torch.save: torch's functions are stored by name, and storages are kept outside the pickle."""

    dispatch = pickle._Pickler.dispatch.copy()

    def __init__(self, file, storages, legacy):
        super().__init__(file, protocol=2)
        self.storages, self.legacy = storages, legacy

    def save_named(self, named):
        self.write(pickle.GLOBAL + f"{named.module}\n{named.name}\n".encode())

    dispatch[Named] = save_named

    def persistent_id(self, item):
        if not isinstance(item, Storage):
            return None
        self.storages[item.key] = item.array
        pid = ("storage", Named("torch", f"{item.kind}Storage"), item.key, "cpu", item.array.size)
        return (*pid, None) if self.legacy else pid

    def save_tensor(self, tensor):
        array = tensor.array
        strides = tuple(step // array.itemsize for step in array.strides) if tensor.strides is None else tensor.strides
        rebuild = Named("torch._utils", "_rebuild_tensor_v2")
        arguments = (Storage(tensor), tensor.offset, tensor.shape or array.shape, strides, False, OrderedDict())
        self.save(rebuild)
        self.save(arguments)
        self.write(pickle.REDUCE)


class Tensor:
    def __init__(self, array, kind="Float", offset=0, shape=None, strides=None):
        self.array, self.kind, self.offset, self.shape, self.strides = array, kind, offset, shape, strides


class Storage:
    def __init__(self, tensor):
        self.array, self.kind, self.key = tensor.array, tensor.kind, str(id(tensor.array))


TorchPickler.dispatch[Tensor] = TorchPickler.save_tensor


class Stranger:
    """Pickles as an object of a class in another module; the module need not exist."""

    def __init__(self, module, name):
        self.kind = Named(module, name)


def _save_stranger(pickler, stranger):
    pickler.save(stranger.kind)
    pickler.save(())
    pickler.write(pickle.REDUCE)


TorchPickler.dispatch[Stranger] = _save_stranger


def write_zip(path, entries):
    storages, buffer = {}, io.BytesIO()
    TorchPickler(buffer, storages, legacy=False).dump(entries)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/byteorder", b"little")
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())


def write_legacy(path, entries):
    storages = {}
    with path.open("wb") as file:
        for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(header, file, protocol=2)
        TorchPickler(file, storages, legacy=True).dump(entries)
        pickle.dump(list(storages), file, protocol=2)
        for array in storages.values():
            file.write(struct.pack("<q", array.size) + array.tobytes())
