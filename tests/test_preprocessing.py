"""Preprocessing of photographs: torchvision's geometry, published numbers, every image mode, clear errors."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from inception_keras import predict
from inception_keras.data.images import read_image
from inception_keras.data.preprocessing import Preprocessing, class_names, preprocessing

SQUEEZENET1_1 = preprocessing("squeezenet1_1")
TORCHVISION = {"scale": 255.0, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def by_two_steps(photo: np.ndarray, size: int, resize: int) -> np.ndarray:
    """torchvision's Resize and CenterCrop, on Pillow images."""
    image = Image.fromarray(photo)
    short, long = sorted(image.size)
    image = image.resize([resize if side == short else int(resize * long / short) for side in image.size], 2)
    left, top = round((image.width - size) / 2.0), round((image.height - size) / 2.0)
    return np.asarray(image.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("photo", [data.coffee(), data.chelsea(), data.coffee().transpose(1, 0, 2)[:333]])
@pytest.mark.parametrize("size, resize", [(227, 256), (32, 32), (299, 342)])
def test_resizes_and_crops_as_torchvision(photo, size, resize):
    prepared = Preprocessing((size, size), resize=resize).resize_and_crop(photo)
    np.testing.assert_array_equal(prepared, by_two_steps(photo, size, resize))


def test_published_conventions():
    photo = data.coffee()[:8, :8]
    pixels = photo.astype(np.float32)
    np.testing.assert_array_equal(Preprocessing((8, 8))(photo), pixels / 127.5 - 1)
    wanted = (pixels / 255 - np.float32(TORCHVISION["mean"])) / np.float32(TORCHVISION["std"])
    np.testing.assert_array_equal(Preprocessing((8, 8), **TORCHVISION)(photo), wanted)
    caffe = Preprocessing((8, 8), order="bgr", mean=SQUEEZENET1_1.mean, std=SQUEEZENET1_1.std)
    wanted = pixels[..., ::-1] - np.float32((104.006, 116.669, 122.679))
    np.testing.assert_array_equal(caffe(photo), wanted)
    ends = np.array([[0, 255]], np.uint8)
    assert Preprocessing((1, 2), channels=1)(ends).ravel().tolist() == [-1.0, 1.0]


def test_an_unknown_model_is_named_with_the_nearest():
    for word, says in (("no such thing", "there are "), ("resnet_50", "did you mean resnet50"), ("", "there are ")):
        for ask in (preprocessing, lambda id: predict(data.coffee(), model=id)):
            with pytest.raises(ValueError, match=f"^Unknown model '{word}'; {says}"):
                ask(word)
    with pytest.raises(ValueError, match=r"^There are no published ImageNet weights of lenet5 that fit it"):
        preprocessing("lenet5")


def test_squeezenet_input():
    prepared = SQUEEZENET1_1(data.chelsea())
    assert prepared.shape == (227, 227, 3) and prepared.dtype == np.float32
    crop = by_two_steps(data.chelsea(), 227, 256)
    np.testing.assert_array_equal(prepared, crop[..., ::-1] - np.float32((104.006, 116.669, 122.679)))


def test_paths_images_and_arrays_agree(tmp_path):
    photo = data.coffee()
    Image.fromarray(photo).save(tmp_path / "coffee.png")
    for source in (tmp_path / "coffee.png", str(tmp_path / "coffee.png"), Image.fromarray(photo)):
        np.testing.assert_array_equal(SQUEEZENET1_1(source), SQUEEZENET1_1(photo))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    turns = {  # how the upright photograph lies in the file
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }
    photo = data.coffee()[::4, ::4]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turns[orientation](photo))).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.png")), photo)


