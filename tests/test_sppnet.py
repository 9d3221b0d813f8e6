"""SPPnet: regions on the map by hand, their pyramids, and the whole on coloured squares."""

import keras
import numpy as np
import pytest
from test_rcnn_regions import SIDE, coloured, windows

import inception_keras as ik
from inception_keras.detection.sppnet import best_scales, on_map, pool_regions
from inception_keras.layers import SpatialPyramidPooling2D


def test_the_released_net():
    with ik.without_weights():
        net = ik.create_model("sppnet")
        assert net.count_params() == 73_026_709 and net.get_layer("conv_5").output.shape == (None, 13, 13, 256)
        assert sum(net.get_layer(f"conv_{i}").count_params() for i in range(1, 6)) == 3_726_464
        assert ik.create_model("sppnet", classes=999).count_params() == 77_037_672
        assert ik.create_model("sppnet", input_shape=(None, None, 3)).output_shape == (None, 21)


def test_places_on_the_map_by_hand():
    """floor(x1 / 16) + 1 and ceil(x2 / 16) - 1; a small box is one pixel; all lie on the map."""
    boxes = [[0, 0, 160, 96], [15, 16, 65, 64], [33, 40, 50, 60], [0, 0, 4, 4], [300, 200, 999, 999]]
    expected = [[1, 1, 9, 5], [1, 2, 4, 3], [3, 3, 3, 3], [0, 0, 0, 0], [19, 13, 19, 13]]
    assert on_map(np.array(boxes), 16, (14, 20)).tolist() == expected


def test_scales_by_hand():
    """A box of 224 pixels at a shorter side of 576: of 500 x 194.4 pixels at 500."""
    boxes = np.array([[0, 0, 194.4, 194.4], [0, 0, 1, 1], [0, 0, 500, 900]])
    assert best_scales(boxes, 500).tolist() == [1, 4, 0] and best_scales(boxes, 500, (688,)).tolist() == [0, 0, 0]


def test_a_region_is_pooled_as_a_map_of_its_own():
    random = np.random.default_rng(0)
    maps = random.normal(size=(1, 11, 14, 3)).astype(np.float32)
    places = np.array([[[2, 1, 9, 8], [0, 0, 13, 10], [5, 5, 5, 5], [3, 2, 4, 9]]])
    pooled = np.asarray(pool_regions(maps, places, (6, 3, 2, 1)))
    assert pooled.shape == (1, 4, 150)
    for (x1, y1, x2, y2), found in zip(places[0], pooled[0], strict=True):
        expected = SpatialPyramidPooling2D((6, 3, 2, 1))(maps[:, y1 : y2 + 1, x1 : x2 + 1])
        np.testing.assert_array_equal(found, expected[0])


def tiny(any_size=True) -> keras.Model:
    image = keras.Input((None, None, 3) if any_size else (64, 64, 3), name="image")
    start = keras.initializers.GlorotUniform(1)
    x = keras.layers.Conv2D(12, 4, strides=4, activation="relu", kernel_initializer=start, name="conv")(image)
    x = SpatialPyramidPooling2D((3, 2, 1), name="spp")(x)
    return keras.Model(image, keras.layers.Dense(2, activation="softmax", name="predictions")(x), name="tiny")


@pytest.fixture(scope="module")
def detector():
    return ik.SPPnet(tiny(), scales=(96, 192), propose=windows).fit(coloured(14, 0))


def test_squares_are_found(detector):
    assert detector.stride == 4
    part = coloured(8, 1).batches["test"].part
    right = 0
    for image, classes in zip(part.images, part.targets.classes, strict=True):
        found = detector.detect(image)
        right += len(found.classes) > 0 and found.classes[0] == classes[0]
        assert (found.boxes <= SIDE).all()
    assert right >= 7


