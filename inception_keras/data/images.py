"""Pillow images of every mode as upright RGB or grey ones, and one sentence for those that cannot be read."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
_UPRIGHT = {  # by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(ValueError):
    """An image that cannot be read; the text is the predicate of a sentence, such as "is empty".

    `kind` is "empty", "truncated", "too large" or "unreadable".
    """

    def __init__(self, text: str, kind: str = "unreadable"):
        super().__init__(text)
        self.kind = kind


class Inner(ABC):
    """An image inside a larger file. Its `str` is the name that it goes by."""

    __slots__ = ()

    @abstractmethod
    def open(self, mode: str = "rb") -> BinaryIO:
        """The bytes of the image, as `Path.open` gives those of a file."""


Source = Path | Inner


def read_image(source: str | Source, channels: int = 3) -> Image.Image:
    """A file as an upright 8-bit image: RGB, or grey for one channel; of an animation the first frame.

    Raises:
        UnreadableImage: If it is none of `FORMATS`, is broken or cut short, or has more pixels than Pillow's
            `Image.MAX_IMAGE_PIXELS`.
        FileNotFoundError: If there is no such file.
    """
    with _opened(Path(source) if isinstance(source, str) else source) as image:
        return plain(image, channels)


def check_image(source: Source) -> tuple[str, tuple[int, int], bool]:
    """The format, the width and height as they are stored, and whether it is upright RGB or grey.

    Raises as `read_image` does, in a fraction of its time for a JPEG: every byte is read, few pixels are made.
    """
    with _opened(source) as image:
        format, size = str(image.format), image.size
        simple = image.mode in ("RGB", "L") and _orientation(image) not in _UPRIGHT
        image.draft("RGB", (1, 1))
        plain(image, 3)
        return format, size, simple


def plain(image: Image.Image, channels: int) -> Image.Image:
    """An image of any mode as an upright 8-bit RGB or grey one; what is transparent shows white."""
    orientation = _orientation(image)
    if image.mode == "F":
        raise UnreadableImage("has floating-point pixels, whose range is not known; give uint8 ones")
    if image.mode.startswith("I"):  # a PNG of 16 bits; Pillow's own conversion clips at 255
        image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8))
    if image.has_transparency_data:  # the colours behind it are arbitrary: nobody has ever seen them
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
        image.info = {}  # that it lies on its side would stand there still
    return image


def _orientation(image: Image.Image) -> int | None:
    return image.getexif().get(ExifTags.Base.Orientation)


@contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    if isinstance(source, Path) and not source.is_file():  # a pipe would be waited for
        raise FileNotFoundError(f"There is no image {source}.")
    try:
        with source.open("rb") as file:
            if not file.read(1):
                raise UnreadableImage("is empty", "empty")
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                _check_pixels(image.size)
                yield image
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("is no JPEG, PNG, GIF, BMP or WebP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(
            f"has more than {Image.MAX_IMAGE_PIXELS} pixels, the limit of Pillow", "too large"
        ) from None
    except Exception as error:  # decoders raise all kinds: OSError, SyntaxError, struct.error, zlib.error ...
        kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise UnreadableImage(f"cannot be read: {line(error)}", kind) from None


def _check_pixels(size: tuple[int, int]) -> None:
    limit: Any = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > limit:
        text = f"has {size[0]} x {size[1]} pixels, more than {limit}, the limit of Pillow"
        raise UnreadableImage(text, "too large")


def line(error: BaseException) -> str:
    """What an error says, on one line and without a full stop, to stand in a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")
