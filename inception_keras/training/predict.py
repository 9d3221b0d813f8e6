"""Says what nets see in photographs, as a stream, so that memory does not grow with their number."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count, islice
from multiprocessing.pool import ThreadPool
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ..checks import check_count, check_path, check_text
from ..data.images import UnreadableImage
from ..data.photographs import Photograph, Photographs, photographs
from ..data.preprocessing import Preprocessing, class_names, preprocessing
from ..files import atomic_write, write_csv
from ..zoo import create_model
from .folder import load_run
from .task import Pictures, load_task

_BATCH = 16  # larger batches are hardly faster on a CPU, and need more memory

Names = list[tuple[str, float]]


@dataclass(frozen=True)
class Answer:
    """The likeliest classes of one photograph with their probabilities, or the reason why it could not be read.

    A segmentation has the shares of pixels instead of probabilities, and pictures to save.
    """

    photo: str  # its path, or "image 3" for the fourth image of a list
    names: Names
    reason: str = ""  # the predicate of a sentence, such as "is empty"
    pictures: Pictures = field(default_factory=dict)
    foreign: bool = False  # whether it is a file in a folder, but not a photograph


class Predictions(list[Names]):
    """A list with an entry for each photograph: its likeliest classes with their probabilities, the likeliest first.

    The entry of a photograph that could not be read is empty. `photos` has the names of the photographs: paths, or
    "image 3" for the fourth of a list of arrays. `skipped` has pairs of a name and a reason: of photographs that could
    not be read, and of other files in a folder, which have no entry in the list.
    """

    def __init__(self, answers: Iterable[Answer] = ()):
        answers = list(answers)
        entries = [answer for answer in answers if not answer.foreign]
        super().__init__(answer.names for answer in entries)
        self.photos = tuple(answer.photo for answer in entries)
        self.skipped = tuple((answer.photo, answer.reason) for answer in answers if answer.reason)

    def to_csv(self, path: str | Path) -> None:
        """Writes a row for each photograph: `path`, `class_1`, `score_1` ..., and `error` if it could not be read.

        Raises:
            OSError: If the file cannot be written. An existing file then stays unchanged.
        """
        count, reasons = max(map(len, self), default=0), dict(self.skipped)
        ranks = [f"{what}_{rank}" for rank in range(1, count + 1) for what in ("class", "score")]
        rows = [
            dict(zip(["path", *ranks], [photo, *chain.from_iterable(names)], strict=False))
            | {"error": "" if names else reasons.get(photo, "")}
            for photo, names in zip(self.photos, self, strict=True)
        ]
        write_csv(path, rows, ["path", *ranks, "error"])


def predict(
    photos: Photographs, *, run: str | Path | None = None, model: str = "squeezenet1_1", top: int = 5
) -> Predictions:
    """Classifies photographs, or says which share of each photograph belongs to which class.

    Photographs are read and classified in batches, so that memory does not grow with their number. With a run of
    segmentation, they are segmented one by one at their own size; `segment` gives the masks. With a detector, the best
    objects are named; `detect` gives their boxes.

    Args:
        photos: A path, a folder (with the folders in it), a pattern such as `"photos/*.jpg"`, a PIL image, a uint8
            array (h, w, c), a batch of them (n, h, w, c), or any number of these in a list, a generator or a
            `tf.data.Dataset`.
        run: The folder of a run; None for a net with published ImageNet weights.
        model: Without a run, the id of the net. The weights of SqueezeNet 1.1 are in the package; others are
            downloaded.
        top: Number of classes to return for each photograph, at least 1.

    Returns:
        A list that has, for each photograph, its likeliest classes with their probabilities, the likeliest first. A run
        of segmentation gives the classes with the most pixels, with their shares of the photograph, and a detector the
        classes of its best detections, with their scores. The entry of a photograph that could not be read is empty;
        `.skipped` has its path and the reason. `.photos` has the paths in the order of the list.

    Raises:
        FileNotFoundError: If the run does not exist, no file matches a pattern, or none of the photographs exists.
        ValueError: If none of the photographs can be read, a folder holds no images, or an array does not hold uint8
            pixels.
        TypeError: If an object is not a photograph.

    Examples:
        >>> from skimage import data
        >>> predict(data.coffee())[0][0][0]
        'espresso'
        >>> found = predict([data.coffee(), "no/such/photo.jpg"])
        >>> found[1], found.skipped
        ([], (('no/such/photo.jpg', 'is not there'),))
    """
    # without the pictures, which keep the photographs in memory
    every = [replace(answer, pictures={}) for answer in answers(photos, run=run, model=model, top=top)]
    found = Predictions(every)
    if found.photos and all(answer.reason for answer in every):
        first = [f"{photo} {reason}" for photo, reason in found.skipped[:10]]
        more = f"; and {len(found.skipped) - 10} more" if len(found.skipped) > 10 else ""
        missing = all(reason == "is not there" for _, reason in found.skipped)
        raise (FileNotFoundError if missing else ValueError)(f"No photograph could be read: {'; '.join(first)}{more}.")
    return found


def answers(
    photos: Photographs,
    *,
    run: str | Path | None = None,
    model: str = "squeezenet1_1",
    top: int = 5,
    pictures: bool = False,
) -> Iterator[Answer]:
    """Yields the answer for each photograph as soon as it is classified.

    Arguments and errors are those of `predict`. With `pictures`, answers must have pictures, so a ValueError refuses
    runs whose task makes none.
    """
    check_count("top", top)
    check_text("model", model)
    given = photographs(photos)  # before the net, so that an error does not wait for it
    needed = "--out needs a run whose task makes pictures, such as segmentation."
    if run is None:
        if pictures:
            raise ValueError(needed)
        prepare, names = preprocessing(model), class_names()
        net = create_model(model, weights="imagenet", input_shape=(*prepare.size, 3))
        return _stream(given, prepare, net, lambda scores: likeliest(scores, names, top))
    net, config = load_run(check_path("run", run))
    task = load_task(config["recipe"].get("task", "classification"))
    prepare = Preprocessing.from_dict(config["preprocessing"])
    if (look := task.predict_image) is not None:
        return _one_by_one(given, prepare, lambda pixels: look(net, pixels, config, top))
    if pictures:
        raise ValueError(needed)
    if (name := task.predict) is None:
        raise ValueError(f"predict cannot be used with {run}: its task, {config['recipe']['task']}, has no predict.")
    return _stream(given, prepare, net, lambda output: name(output, config, top))


def save_pictures(answer: Answer, folder: Path) -> None:
    """Writes the pictures of a photograph, named after it. A number tells photographs of one name apart.

    Raises:
        OSError: If a picture cannot be written.
    """
    stem = Path(answer.photo).stem
    for name in chain([stem], (f"{stem}_{i}" for i in count(2))):
        pictures = {folder / f"{name}_{ending}": write for ending, write in answer.pictures.items()}
        if not any(path.exists() for path in pictures):
            break
    for path, write in pictures.items():
        with atomic_write(path) as part:
            write(part)


def likeliest(scores: np.ndarray, names: Sequence[str], count: int) -> Names:
    """The classes with the highest scores, the highest first."""
    return [(names[i], float(scores[i])) for i in np.argsort(-scores)[:count]]


def scores_of(net: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function that computes a net's scores for batches of any size.

    It is compiled once. Its graph frees each layer's output as early as possible.
    """
    image = tf.TensorSpec((None, *net.input_shape[1:]), tf.float32)
    # a concrete function, as TensorFlow warns if the same function is traced for a sixth net
    compiled = tf.function(lambda images: net(images, training=False)).get_concrete_function(image)
    return lambda images: compiled(tf.convert_to_tensor(images)).numpy()


