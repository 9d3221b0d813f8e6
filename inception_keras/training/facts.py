"""What config.json records about the data of a run. A run that continues must have the same data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checks import some
from ..data.datasets import Data
from ..data.fingerprint import fingerprint
from ..data.preprocessing import Preprocessing
from .recipe import Recipe


@dataclass(frozen=True)
class Facts:
    """What is known about a run's data without the data: enough to build its model."""

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]


def facts_of(data: Data) -> dict[str, Any]:
    """The entries of config.json about the data, except the fingerprint."""
    return {
        "counts": data.counts,
        "class_names": list(data.class_names),
        "preprocessing": data.preprocessing.to_dict(),
        "skipped": [f"{path} {reason}" for path, reason in data.skipped],
    }


def prints_of(data: Data, recipe: Recipe) -> dict[str, str]:
    """The fingerprint of the data."""
    return fingerprint(data, recipe.data_dir)


def stored_facts(config: dict[str, Any]) -> Facts:
    """What a config.json says about the data."""
    prepare = Preprocessing.from_dict(config["preprocessing"])
    return Facts(tuple(config["class_names"]), (*prepare.size, prepare.channels))


def check_data(out: Path, recipe: Recipe, stored: dict, data: Data, prints: dict[str, str]) -> None:
    """Raises a ValueError unless these are the data that the run began with."""
    where = recipe.data_dir or data.name
    for name, now in (("counts", data.counts), ("class_names", list(data.class_names))):
        if name == "class_names" and name in stored and stored[name] != now and sorted(stored[name]) == sorted(now):
            raise ValueError(
                f"The run in {out} has its classes in the order {some(stored[name], 10)}, as an earlier version read "
                f"them, and now they are {some(now, 10)}: its outputs would be mixed up. Begin a new run."
            )
        if name in stored and stored[name] != now:
            hint = _by_version_0_1(stored, data)
            raise ValueError(f"The run in {out} had other data than {where}: {name} {stored[name]}, not {now}.{hint}")
    before = stored.get("data", {})
    what = {"labels": "the labels", "files": "names or sizes of files"}
    unlike = [text for name, text in what.items() if name in before and before[name] != prints.get(name, before[name])]
    if unlike:
        raise ValueError(f"The run in {out} had other data than {where}: {' and '.join(unlike)} differ.")


def _by_version_0_1(stored: dict, data: Data) -> str:
    """A hint for a run of version 0.1, which read fewer files of a folder and stored no fingerprint of its data."""
    is_more = sum(data.counts.values()) > sum(stored["counts"].values())
    if "data" in stored or not stored["recipe"].get("data_dir") or not is_more:
        return ""
    return (
        " Version 0.1 began it, which did not read images in folders below a class folder, nor TIFF and .jfif files. "
        "Move such images out of the data to go on, or begin a new run with all of them."
    )
