"""Reads images of every Pillow mode as upright RGB or grey images, and explains why an image cannot be read."""

import ctypes
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

SUFFIXES = {  # the formats that are read, by Pillow's names
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}
FORMATS = tuple(SUFFIXES)
EXTENSIONS = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
_READ = "JPEG, PNG, GIF, BMP, WebP or TIFF image"
_OTHERS = {  # image formats that are not read
    "a HEIC image": ".heic .heif .hif",
    "an AVIF image": ".avif",
    "a JPEG XL image": ".jxl",
    "a JPEG 2000 image": ".jp2 .j2k .jpx .jpf .j2c .jpc",
    "a JPEG XR image": ".jxr .wdp",
    "a raw photograph": ".raw .dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f .3fr .iiq",
    "a vector graphic": ".svg .svgz .eps .ai .wmf .emf",
    "a Photoshop image": ".psd .psb",
    "a DICOM image": ".dcm .dicom",
    "a FITS image": ".fits .fit",
    "a Netpbm image": ".ppm .pgm .pbm .pnm",
    "an OpenEXR image": ".exr",
    "an image in a format that is not read": ".ico .icns .cur .tga .pcx .dds .xcf .hdr .sgi .ras .xbm .xpm .apng .jif",
}
_OTHER = {suffix: kind for kind, suffixes in _OTHERS.items() for suffix in suffixes.split()}
_BRANDS = {b"avif": "an AVIF image", b"avis": "an AVIF image"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "a HEIC image"
)
_PILLOW = re.compile(r"PIL\.")  # Pillow's modules
UPRIGHT = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# libtiff writes to stderr by itself, beside the error that Pillow raises
with suppress(OSError, AttributeError):  # on some systems, Pillow's library does not show libtiff's functions
    _library = ctypes.CDLL(Image.core.__file__)
    _library.TIFFSetErrorHandler(None)
    _library.TIFFSetWarningHandler(None)


class UnreadableImage(ValueError):
    """An image that cannot be read. The message is the predicate of a sentence, such as "is empty".

    `kind` is "empty", "truncated", "too large", "not read" (an image format that is not supported) or "unreadable".
    """

    def __init__(self, text: str, kind: str = "unreadable"):
        super().__init__(text)
        self.kind = kind


class Inner(ABC):
    """An image inside a larger file. `str` gives the name that messages use for it."""

    __slots__ = ()

    @abstractmethod
    def open(self, mode: str = "rb") -> BinaryIO:
        """Opens the bytes of the image, as `Path.open` opens those of a file."""


Source = Path | Inner


def read_image(source: str | Source, channels: int = 3, remarks: list[str] | None = None) -> Image.Image:
    """Reads a file as an upright 8-bit image, RGB or (for one channel) grey; of several frames, the first.

    Raises:
        UnreadableImage: If the file has none of `FORMATS`, is broken or truncated, or has more pixels than Pillow's
            `Image.MAX_IMAGE_PIXELS`.
        FileNotFoundError: If the file does not exist.
    """
    with opened(Path(source) if isinstance(source, str) else source) as image:
        if remarks is not None:
            remarks += remarks_on(image)
        return plain(image, channels)


def check_image(source: Source, remarks: list[str] | None = None) -> tuple[str, tuple[int, int], bool]:
    """The format, the stored (width, height), and whether the image is upright and stored as RGB or grey.

    Messages for the user, such as that the image has several pages, are added to `remarks`.

    It raises the same errors as `read_image`. For a JPEG it takes a fraction of the time: it reads every byte, but
    makes few pixels.
    """
    with opened(source) as image:
        format, size = str(image.format), image.size
        simple = image.mode in ("RGB", "L") and orientation_of(image) not in UPRIGHT
        if remarks is not None:
            remarks += remarks_on(image)
        image.draft("RGB", (1, 1))
        plain(image, 3)
        return format, size, simple


def plain(image: Image.Image, channels: int) -> Image.Image:
    """An image of any mode as an upright 8-bit RGB or grey image; transparent areas become white."""
    orientation = orientation_of(image)
    if image.mode == "F":
        raise UnreadableImage("has floating-point pixels, whose range is not known; give uint8 ones")
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion clips at 255
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImage("has 32-bit pixels, whose range is not known; give uint8 ones")
        if image.format == "TIFF" and image.mode == "I" and 0 < values.max() < 256:
            raise UnreadableImage("has 32-bit pixels below 256, black where 65535 is white; give uint8 ones")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.has_transparency_data:  # the colours of transparent pixels are arbitrary, as no viewer shows them
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    if orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
        image.info = {}  # it would still hold the old orientation
    return image


