"""Heat maps: where the mass of a class lies, pictures of every size, own nets and runs, the command, errors."""

import keras
import numpy as np
import pytest
from outside import here
from PIL import Image
from runs import TINY
from skimage import data

import inception_keras as ik
from inception_keras.training.heatmap import Heatmap, _larger, _spread

CAT = (slice(0, 300), slice(20, 395))  # drawn by hand around the cat of `data.chelsea()`, 83 % of the picture


@pytest.fixture(scope="module")
def net():
    return ik.convolutionalize(ik.create_model("squeezenet1_1", weights="imagenet", input_shape=(227, 227, 3)))


def test_the_cat_is_on_the_cat(net):
    cat = ik.heatmap(net, data.chelsea())
    assert cat.names[0] == "Egyptian cat" and cat.classes[0] == 285 and len(cat.names) == 3
    assert list(cat.scores) == sorted(cat.scores, reverse=True)
    heat = cat.maps[0]
    assert heat.dtype == np.float32 and heat.shape == (300, 451) and 0 <= heat.min() and heat.max() <= 1
    assert heat[CAT].sum() > 0.9 * heat.sum()
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 180 < row < 260 and 180 < column < 300  # between nose and mouth
    np.testing.assert_array_equal(cat.picture, data.chelsea())


def test_each_of_two_pictures_side_by_side_has_its_own_class(net):
    cup = np.asarray(Image.fromarray(data.coffee()).resize((451, 300)))
    both = ik.heatmap(net, np.concatenate([cup, data.chelsea()], axis=1), ["espresso", 285])
    assert both.names == ("espresso", "Egyptian cat")
    left = [heat[:, :451].sum() / heat.sum() for heat in both.maps]
    assert left[0] > 0.98 and left[1] < 0.02


@pytest.mark.parametrize("shape", [(3, 5, 3), (40, 700), (91, 30, 4)])
def test_pictures_of_any_size_and_kind(net, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = ik.heatmap(net, picture, 0)
    assert found.maps.shape == (1, *shape[:2]) and found.picture.shape == (*shape[:2], 3)
    assert np.isfinite(found.maps).all()


@pytest.mark.parametrize(
    ("size", "picture", "larger"),
    [
        ((224, 224), (300, 300), (448, 448)),
        ((224, 224), (100, 150), (448, 672)),
        ((224, 224), (10, 40), (1.5 * 224, 6 * 224)),  # the longer side is limited
        ((224, 224), (10, 4000), (224, 6 * 224)),  # squashed
        ((32, 32), (33, 64), (64, 128)),
        ((32, 64), (100, 100), (128, 128)),
    ],
)
def test_a_picture_gets_twice_the_training_size(size, picture, larger):
    found = _larger(size, picture)
    assert np.abs(np.subtract(found, larger)).max() <= (16 if min(size) >= 128 else 4)
    assert all(side >= window for side, window in zip(found, size, strict=True))


def test_a_pixel_is_the_mean_of_the_windows_around_it():
    weights = _spread(15, 227, 227 + 14 * 16, 300)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    whole = 227 + 14 * 16
    for place, column in enumerate(weights.T):
        middle = (16 * place + 227 / 2) * 300 / whole
        centre = (column * np.arange(300)).sum() / column.sum()
        assert 0 < place < 14 or abs(centre - (0 if place == 0 else 300)) < 60  # the outermost reach the edge
        assert place not in range(4, 11) or abs(centre - middle) < 12
    np.testing.assert_array_equal(_spread(1, 32, 32, 5), np.ones((5, 1)))


def test_wrong_classes_are_refused_with_the_nearest(net):
    with pytest.raises(ValueError, match=r"^classes has 'Egyptian', which is no class .* did you mean Egyptian cat"):
        ik.heatmap(net, data.chelsea(), "Egyptian")
    with pytest.raises(ValueError, match="an index in classes must be an int of at most 999, got 1000"):
        ik.heatmap(net, data.chelsea(), ["tench", 1000])
    with pytest.raises(ValueError, match=r"^classes must name at least one class, got \[\]"):
        ik.heatmap(net, data.chelsea(), [])


def test_an_own_net_needs_its_preprocessing():
    model = ik.create_model("lenet5_modern", classes=3)
    picture = np.zeros((40, 60), np.uint8)
    with pytest.raises(ValueError, match=r"^preprocessing must say what the input of lenet5_modern needs"):
        ik.heatmap(model, picture)
    prepare = ik.Preprocessing((32, 32), channels=1)
    found = ik.heatmap(model, picture, preprocessing=prepare)
    assert sorted(found.names) == ["class 0", "class 1", "class 2"] and found.maps.shape == (3, 40, 60)
    named = ik.heatmap(model, picture, "b", preprocessing=prepare, class_names=["a", "b", "c"])
    assert named.classes == (1,) and named.maps[0].max() == pytest.approx(named.scores[0], rel=1e-4)
    with pytest.raises(ValueError, match="a name for each of the 3 classes of lenet5_modern, got 2 names"):
        ik.heatmap(model, picture, preprocessing=prepare, class_names=["a", "b"])


def test_a_net_that_is_no_classifier_of_such_pictures_is_refused():
    grey, colour = (ik.Preprocessing((32, 32), channels=channels) for channels in (1, 3))
    picture = np.zeros((40, 60), np.uint8)
    with pytest.raises(ValueError, match="preprocessing makes pictures of 3 channels, but lenet5_modern takes 1"):
        ik.heatmap(ik.create_model("lenet5_modern"), picture, preprocessing=colour)
    image = keras.Input((None, None, 1))
    maps = keras.Model(image, keras.layers.Conv2D(3, 3, padding="same")(image), name="maps")
    with pytest.raises(ValueError, match=r"^maps must be a classifier, but it gives a map of scores"):
        ik.heatmap(maps, picture, preprocessing=grey)
    vector = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="vector")
    with pytest.raises(ValueError, match=r"^model must take one picture .*, got vector with \(None, 3\)"):
        ik.heatmap(vector, picture, preprocessing=grey)