GREY = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
MODES = {
    "1.png": lambda: Image.fromarray(GREY).convert("1"),
    "L.png": lambda: Image.fromarray(GREY),
    "LA.png": lambda: Image.fromarray(GREY).convert("LA"),
    "P.png": lambda: Image.fromarray(GREY).convert("P"),
    "P.gif": lambda: Image.fromarray(GREY).convert("P"),
    "RGB.bmp": lambda: Image.fromarray(GREY).convert("RGB"),
    "RGBA.png": lambda: Image.fromarray(GREY).convert("RGBA"),
    "I16.png": lambda: Image.fromarray(GREY.astype(np.uint16) * 257),
    "CMYK.jpg": lambda: Image.fromarray(GREY).convert("RGB").convert("CMYK"),
    "L.jpeg": lambda: Image.fromarray(GREY),
    "RGBA.webp": lambda: Image.fromarray(GREY).convert("RGBA"),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_becomes_rgb_and_grey(tmp_path, name):
    MODES[name]().save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.mode == "RGB" and image.size == (16, 16)
    tolerance = 12 if name.endswith(("jpg", "jpeg", "webp")) else 0
    wanted = np.asarray(MODES[name]().convert("RGB")) if name[0] == "1" else np.repeat(GREY[..., None], 3, 2)
    assert np.abs(np.asarray(image).astype(int) - wanted).max() <= tolerance
    assert read_image(tmp_path / name, channels=1).mode == "L"


CUT_OUT = np.dstack([np.full((4, 5, 3), (200, 10, 30), np.uint8), np.zeros((4, 5), np.uint8)])
CUT_OUT[:2, :, 3] = 255  # the lower half is transparent, and red below


def keyed(pixels: np.ndarray) -> Image.Image:
    """A picture with a palette of two colours that look the same. The second is transparent."""
    image = Image.fromarray((pixels[..., 3] == 0).astype(np.uint8), "L").convert("P")
    image.putpalette([200, 10, 30] * 2)
    image.info["transparency"] = 1
    return image


CLEAR = {
    "RGBA.png": lambda: Image.fromarray(CUT_OUT),
    "LA.png": lambda: Image.fromarray(CUT_OUT).convert("LA"),
    "RGBA.webp": lambda: Image.fromarray(CUT_OUT),
    "P.gif": lambda: keyed(CUT_OUT),
    "P.png": lambda: Image.fromarray(CUT_OUT).quantize(8),
}


@pytest.mark.parametrize("name", CLEAR)
def test_what_is_transparent_shows_white(tmp_path, name):
    CLEAR[name]().save(tmp_path / name, **({"lossless": True, "exact": True} if name.endswith("webp") else {}))
    for channels, mode in ((3, "RGB"), (1, "L")):
        pixels = np.asarray(read_image(tmp_path / name, channels))
        assert (pixels[2:] == 255).all()
        seen = CLEAR[name]().convert("RGBA").convert(mode).crop((0, 0, 5, 2))
        np.testing.assert_array_equal(pixels[:2], np.asarray(seen))


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    picture = np.full((2, 2, 4), (0, 100, 200, 128), np.uint8)
    Image.fromarray(picture).save(tmp_path / "half.png")
    Image.new("RGB", (2, 2), (9, 9, 9)).save(tmp_path / "key.png", transparency=(9, 9, 9))
    assert np.abs(np.asarray(read_image(tmp_path / "half.png"))[0, 0].astype(int) - (127, 177, 227)).max() <= 1
    assert (np.asarray(read_image(tmp_path / "key.png")) == 255).all()
    fit = Preprocessing((2, 2)).resize_and_crop
    np.testing.assert_array_equal(fit(picture), fit(tmp_path / "half.png"))


def test_transparent_palettes_and_animations(tmp_path):
    frames = [Image.new("P", (5, 4), colour) for colour in (3, 7)]
    for frame in frames:
        frame.putpalette([channel for i in range(256) for channel in (i, 255 - i, 0)])
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "a.png", transparency=bytes(range(256)))
    assert np.asarray(read_image(tmp_path / "a.gif")).reshape(-1, 3).tolist() == [[3, 252, 0]] * 20
    assert np.asarray(read_image(tmp_path / "a.png")).reshape(-1, 3).tolist() == [[252, 255, 252]] * 20  # alpha 3


def test_a_long_strip_does_not_fill_the_memory():
    strip = np.zeros((1, 60_000, 3), np.uint8)
    strip[:, 29_900:30_100] = 255
    for lying_or_standing in (strip, strip.transpose(1, 0, 2)):
        assert (Preprocessing((224, 224), resize=256).resize_and_crop(lying_or_standing) == 255).all()


def broken_files(folder: Path) -> dict[str, str]:
    """Files that are not complete images, with the expected messages."""
    Image.fromarray(data.coffee()).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    Image.fromarray(data.coffee()[:90, :90]).save(folder / "whole.png")
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "half.png").write_bytes((folder / "whole.png").read_bytes()[:9_000])
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("not a picture")
    Image.new("RGB", (3, 3)).save(folder / "ppm.png", format="PPM")
    no_image = "is no JPEG, PNG, GIF, BMP, WebP or TIFF image"
    return {
        "half.jpg": "cannot be read: image file is truncated",
        "half.png": "cannot be read: image file is truncated",
        "empty.jpg": "is empty",
        "text.png": no_image,
        "ppm.png": no_image,
    }


def test_broken_images_are_named(tmp_path):
    for name, reason in broken_files(tmp_path).items():
        with pytest.raises(ValueError, match=reason) as caught:
            SQUEEZENET1_1(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name)) and str(caught.value).endswith(".")
    with Image.open(tmp_path / "half.jpg") as lazy, pytest.raises(ValueError, match=r"half\.jpg cannot be read"):
        SQUEEZENET1_1(lazy)
    with pytest.raises(FileNotFoundError, match=r"There is no image .*missing\.jpg"):
        SQUEEZENET1_1(tmp_path / "missing.jpg")


def test_libtiff_does_not_write_to_the_screen(tmp_path, capfd):
    Image.fromarray(data.chelsea()).save(tmp_path / "photo.tif", compression="tiff_lzw")
    content = bytearray((tmp_path / "photo.tif").read_bytes())
    content[3000:3200] = b"\xff" * 200
    (tmp_path / "broken.tif").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.tif cannot be read"):
        SQUEEZENET1_1(tmp_path / "broken.tif")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("limit", [99, 40])  # Pillow itself only warns up to twice its limit
