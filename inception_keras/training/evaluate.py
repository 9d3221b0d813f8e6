"""Measures a trained net on a test set, as its task says."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..checks import check_path, check_text, some
from ..data.datasets import Data
from ..data.fingerprint import fingerprint_of_files
from ..data.preprocessing import Preprocessing
from .folder import CONFIG, load_run
from .recipe import Recipe
from .task import Task, task_of

if TYPE_CHECKING:
    from .task import Report
    from .tasks.classification import Report as ClassificationReport

_BATCH = 64  # images in a batch, unless the recipe has fewer


def evaluate(
    folder: str | Path, *, data: str | None = None, data_dir: str | Path | None = None
) -> "ClassificationReport | Report":
    """Measures the model of a run on a test set, and writes confusion.png and classes.csv into the run's folder.

    Without `data` and `data_dir`, the run's own test set is used. Other data are tested on their test set; without one,
    on their validation set; without splits, on all images, even if there is only one. Classes are matched by name: the
    data may have fewer classes than the run, in any order. `max_unreadable` and `label` are those of the run. The
    two files are those of the latest evaluation; the title of confusion.png names its data.

    Args:
        folder: The folder of a run.
        data: A named data set; None for the run's own data.
        data_dir: A folder of data, as for `load_data`.

    Returns:
        Accuracy, macro F1, top-5 accuracy and a row for each class. A run of segmentation gives the four measures of
        pixels on images at their own size, a detector the measures of VOC and COCO, and a run of another task the
        report of that task, by default its metrics.

    Warns:
        UserWarning: If confusion.png or classes.csv cannot be written.

    Raises:
        FileNotFoundError: If the folder holds no finished run.
        ValueError: If the data have a class that the run does not have, or too many images cannot be read.

    Examples:
        >>> folder = train(Recipe(model="lenet5_modern", epochs=1), tmp_path / "run", verbose=0).folder
        >>> evaluate(folder).images
        360
    """
    folder = check_path("folder", folder)
    if data is not None:
        check_text("data", data)
    if data_dir is not None:
        data_dir = check_path("data_dir", data_dir)
    model, config = load_run(folder)
    recipe = Recipe.from_dict(config["recipe"], str(folder / CONFIG))
    task = task_of(recipe)
    return task.report(model, _test_data(task, recipe, config, data, data_dir), recipe, folder)


def _test_data(task: Task, recipe: Recipe, config: dict, data: str | None, data_dir: Path | None) -> Data:
    """The given data; without any, the run's own."""
    own = recipe.data_dir
    is_own = data_dir is None and data in (None, recipe.data)
    if data_dir and own and _same(data_dir, Path(own), config):
        own, is_own = str(data_dir), True  # the run's own data, at their present place
    if not is_own:
        return task.load_test(recipe, config, data, data_dir)
    if own and not Path(own).exists():
        raise FileNotFoundError(f"The run's data are not in {own}: say where they are now with --data-dir.")
    plain = replace(
        recipe,
        data_dir=own,
        image_size=None,  # the preprocessing has it
        batch_size=min(recipe.batch_size, _BATCH),
        augment="none",
        mixup=0.0,
        cutmix=0.0,
    )
    own_data = task.load_own(plain, Preprocessing.from_dict(config["preprocessing"]))
    if list(own_data.class_names) != config["class_names"]:
        raise ValueError(
            f"The run knows the classes {some(config['class_names'], 10)}; its data have "
            f"{some(own_data.class_names, 10)} now."
        )
    return own_data


def _same(path: Path, own: Path, config: dict) -> bool:
    """Whether a path leads to the run's own data, or to a folder with the same files."""
    if not path.exists():
        return False
    files = config.get("data", {}).get("files")
    return (own.exists() and path.samefile(own)) or (files is not None and fingerprint_of_files(path) == files)