def test_auxiliary_heads_are_no_matter():
    image = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(8, 3, 4)(image)
    heads = {name: keras.layers.GlobalAveragePooling2D()(maps) for name in ("aux", "predictions")}
    heads = {name: keras.layers.Dense(4, name=name)(vector) for name, vector in heads.items()}
    model = keras.Model(image, heads)
    found = ik.heatmap(model, data.chelsea()[::4, ::4], 3, preprocessing=ik.Preprocessing((32, 32)))
    assert found.names == ("class 3",) and found.maps.shape == (1, 75, 113)


def test_a_model_is_an_id_a_folder_or_a_model():
    for wrong, error, says in (
        ("squeezenet", ValueError, "did you mean squeezenet1_1"),
        ("lenet5", ValueError, "no published ImageNet weights of lenet5"),
        ("runs/none", FileNotFoundError, "runs/none holds no finished run"),
        (3, TypeError, "model must be a Keras model, the id of a net or the folder of a run, got 3"),
    ):
        with pytest.raises(error, match=says):
            ik.heatmap(wrong, data.chelsea())


def test_is_drawn_and_saved(tmp_path):
    warm = np.zeros((1, 30, 40), np.float32)
    warm[:, :, 20:] = 0.5
    found = Heatmap(np.full((30, 40, 3), 128, np.uint8), warm, ("$cat",), (7,), (0.25,))
    path = found.save(tmp_path / "cat.png")
    with Image.open(path) as drawn:
        width, height = drawn.size
        pixels = np.asarray(drawn.convert("RGB")).astype(float)
    assert 800 < width < 1200 and 300 < height < 600
    row = pixels[height // 2]
    assert (row[width // 4] == 128).all()  # the picture, and beside it the map over it, cold at the left
    cold, hot = row[int(0.55 * width)], row[int(0.8 * width)]
    assert cold[0] < cold[2] and hot[0] > 2 * hot[2]  # from dark blue to red
    assert found._repr_png_() == path.read_bytes()
    with pytest.raises(ValueError, match=r"^path must end in \.png, \.svg, \.pdf or \.jpg, got '.*cat\.gif'"):
        found.save(tmp_path / "cat.gif")
    with pytest.raises(OSError, match="cannot be written"):
        found.save(tmp_path / "absent" / "cat.png")


def test_the_command(tmp_path):
    Image.fromarray(data.chelsea()).save(tmp_path / "photo.jpg")
    lines = here("heatmap", "photo.jpg", "--classes", "285", "--out", "cat.png", cwd=tmp_path).splitlines()
    assert lines[0].split()[1:] == ["Egyptian", "cat"] and lines[1:] == ["cat.png"]
    assert (tmp_path / "cat.png").stat().st_size > 10_000
    assert "There is no image absent.jpg" in here("heatmap", "absent.jpg", cwd=tmp_path, status=1)
    said = here("heatmap", "absent.jpg", "--out", "cat.gif", cwd=tmp_path, status=1)  # at once
    assert said.startswith("error: --out must end in .png, .svg, .pdf or .jpg, got 'cat.gif'")
    said = here("heatmap", "absent.jpg", "--out", "absent/cat.png", cwd=tmp_path, status=1)
    assert said.startswith("error: There is no folder absent for cat.png.")


@pytest.mark.slow
def test_the_command_takes_a_run(tmp_path):
    Image.fromarray(data.chelsea()).save(tmp_path / "photo.jpg")
    ik.train(ik.Recipe(**TINY | {"epochs": 1}), tmp_path / "run", verbose=0)
    said = here("heatmap", "photo.jpg", "--run", "run", "--classes", "7", "--classes", "3", cwd=tmp_path)
    lines = said.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["7", "3"] and lines[2] == "heatmap.png"
    assert ik.heatmap(tmp_path / "run", tmp_path / "photo.jpg", "7").scores[0] == pytest.approx(
        float(lines[0].split()[0]), abs=1e-4
    )
    said = here("heatmap", "photo.jpg", "--run", "run", "--classes", "11", cwd=tmp_path, status=1)
    assert said.startswith("error: an index in classes must be an int of at most 9, got 11")