def _one_by_one(
    photos: Iterable[Photograph], prepare: Preprocessing, look: Callable[[np.ndarray], tuple[Names, Pictures]]
) -> Iterator[Answer]:
    for photo in photos:
        pixels = read_photograph(photo, prepare, own_size=True)
        if isinstance(pixels, str):
            yield Answer(photo.name, [], pixels, foreign=bool(photo.foreign))
        else:
            names, pictures = look(pixels)
            yield Answer(photo.name, names, pictures=pictures)


def read_photograph(photo: Photograph, prepare: Preprocessing, own_size: bool = False) -> np.ndarray | str:
    """The pixels of a photograph, or the reason why there are none."""
    if photo.foreign:
        return photo.foreign
    try:
        return photo.pixels(prepare, own_size)
    except UnreadableImage as error:
        return str(error)


def _stream(
    photos: Iterable[Photograph], prepare: Preprocessing, net: keras.Model, name: Callable[[np.ndarray], Names]
) -> Iterator[Answer]:
    read, stream = partial(read_photograph, prepare=prepare), iter(photos)
    batches = iter(lambda: list(islice(stream, _BATCH)), [])
    first = list(islice(batches, 2))
    # a single batch is run eagerly, as tracing a graph takes longer than running it
    score = scores_of(net) if len(first) > 1 else lambda images: np.asarray(net(images, training=False))
    with ThreadPool(min(_BATCH, os.cpu_count() or 1)) as pool:
        following = None
        for batch in chain(first, batches, [None]):
            ready, following = following, batch and (batch, pool.map_async(read, batch, chunksize=1))
            if ready:
                opened = ready[1].get()
                images = [image for image in opened if not isinstance(image, str)]
                rows = iter(score(np.stack(images)) if images else ())
                for photo, image in zip(ready[0], opened, strict=True):
                    if isinstance(image, str):
                        yield Answer(photo.name, [], image, foreign=bool(photo.foreign))
                    else:
                        yield Answer(photo.name, name(next(rows)))
