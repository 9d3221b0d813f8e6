"""How a photograph becomes an input of a net, in the way that the net was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from importlib import resources
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from ..checks import check_choice, check_count, check_text, got, warn_of_old_name
from ..weights.published import find
from ..zoo import find as find_model
from .images import Inner, UnreadableImage, line, plain, read_image

Photo = str | Path | Inner | Image.Image | np.ndarray
LARGEST = 2**14  # largest side of an input, in pixels
_INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def _is_float32(value: Any, but_zero: bool) -> bool:
    """Whether a number is finite in float32, and, with `but_zero`, not zero there. Images are normalised in float32."""
    with np.errstate(over="ignore"):
        single = np.float32(float(value)) if abs(value) < 1e300 else np.float32(np.inf)
    return bool(np.isfinite(single)) and bool(single or not but_zero)


@dataclass(frozen=True)
class Preprocessing:
    """Turns photographs into inputs of a net: resizes, crops the centre, and computes `(x / scale - mean) / std`.

    The defaults map 0 ... 255 to -1 ... 1. Caffe's nets have `order="bgr"`, `mean=(104.006, 116.669, 122.679)` and
    `std=(1.0,)`; torchvision's have `scale=255.0`, `mean=(0.485, 0.456, 0.406)` and `std=(0.229, 0.224, 0.225)`.

    Args:
        size: (height, width) of the input, in pixels.
        channels: 3 for colour, 1 for grey.
        resize: Length of the shorter side before the centre is cropped, as in torchvision. None squashes the whole
            image into `size`.
        interpolation: `"bilinear"` or `"bicubic"`.
        order: `"rgb"` or `"bgr"`.
        scale: Pixels of 0 ... 255 are divided by this number.
        mean: Subtracted after that: one number, or one for each channel in `order`.
        std: The result is divided by this: one number, or one for each channel in `order`.
        antialias: Whether an image that becomes smaller is smoothed, and the result rounded to whole numbers, as Pillow
            does it. False, for bilinear interpolation, takes the nearest four pixels without rounding, as the detectors
            of torchvision and the nets of py-faster-rcnn were given their images.

    Raises:
        ValueError: If a value is not allowed.

    Examples:
        >>> from skimage import data
        >>> from inception_keras.data.preprocessing import Preprocessing
        >>> prepare = Preprocessing((224, 224), resize=256)
        >>> prepare(data.coffee()).shape
        (224, 224, 3)
        >>> Preprocessing.from_dict(prepare.to_dict()) == prepare
        True
    """

    size: tuple[int, int]
    channels: int = 3
    resize: int | None = None
    interpolation: str = "bilinear"
    order: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)
    antialias: bool = True

    def __post_init__(self) -> None:
        for name in ("size", "mean", "std"):  # lists if they come from JSON
            if not isinstance(getattr(self, name), (tuple, list)):
                raise ValueError(f"{name} must be a tuple of numbers, got {got(getattr(self, name))}.")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.size) != 2:
            raise ValueError(f"size must be (height, width), got {got(self.size)}.")
        for side in self.size:
            check_count("a side of size", side, most=LARGEST)
        check_choice("channels", self.channels, (1, 3))
        if self.resize is not None:
            check_count("resize", self.resize, least=max(self.size), most=2 * LARGEST)  # else the crop is not filled
        check_choice("interpolation", self.interpolation, tuple(_INTERPOLATION))
        check_choice("order", self.order, ("rgb", "bgr"))
        check_choice("antialias", self.antialias, (True, False))
        if not self.antialias and self.interpolation != "bilinear":
            raise ValueError(f"antialias=False is for bilinear interpolation, got {self.interpolation}.")
        for name, values in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std)):
            for value in values:
                if isinstance(value, bool) or not isinstance(value, Real) or not _is_float32(value, name != "mean"):
                    wanted = "a finite number" if name == "mean" else "a finite number other than 0"
                    raise ValueError(f"{name} must be {wanted}, in float32 too, got {got(getattr(self, name))}.")
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name} must have one number, or one for each channel, got {len(values)}.")

    def __call__(self, image: Photo) -> np.ndarray:
        """Turns one image into an input of the net.

        Args:
            image: A path, a PIL image, or a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4). A photograph is
                turned upright by its EXIF orientation. Transparent areas become white.

        Returns:
            float32 (height, width, channels).

        Raises:
            ValueError: If the image is broken or of another kind.
            FileNotFoundError: If the file does not exist.
        """
        return self.normalise(self._resize_and_crop(image).astype(np.float32))

    def resize_and_crop(self, image: Photo, window: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Resizes and crops an image: uint8 (height, width, channels), before normalisation.

        If `window`, (top, left, height, width) in the image, is given, only this part is used, and squashed into
        `size`.
        """
        return np.round(self._resize_and_crop(image, window)).astype(np.uint8)

    def _resize_and_crop(self, image: Photo, window: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """As `resize_and_crop`, but without `antialias` float32, before it is rounded."""
        picture = open_picture(image, self.channels)
        height, width = self.size
        if window is not None:
            window = window.tolist() if isinstance(window, np.ndarray) else window
            if not isinstance(window, Sequence) or len(window) != 4 or not all(isinstance(n, Real) for n in window):
                raise ValueError(f"window must be (top, left, height, width) in pixels, got {got(window)}.")
            top, left, high, wide = window
            return self._resized(picture, (width, height), (left, top, left + wide, top + high))
        if self.resize is None:
            return self._resized(picture, (width, height))
        if (middle := _middle(*picture.size)) != (0, 0, *picture.size):
            picture = picture.crop(middle)
        short = min(picture.size)
        wide, high = (self.resize * side // short for side in picture.size)
        left, top = round((wide - width) / 2), round((high - height) / 2)
        return self._resized(picture, (wide, high))[top : top + height, left : left + width]

    def _resized(
        self, picture: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
    ) -> np.ndarray:
        """A part of a picture in another size, (width, height): uint8 (h, w, c), or float32 without antialiasing."""
        if self.antialias:
            picture = picture.resize(size, _INTERPOLATION[self.interpolation], box)
            return np.asarray(picture).reshape(*size[::-1], self.channels)
        if box is not None:
            left, top, right, bottom = (round(edge) for edge in box)
            picture = picture.crop((left, top, right, bottom))
        pixels = np.asarray(picture, np.float32).reshape(*picture.size[::-1], self.channels)
        return tf.image.resize(pixels, size[::-1]).numpy()

    def pixels(self, image: Photo) -> np.ndarray:
        """An image at its own size, as the net would see it before normalisation: uint8 (h, w, channels)."""
        picture = open_picture(image, self.channels)
        return np.asarray(picture).reshape(picture.height, picture.width, self.channels)

    def fit(self, image: Photo, window: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """The old name of `resize_and_crop`."""
        warn_of_old_name("Preprocessing.fit", "Preprocessing.resize_and_crop")
        return self.resize_and_crop(image, window)

    def normalise(self, pixels: np.ndarray | tf.Tensor) -> np.ndarray | tf.Tensor:
        """Computes `(x / scale - mean) / std` in `order`. `pixels` are float32 RGB 0 ... 255, (..., w, channels)."""
        if not hasattr(pixels, "shape") or len(pixels.shape) < 2:
            raise TypeError(f"pixels must be an array or tensor (..., width, channels), got {got(pixels)}.")
        if self.order == "bgr":
            pixels = pixels[..., ::-1]
        *outer, width, channels = pixels.shape
        reshape = np.reshape if isinstance(pixels, np.ndarray) else tf.reshape
        rows = reshape(pixels, (-1, *outer[1:], width * channels))  # computing along an axis of length three is slow
        mean, std = (np.resize(np.array(values, np.float32), width * channels) for values in (self.mean, self.std))
        return reshape((rows / np.float32(self.scale) - mean) / std, (-1, *pixels.shape[1:]))

    def resized(self, size: tuple[int, int]) -> "Preprocessing":
        """The same preprocessing for another input size (height, width). The crop keeps its share of the image."""
        height_width = replace(self, size=size, resize=None).size  # checked
        resize = None if self.resize is None else round(self.resize * max(height_width) / max(self.size))
        return replace(self, size=size, resize=resize)

    def to_dict(self) -> dict[str, Any]:
        """The fields in a form that JSON can store."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Builds a Preprocessing from the result of `to_dict`, also after it was stored as JSON.

        Raises:
            ValueError: If `size` is missing, or a name is not a field.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"Preprocessing is made from a dict of its fields, got {got(values)}.")
        known = [field.name for field in fields(cls)]
        strange = [name for name in values if name not in known]
        if strange or "size" not in values:
            raise ValueError(
                f"Preprocessing needs size and may have {', '.join(known[1:])}; got {', '.join(map(str, values))}."
            )
        return cls(**values)


def preprocessing(id: str, weights: str = "imagenet") -> Preprocessing:
    """The preprocessing that a net with published weights needs.

    Args:
        id: A model id.
        weights: `"imagenet"`, or a published set such as `"torchvision"`, as in `create_model`.

    Returns:
        A Preprocessing. Its `size` is the input size of the published accuracy.

    Raises:
        ValueError: If the model does not exist, or has no such weights.

    Examples:
        >>> preprocessing("resnet50").size, preprocessing("resnet50").resize
        ((224, 224), 256)
    """
    check_text("id", id)
    check_text("weights", weights)
    find_model(id)
    return Preprocessing(**find(id, weights).preprocessing)


@cache
def class_names() -> tuple[str, ...]:
    """ImageNet's 1,000 classes, in the order of every published net's outputs.

    Examples:
        >>> from inception_keras.data.preprocessing import class_names
        >>> class_names()[0]
        'tench'
    """
    lines = resources.files("inception_keras").joinpath("assets/imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(lines.splitlines())


def open_picture(image: Photo, channels: int) -> Image.Image:
    """An image in any form that `Preprocessing` takes, upright, in RGB or (for one channel) grey.

    Raises:
        ValueError: If the image is broken or of another kind.
        FileNotFoundError: If the file does not exist.
    """
    try:
        if isinstance(image, (str, Path, Inner)):
            name = str(image)
            return read_image(image, channels)
        if isinstance(image, Image.Image):
            name = str(getattr(image, "filename", "")) or "The image"
            return _try_plain(image, channels)
        name = "The array"
        return plain(_from_array(image), channels)
    except UnreadableImage as error:
        raise ValueError(f"{name} {error}.") from None


def window_of(preprocessing: Preprocessing, height: int, width: int) -> tuple[float, float, float, float]:
    """The part of an image of this size that becomes the input: (top, left, height, width) in pixels of the image."""
    if preprocessing.resize is None:
        return 0, 0, height, width
    left, top, right, bottom = _middle(width, height)
    sides = bottom - top, right - left
    scaled = [preprocessing.resize * side // min(sides) for side in sides]
    starts = [round((side - wanted) / 2) for side, wanted in zip(scaled, preprocessing.size, strict=True)]
    scales = [side / more for side, more in zip(sides, scaled, strict=True)]
    y, x = (first + start * scale for first, start, scale in zip((top, left), starts, scales, strict=True))
    return y, x, preprocessing.size[0] * scales[0], preprocessing.size[1] * scales[1]


def _middle(width: int, height: int) -> tuple[int, int, int, int]:
    """A very long image without its ends, as (left, top, right, bottom).

    Enlarged, such an image could fill the memory, and the crop does not show its ends.
    """
    reach = 32 * min(width, height)
    if max(width, height) <= 2 * reach:
        return 0, 0, width, height
    x, y = width // 2, height // 2
    return max(0, x - reach), max(0, y - reach), min(width, x + reach), min(height, y + reach)


def _try_plain(image: Image.Image, channels: int) -> Image.Image:
    """Like `plain`, but an opened file is decoded only here, and may turn out to be broken."""
    try:
        return plain(image, channels)
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, UnreadableImage):
            raise
        raise UnreadableImage(f"cannot be read: {line(error)}") from None


def _from_array(image: Photo) -> Image.Image:
    if not isinstance(image, np.ndarray):
        raise ValueError(f"An image must be a path, a PIL image or a uint8 array, got {type(image).__name__}.")
    array = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if image.dtype != np.uint8 or not shaped or not image.size:
        wanted = "uint8 (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)"
        raise ValueError(f"An image must be {wanted}, got {image.dtype} {image.shape}.")
    return Image.fromarray(array)