def test_it_is_saved_and_loaded(tmp_path, detector):
    detector.save(tmp_path / "spp")
    again = ik.SPPnet.load(tmp_path / "spp", propose=windows)
    assert again.scales == (96, 192)
    image = coloured(1, 2).batches["test"].part.images[0]
    for ours, theirs in zip(detector.detect(image), again.detect(image), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="holds no R-CNN that can be loaded: it holds one of the kind SPPnet"):
        ik.RCNN.load(tmp_path / "spp", propose=windows)


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="net must take images of any size, got tiny"):
        ik.SPPnet(tiny(any_size=False))
    with pytest.raises(ValueError, match="net must have one SpatialPyramidPooling2D, got lenet5"):
        ik.SPPnet(ik.create_model("lenet5"))
    with pytest.raises(ValueError, match="scales must have at least one scale"):
        ik.SPPnet(tiny(), scales=())


def test_dense_layers_are_fine_tuned_on_pyramids():
    keras.utils.set_random_seed(0)
    detector, data = ik.SPPnet(tiny(), scales=(96, 192), propose=windows), coloured(14, 0)
    kernel = detector.net.get_layer("conv").kernel.numpy()
    losses = detector.fine_tune(data, steps=200, positives=8, negatives=24, learning_rate=0.02)
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5]) and detector.net.output_shape == (None, 3)
    np.testing.assert_array_equal(detector.net.get_layer("conv").kernel, kernel)
    part = coloured(1, 1).batches["test"].part
    found = detector.fit(data).detect(part.images[0])
    assert found.classes[0] == part.targets.classes[0][0]


def test_mirrored_regions_are_those_of_the_mirrored_image():
    detector = ik.SPPnet(tiny(), scales=(96,), propose=windows)
    image, boxes = coloured(1, 3).batches["test"].part.images[0], np.float32([[4, 8, 20, 40], [30, 0, 44, 12]])
    plain, mirrored = (detector._examples(image, boxes, np.full(2, each)) for each in (False, True))
    turned = SIDE - boxes[:, [2, 1, 0, 3]] * [1, -1, 1, -1] - [0, SIDE, 0, SIDE]
    other = detector._examples(image[:, ::-1], turned.astype(np.float32), np.zeros(2, bool))
    np.testing.assert_array_equal(mirrored, other)
    assert abs(plain - mirrored).max() > 0.01
    half = detector._examples(image, boxes, np.array([True, False]))
    np.testing.assert_array_equal(half, [mirrored[0], plain[1]])


# -- several sizes


def test_a_net_of_one_size_cannot_be_trained_at_several(tmp_path):
    recipe = ik.Recipe(model="lenet5", train_sizes=(24, 32), epochs=2)
    with pytest.raises(ValueError, match="train_sizes needs a net that takes images of any size: input_shape"):
        ik.train(recipe, tmp_path / "run", verbose=0)


@pytest.mark.slow
def test_a_run_at_several_sizes_and_from_where_it_was_stopped(tmp_path):
    recipe = ik.Recipe(model="squeezenet1_1", train_sizes=(40, 32), image_size=32, epochs=2, batch_size=256)
    whole = ik.train(recipe, tmp_path / "whole", verbose=0)
    assert ik.Recipe.from_dict(recipe.to_dict(), "itself") == recipe
    again = ik.train(recipe.with_changes(epochs=1, schedule="constant"), tmp_path / "again", verbose=0)
    again = ik.train(recipe.with_changes(schedule="constant"), tmp_path / "again", verbose=0, resume=True)
    once = ik.train(recipe.with_changes(schedule="constant"), tmp_path / "once", verbose=0)
    assert (again.folder / "metrics.csv").read_bytes() == (once.folder / "metrics.csv").read_bytes()
    plain = ik.train(recipe.with_changes(train_sizes=()), tmp_path / "plain", verbose=0)
    assert (plain.folder / "metrics.csv").read_bytes() != (whole.folder / "metrics.csv").read_bytes()
    assert 0 <= ik.evaluate(whole.folder).accuracy <= 1
    assert len(ik.predict(np.zeros((50, 60, 3), np.uint8), run=whole.folder)[0]) == 5