def test_decompression_bombs_are_refused(tmp_path, monkeypatch, limit):
    Image.new("RGB", (10, 10)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match=f"bomb.png has .*more than {limit}"):
        SQUEEZENET1_1(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4), np.uint8),
        None,
        b"GIF",
    ],
)
def test_other_things_are_no_images(image):
    with pytest.raises(ValueError, match="An image must be"):
        SQUEEZENET1_1(image)
    with pytest.raises(ValueError, match="floating-point"):
        SQUEEZENET1_1(Image.new("F", (4, 4)))


settings = st.builds(
    Preprocessing,
    size=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    resize=st.none() | st.integers(64, 500),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    order=st.sampled_from(["rgb", "bgr"]),
    scale=st.sampled_from([1.0, 255.0, 127.5]),
    mean=st.tuples(*[st.floats(-200, 200)] * 3) | st.tuples(st.floats(-200, 200)),
    std=st.tuples(*[st.floats(0.01, 200)] * 3),
)


@given(settings)
def test_json_keeps_everything(prepare):
    assert Preprocessing.from_dict(json.loads(json.dumps(prepare.to_dict()))) == prepare


@given(settings, st.integers(1, 70), st.integers(1, 70))
def test_any_image_fits(prepare, height, width):
    prepared = prepare(np.full((height, width, 3), 200, np.uint8))
    assert prepared.shape == (*prepare.size, 3) and prepared.dtype == np.float32
    wanted = (200 / prepare.scale - np.array(prepare.mean)) / np.array(prepare.std)
    np.testing.assert_allclose(prepared, np.broadcast_to(wanted, prepared.shape), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (0, 3)},
        {"size": (3,)},
        {"size": 224},
        {"channels": 2},
        {"resize": 200},
        {"interpolation": "lanczos"},
        {"order": "gbr"},
        {"scale": 0.0},
        {"scale": "255"},
        {"mean": (1.0, 2.0)},
        {"std": (0.0,)},
        {"mean": (float("nan"),)},
        {"mean": 10**400},
        {"mean": (10**400,)},
        {"mean": ("0",)},
        {"std": (1e-50,)},  # 0 in float32
        {"scale": 1e39},  # infinite in float32
        {"scale": None},
        {"size": (10**6, 10**6)},
        {"size": None},
        {"resize": 10**9},
        {"channels": True},
        {"channels": 3.0},
        {"channels": [3]},
        {"interpolation": ["bilinear"]},
        {"order": None},
        {"blur": 3},
        {"antialias": "no"},
    ],
)
def test_wrong_settings_are_one_sentence(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Preprocessing.from_dict({"size": (224, 224)} | wrong)
    with pytest.raises(ValueError, match="needs size"):
        Preprocessing.from_dict({})
    for values in (None, 3, "size", [("size", (3, 3))], Preprocessing):
        with pytest.raises(ValueError, match="is made from a dict of its fields, got"):
            Preprocessing.from_dict(values)
    for size in (None, 64, (64,), ("a", "b"), (10**6, 3)):
        with pytest.raises(ValueError, match=r"size"):
            SQUEEZENET1_1.resized(size)
    for arguments, sentence in [
        ((None,), "id must be a text, got None"),
        (("vgg16", 3), "weights must be a text, got 3"),
    ]:
        with pytest.raises(TypeError, match=sentence):
            preprocessing(*arguments)


def test_without_antialias_the_nearest_four_pixels_count():
    image = np.zeros((6, 6, 3), "uint8")
    image[1:3, 1:3] = 201, 101, 51  # of every three pixels, the middle one counts
    options = {"mean": (0.0,), "std": (1.0,), "antialias": False}
    plain = Preprocessing((2, 2), **options)
    assert plain(image)[..., 0].tolist() == [[201, 0], [0, 0]]
    assert Preprocessing((2, 2))(image)[0, 0, 0] < 0.5  # smoothed
    larger = Preprocessing((9, 9), **options)(image)
    assert larger[1, 1, 0] != round(float(larger[1, 1, 0]))  # not rounded
    assert Preprocessing((9, 9), **options).resize_and_crop(image)[1, 1, 0] == round(float(larger[1, 1, 0]))
    middle = Preprocessing((2, 2), resize=3, **options)
    assert middle(np.pad(image, ((0, 0), (3, 0), (0, 0)))).shape == (2, 2, 3)
    part = plain.resize_and_crop(image, window=(0, 0, 3, 3))
    assert part.shape == (2, 2, 3) and part.dtype == np.uint8
    with pytest.raises(ValueError, match="antialias=False is for bilinear interpolation, got bicubic"):
        Preprocessing((2, 2), interpolation="bicubic", antialias=False)


def test_imagenet_classes():
    assert len(class_names()) == 1000
    assert class_names()[967] == "espresso" and class_names()[0] == "tench"