def looks_like_image(path: Path) -> bool:
    """Whether a file has the extension of an image, whether or not its format is supported."""
    return path.suffix.lower() in EXTENSIONS or path.suffix.lower() in _OTHER


def unread(path: Path) -> tuple[str, str]:
    """Why a file without an image extension is not read.

    Returns:
        The image format that its content shows (empty if none), and the predicate of a sentence.
    """
    kind = ""
    if path.is_file():
        with path.open("rb") as file:
            kind = _kind(file.read(32))
    name = f"a {kind} image" if kind in FORMATS else kind
    by_content = f"is {name} by its content, but " if kind else ""
    rename = ": rename it" if kind in FORMATS else ""
    return kind, f"{by_content}is not named as one of {', '.join(EXTENSIONS)}{rename}"


def _kind(head: bytes) -> str:
    """The image format that the first bytes of a file show.

    It is one of `FORMATS`, a key of `_OTHERS`, or empty.
    """
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "")
    for kind, start in (
        ("JPEG", b"\xff\xd8\xff"),
        ("PNG", b"\x89PNG\r\n"),
        ("GIF", b"GIF8"),
        ("TIFF", b"II*\0"),
        ("TIFF", b"MM\0*"),
        ("a JPEG XL image", b"\0\0\0\x0cJXL "),
        ("a JPEG 2000 image", b"\0\0\0\x0cjP  "),
        ("a Photoshop image", b"8BPS"),
    ):
        if head.startswith(start):
            return kind
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "BMP"
    return "WEBP" if head.startswith(b"RIFF") and head[8:12] == b"WEBP" else ""


def remarks_on(image: Image.Image) -> list[str]:
    """What the user should know about how an image is read."""
    remarks = []
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO is a JPEG of a phone with a preview in it
        page = "page" if image.format == "TIFF" else "frame"
        remarks.append(f"with several {page}s, of which the first is used")
    if image.mode.startswith("I") and 0 < np.asarray(image).max() < 4096:  # from microscopes and X-ray devices
        remarks.append("with 16-bit pixels below 4096, nearly black where 65535 is white: scale them first")
    return remarks


def orientation_of(image: Image.Image) -> int | None:
    """How a stored image must be turned to be upright: a number of EXIF, which `UPRIGHT` explains; None if not told."""
    return image.getexif().get(ExifTags.Base.Orientation)


@contextmanager
def opened(source: Source) -> Iterator[Image.Image]:
    """Opens an image file. Every error while it is open becomes an `UnreadableImage` or a FileNotFoundError."""
    if isinstance(source, Path) and not source.is_file():  # opening a pipe would block
        raise FileNotFoundError(f"There is no image {source}.")
    try:
        with source.open("rb") as file:
            head = file.read(32)
            if not head:
                raise UnreadableImage("is empty", "empty")
            kind = _kind(head)
            other = _OTHER.get(source.suffix.lower() if isinstance(source, Path) else "")
            if kind not in FORMATS or kind == "TIFF":  # raw photographs begin like a TIFF file, with a preview
                other = other or (None if kind in FORMATS else kind)
                if other:
                    raise UnreadableImage(f"is {other}, which is not read: convert it to JPEG or PNG", "not read")
            file.seek(0)
            _ignore_warnings()
            with Image.open(file, formats=FORMATS) as image:
                _check_pixels(image.size)
                yield image
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        if kind == "TIFF":
            text = "is a TIFF image that is cut short, or of a kind that Pillow does not read: convert it to 8-bit RGB"
            raise UnreadableImage(text) from None
        raise UnreadableImage(f"is no {_READ}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(
            f"has more than {Image.MAX_IMAGE_PIXELS} pixels, the limit of Pillow", "too large"
        ) from None
    except Exception as error:  # decoders raise many errors: OSError, SyntaxError, struct.error, zlib.error ...
        kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise UnreadableImage(f"cannot be read: {line(error)}", kind) from None


def _ignore_warnings() -> None:
    """Silences Pillow's warnings about files that it reads anyway, and about large images, which raise an error here.

    The filters stay in place, since `warnings.catch_warnings` is not thread-safe.
    """
    for category in (UserWarning, Image.DecompressionBombWarning):
        if ("ignore", None, category, _PILLOW, 0) not in warnings.filters:
            warnings.filterwarnings("ignore", category=category, module=_PILLOW.pattern)


def _check_pixels(size: tuple[int, int]) -> None:
    limit: Any = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > limit:
        text = f"has {size[0]} x {size[1]} pixels, more than {limit}, the limit of Pillow"
        raise UnreadableImage(text, "too large")


def line(error: BaseException) -> str:
    """The message of an error on one line and without a full stop, to be used inside a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")
