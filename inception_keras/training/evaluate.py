"""What a trained net knows: figures on a test set, names for photographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix

from ..analysis.curves import plot_confusion
from ..data.named import load_data
from ..data.preprocessing import Preprocessing, class_names, preprocessing
from ..zoo import create_model
from .loop import write_csv
from .start import load_run


@dataclass(frozen=True)
class Report:
    """Figures on a test set: `classes` has precision, recall, f1 and images of each class, in the data's order."""

    accuracy: float
    images: int
    classes: tuple[dict, ...]


def evaluate(folder: str | Path, *, data: str | None = None, data_dir: str | None = None) -> Report:
    """Measures the model of a run on a test set, and adds confusion.png and classes.csv to the run's folder.

    Args:
        folder: A folder that `train` left.
        data: A named data set with the same classes; None for the run's own.
        data_dir: A folder of data with the same classes.

    Returns:
        Accuracy and a row for each class.

    Raises:
        FileNotFoundError: If the folder holds no finished run.
        ValueError: If the data have other classes.

    Examples:
        >>> folder = train(Recipe(model="lenet5_modern", epochs=1), tmp_path / "run", verbose=0).folder
        >>> evaluate(folder).images
        360
    """
    model, config = load_run(folder)
    recipe = config["recipe"]
    source = (data, data_dir) if data or data_dir else (recipe["data"], recipe["data_dir"])
    prepare = Preprocessing.from_dict(config["preprocessing"])
    given = {"data_dir": source[1], "label": recipe.get("label"), "seed": recipe["seed"], "preprocessing": prepare}
    test = load_data(source[0], augment=False, **given)
    names = config["class_names"]
    if list(test.class_names) != names:
        raise ValueError(f"The run knows the classes {names}, the data have {list(test.class_names)}.")

    truth = np.concatenate([labels for _, labels in test.test.as_numpy_iterator()])
    guess = model.predict(test.test, verbose=0).argmax(axis=1)
    labels = list(range(len(names)))
    figures: Any = classification_report(
        truth, guess, labels=labels, target_names=names, output_dict=True, zero_division=0
    )
    rows = [
        {
            "class": name,
            "precision": figures[name]["precision"],
            "recall": figures[name]["recall"],
            "f1": figures[name]["f1-score"],
            "images": int(figures[name]["support"]),
        }
        for name in names
    ]
    accuracy = float((truth == guess).mean())
    write_csv(Path(folder) / "classes.csv", rows)
    matrix = confusion_matrix(truth, guess, labels=labels)
    title = f"{model.name}, {test.name}: accuracy {accuracy:.4f} on {len(truth):,} images"
    plot_confusion(matrix, names, Path(folder) / "confusion.png", title=title)
    return Report(accuracy, len(truth), tuple(rows))


def predict(
    photos: Sequence[Any], *, run: str | Path | None = None, model: str = "squeezenet1_1", top: int = 5
) -> list[list[tuple[str, float]]]:
    """Names what is on photographs.

    Args:
        photos: Paths, PIL images or uint8 arrays (height, width, 3).
        run: A folder that `train` left; None for a net with published ImageNet weights.
        model: Without a run, the id of that net. The weights of SqueezeNet 1.1 are in the package, others are fetched.
        top: How many names for each photograph.

    Returns:
        For each photograph its likeliest classes with their probabilities, the likeliest first.

    Raises:
        FileNotFoundError: If there is no such photograph or run.
        ValueError: If a file is not an image.

    Examples:
        >>> from skimage import data
        >>> predict([data.coffee()])[0][0][0]
        'espresso'
    """
    if run is None:
        names: Sequence[str] = class_names()
        prepare = preprocessing(model)
        net = create_model(model, weights="imagenet", input_shape=(*prepare.size, 3))
    else:
        net, config = load_run(run)
        names, prepare = config["class_names"], Preprocessing.from_dict(config["preprocessing"])
    # not net.predict: a new net for each call would have TensorFlow trace a new function each time
    scores = np.asarray(net(np.stack([prepare(photo) for photo in photos]), training=False))
    best = np.argsort(-scores, axis=1)[:, :top]
    return [[(names[i], float(row[i])) for i in order] for row, order in zip(scores, best, strict=True)]
