"""R-CNN: its crops by hand, its SVMs and box regressions by value, and the whole on scenes."""

import weakref
from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np
import pytest
import scipy.linalg
from sklearn.svm import LinearSVC

import inception_keras as ik
from inception_keras.detection.boxes import decode
from inception_keras.detection.rcnn import Crop, crop_of, warp
from inception_keras.detection.region_svms import (
    Regions,
    find_objects,
    overlaps_of,
    train_box_regression,
    train_svms,
)
from inception_keras.training.region_tuning import batches, fit_batches, labelled

# -- crops


@pytest.mark.parametrize(
    "box, context, crop",
    [
        # half the box is 97.5, times 227 / 195 it is 113.5, around the centre 98.5 from -15 to 212: 228 pixels, of
        # which 16 lie outside; 16 and 212 times 227 / 228 are 15.9 and 211.1
        ((0, 0, 195, 195), 16, Crop((0, 212), (0, 212), (16, 227), (16, 227))),
        # 50 x 100 pixels: halves 29.1 and 58.2, around 126 and 151 from 97 to 155 and 93 to 209
        ((100, 100, 150, 200), 16, Crop((92, 209), (96, 155), (0, 227), (0, 227))),
        # 26 pixels high, around 294: half 15.1, from 279 to 309, of which 300 are there: 22 of 31 pixels, or 161
        ((100, 280, 200, 306), 16, Crop((278, 300), (92, 209), (0, 161), (0, 227))),
        ((10, 20, 110, 220), 0, Crop((20, 220), (10, 110), (0, 227), (0, 227))),
    ],
)
def test_crops_by_hand(box, context, crop):
    assert crop_of(box, (300, 400), context=context) == crop


def test_halves_are_rounded_away_from_zero():
    """A box from -1.5 to 2.5 in pixels from 1, without context around: MATLAB's round gives -2 and 3."""
    assert crop_of((-2.5, 0, 2.5, 9), (9, 9), side=6, context=0).columns == (0, 3)


def test_warped_regions_show_the_box_in_its_context():
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (40, 50, 3), np.uint8)
    np.testing.assert_array_equal(warp(image, [[7, 5, 27, 25]], (0, 0, 0), 20, 0)[0], image[5:25, 7:27])
    # 16 pixels with 2 of context on each side are a region of 20, and the centre 15.5 of 8 to 23 gives 6 to 26
    region = warp(image, [[7, 5, 23, 21]], (9, 9, 9), 20, 2)[0]
    crop = crop_of((7, 5, 23, 21), (40, 50), 20, 2)
    assert crop.to_rows == crop.to_columns == (0, 20) and crop.columns[1] - crop.columns[0] in (20, 21)
    part = image[slice(*crop.rows), slice(*crop.columns)].astype(np.float32)
    expected = keras.ops.image.resize(part[None], (20, 20), interpolation="bilinear", antialias=False)
    np.testing.assert_allclose(region, expected[0], atol=1e-3)
    corner = warp(image, [[0, 0, 16, 16]], (1, 2, 3), 20, 2)[0]
    assert (
        (corner[:2] == [1, 2, 3]).all() and (corner[:, :2] == [1, 2, 3]).all() and (corner[3:, 3:] != [1, 2, 3]).any()
    )


@pytest.mark.slow
def test_no_box_is_too_odd_to_be_warped():
    random = np.random.default_rng(1)
    image = np.full((30, 40, 3), 200, np.uint8)
    for _ in range(2000):
        x1, x2 = np.sort(random.uniform(-5, 45, 2))
        y1, y2 = np.sort(random.uniform(-5, 35, 2))
        region = warp(image, [[x1, y1, x2, y2]], (0, 0, 0), 23, int(random.integers(0, 5)))
        assert set(np.unique(np.round(region, 2))) <= {0.0, 200.0} and (region == 200).any()


# -- SVMs


def regions(random, count: int, classes: int, width=6, maps=5, outputs=None) -> Regions:
    """Features that say the class of an object, and of a proposal nothing."""
    truth = np.where(np.arange(count) < 3, random.integers(0, classes, count), -1)
    features = random.normal(size=(count, width)).astype(np.float32)
    for row, label in zip(features, truth, strict=True):
        if label >= 0:
            row[label] += 4
    overlaps = np.where(
        truth[:, None] == np.arange(outputs or classes), 1.0, random.uniform(0, 0.6, (count, outputs or classes))
    )
    boxes = np.concatenate([random.uniform(0, 20, (count, 2)), random.uniform(30, 60, (count, 2))], axis=1)
    return Regions(
        boxes.astype(np.float32), features, random.normal(size=(count, maps)).astype(np.float32), truth,
        overlaps.astype(np.float32),
    )  # fmt: skip


def test_the_svms_of_one_image_are_those_of_liblinear():
    """With one image there is nothing to search for: objects against regions below 0.3, features of mean norm 20."""
    one = regions(np.random.default_rng(2), 60, 2, outputs=3)
    svms = train_svms([one], 3)
    assert svms.scale * np.linalg.norm(one.features, axis=1).mean() == pytest.approx(20)
    for label in range(2):
        chosen = (one.truth == label) | (one.overlaps[:, label] < 0.3)
        labels = np.where(one.truth[chosen] == label, 1, -1)
        svm = LinearSVC(C=0.001, class_weight={1: 2}, loss="hinge", intercept_scaling=10, max_iter=100_000, tol=1e-8)
        svm.fit(svms.scale * one.features[chosen], labels)
        np.testing.assert_allclose(
            svms(one.features)[:, label], svm.decision_function(svms.scale * one.features), atol=0.03
        )
    assert (svms(one.features)[:, 2] == -np.inf).all()  # there was no object of the last class


def test_hard_negatives_are_found_in_later_images():
    """The first image has no negative that is like an object; the second has."""
    random = np.random.default_rng(3)
    first, second = regions(random, 200, 1), regions(random, 200, 1)
    second.features[3:, :2] += 6  # these are like objects in one feature, and unlike them in another
    second.overlaps[3:] = 0
    alone, both = train_svms([first], 1), train_svms([first, second], 1)
    before, after = (svms(second.features)[:, 0] for svms in (alone, both))
    assert before[3:].mean() > before[:3].mean() and after[3:].mean() < after[:3].mean() - 0.2


# -- box regression


def test_box_regression_by_its_formula():
    """lambda 1,000; regions above 0.6 of the object that they overlap most; targets whitened."""
    random = np.random.default_rng(4)
    images, truths = [], []
    for _ in range(30):
        x1, y1 = random.uniform(0, 40, 2)
        truth = np.array([[x1, y1, x1 + 40, y1 + 30]], np.float32)
        boxes = np.concatenate([truth, truth + random.uniform(-5, 5, (9, 4)).astype(np.float32), truth + 100])
        maps = random.normal(size=(11, 5)).astype(np.float32)
        maps[:, :4] = (truth - boxes) / 10  # the maps tell the offset
        images.append(
            Regions(boxes, maps, maps, np.array([0] + [-1] * 10), overlaps_of(boxes, truth, np.array([0]), 2))
        )
        truths.append((truth, np.array([0])))
    found = train_box_regression(images, truths, 2)

    boxes, maps, aims = [], [], []
    for image, (truth, _) in zip(images, truths, strict=True):
        close = image.overlaps[:, 0] > 0.6
        wide, high = (image.boxes[close, i + 2] - image.boxes[close, i] for i in (0, 1))
        middles = [(image.boxes[close, i + 2] + image.boxes[close, i]) / 2 for i in (0, 1)]
        centre = [(truth[0, i] + truth[0, i + 2]) / 2 for i in (0, 1)]
        aims.append(np.stack([(centre[0] - middles[0]) / wide, (centre[1] - middles[1]) / high,
                              np.log(40 / wide), np.log(30 / high)], axis=1))  # fmt: skip
        boxes.append(image.boxes[close])
        maps.append(image.maps[close])
    boxes, maps, aims = (np.concatenate(parts).astype(float) for parts in (boxes, maps, aims))
    scale = 20 / np.mean([np.linalg.norm(row) for image in images for row in image.maps])
    matrix = np.column_stack([scale * maps, np.ones(len(maps))])
    root = scipy.linalg.sqrtm(np.cov(aims.T, bias=True) + 0.001 * np.eye(4))
    white = (aims - aims.mean(axis=0)) @ np.linalg.inv(root)
    beta = np.linalg.inv(matrix.T @ matrix + 1000 * np.eye(6)) @ matrix.T @ white
    expected = matrix @ beta @ root + aims.mean(axis=0)
    ours = found(boxes.astype(np.float32), maps.astype(np.float32), np.zeros(len(boxes), int))
    np.testing.assert_allclose(ours, decode(expected, boxes, max_log=None), rtol=1e-3, atol=1e-2)
    # boxes are better than before; a class without examples leaves them
    nearer = found(boxes.astype(np.float32), maps.astype(np.float32), np.ones(len(boxes), int))
    np.testing.assert_allclose(nearer, boxes, atol=1e-3)


def test_both_ways_to_solve_the_ridge_agree():
    random = np.random.default_rng(5)
    image = regions(random, 40, 1, maps=200)
    truth = image.boxes[:3] + 1
    found = [
        train_box_regression([part], [(truth, np.zeros(3, int))], 1)
        for part in (image, Regions(image.boxes, image.features, image.maps[:, :9], image.truth, image.overlaps))
    ]
    assert [part.linear.weights.shape for part in found] == [(200, 4), (9, 4)]
    assert all(np.isfinite(part(image.boxes, part_maps, np.zeros(40, int))).all()
               for part, part_maps in zip(found, (image.maps, image.maps[:, :9]), strict=True))  # fmt: skip


def test_objects_of_scored_regions():
    """The best of overlapping boxes of a class; another class stays; what reaches out is clipped."""
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 60, 60], [0, 0, 10, 10]], np.float32)
    scores = np.array([[0.5, -2], [0.9, 0.1], [-0.5, -3], [-5, -5]], np.float32)
    found = find_objects(boxes, scores, np.zeros((4, 1)), None, (50, 50), -1)
    assert found[0].tolist() == [[0, 0, 10, 9], [0, 0, 10, 9], [20, 20, 50, 50]]
    assert found[1].tolist() == [0, 1, 0] and np.allclose(found[2], [0.9, 0.1, -0.5])
    assert [len(part) for part in find_objects(boxes, scores, np.zeros((4, 1)), None, (50, 50), 2)] == [0, 0, 0]


# -- the whole


def tiny() -> keras.Model:
    """A net whose features are the colours of a coarse grid."""
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.AveragePooling2D(4, name="pool")(image)
    x = keras.layers.Conv2D(
        12, 1, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(1), name="conv"
    )(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(image, keras.layers.Dense(2, activation="softmax", name="predictions")(x), name="tiny")


SIDE = 48


def coloured(count: int, seed: int):
    """Images with a red or a green square on noise."""
    from inception_keras.data.datasets import Data
    from inception_keras.data.pipeline import Batches
    from inception_keras.data.preprocessing import Preprocessing
    from inception_keras.data.splits import Part
    from inception_keras.data.targets import Boxes

    random = np.random.default_rng(seed)
    images = random.integers(0, 90, (count, SIDE, SIDE, 3), np.uint8)
    boxes, classes = [], []
    for image in images:
        side, label = int(random.integers(12, 20)), int(random.integers(2))
        x, y = random.integers(0, SIDE - side, 2)
        image[y : y + side, x : x + side, label] = 250
        boxes.append(np.array([[x, y, x + side, y + side]], np.float32))
        classes.append(np.array([label]))
    part, prepare = Part(images, Boxes(boxes, classes, 0.2)), Preprocessing((SIDE, SIDE))
    batches = {split: Batches(part, prepare, 4) for split in ("train", "validation", "test")}
    return Data("squares", ("red", "green"), (SIDE, SIDE, 3), {"train": count}, prepare, [], batches)


def windows(image: np.ndarray) -> np.ndarray:
    starts = np.arange(0, SIDE - 15, 4)
    return np.array([[x, y, x + 16, y + 16] for y in starts for x in starts], np.float32)


@pytest.fixture(scope="module")
def data():
    return coloured(14, 0)


@pytest.fixture(scope="module")
def detector(data):
    return ik.RCNN(tiny(), propose=windows).fit(data)


def test_squares_are_found_and_boxes_get_better(data, detector):
    other = coloured(8, 1)
    part = other.batches["test"].part
    overlaps = []
    for image, boxes, classes in zip(part.images, part.targets.boxes, part.targets.classes, strict=True):
        found = detector.detect(image, min_score=-1)
        assert found.labels[0] == ("red", "green")[classes[0]] and found.classes[0] == classes[0]
        overlaps.append(float(np.asarray(overlaps_of(found.boxes[:1], boxes, classes, 2)).max()))
        assert (np.diff(found.scores) <= 0).all() and (found.boxes <= SIDE).all() and (found.boxes >= 0).all()
    assert np.mean(overlaps) > 0.55


def test_a_detector_is_saved_and_loaded(tmp_path, data, detector):
    detector.save(tmp_path / "rcnn")
    again = ik.RCNN.load(tmp_path / "rcnn", propose=windows)
    image = data.batches["test"].part.images[0]
    for ours, theirs in zip(detector.detect(image), again.detect(image), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="had its own function of proposals: give it as propose"):
        ik.RCNN.load(tmp_path / "rcnn")
    (tmp_path / "rcnn" / "rcnn.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="holds no R-CNN that can be loaded"):
        ik.RCNN.load(tmp_path / "rcnn", propose=windows)
    with pytest.raises(FileNotFoundError, match=r"holds no R-CNN: there is no rcnn\.json"):
        ik.RCNN.load(tmp_path)


def test_features_are_stored_and_give_the_same_detector(tmp_path, data, detector, monkeypatch):
    stored = ik.RCNN(tiny(), propose=windows, cache=tmp_path).fit(data)
    np.testing.assert_array_equal(stored.svms.weights, detector.svms.weights)
    assert len([*tmp_path.glob("features-*.npz")]) == 14
    monkeypatch.setattr(stored._outputs, "predict_on_batch", lambda _: pytest.fail("features were made again"))
    again = stored.fit(data, box_regression=False)
    assert again.regression is None
    np.testing.assert_array_equal(again.svms.weights, detector.svms.weights)


def test_selective_search_proposes_by_default(detector):
    pytest.importorskip("cv2.ximgproc")
    image = coloured(1, 5).batches["test"].part.images[0]
    proposals = ik.RCNN(tiny(), mode="single", width=48, max_boxes=5)._proposals(image)
    assert 0 < len(proposals) <= 5 and detector._proposals(image).shape == (81, 4)


def test_what_is_wrong_is_said(data):
    with pytest.raises(ValueError, match="has learned nothing yet: call fit"):
        ik.RCNN(tiny()).detect(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"net must take square images of a fixed size, got fcn_small32s"):
        ik.RCNN(ik.create_model("fcn_small32s", input_shape=(None, None, 3), classes=2))
    with pytest.raises(ValueError, match=r"digits has no boxes: load it with task='detection'"):
        ik.RCNN(tiny()).fit(ik.load_data("digits"))
    with pytest.raises(ValueError, match="context must be an int of at most 7, got 8"):
        ik.RCNN(tiny(), context=8)
    with pytest.raises(ValueError, match="context must be below half of side, 8, got 4"):
        crop_of((0, 0, 1, 1), (9, 9), 8, 4)


def test_the_released_net():
    with ik.without_weights():
        net = ik.create_model("rcnn")
        assert net.output_shape == (None, 21) and net.count_params() == 56_954_261
        assert net.count_params() - net.get_layer("predictions").count_params() == 56_868_224
        assert net.get_layer("conv_5-pool").output.shape == (None, 6, 6, 256)
        assert ik.create_model("rcnn", classes=3).output_shape == (None, 4)


# -- fine-tuning


def test_what_regions_are_in_fine_tuning():
    overlaps = np.array([[0.5, 0.6], [0.5, 0.2], [0.49, 0.3], [0.1, 0], [0.05, 0]])
    assert labelled(overlaps, 0.0).tolist() == [2, 1, 0, 0, 0]
    assert labelled(overlaps, 0.1).tolist() == [2, 1, 0, 0, -1]
    assert labelled(np.zeros((3, 0)), 0.0).tolist() == [0, 0, 0] and labelled(np.zeros((0, 2)), 0.0).tolist() == []


def test_batches_are_drawn_evenly_and_read_each_image_once():
    labels = [np.array([2, 0, 0]), np.array([-1, 0]), np.array([1, 1, -1, 0])]
    looked = []

    def examples(image, rows, mirrored):
        looked.append(image)
        return np.stack([np.full(len(rows), image), rows, mirrored], axis=1).astype(np.float32)

    found = list(batches(labels, examples, 500, 4, 12, 12, seed=1))
    assert looked == [0, 1, 2]  # for 500 batches, which are made at once
    assert all(x.shape == (16, 3) and (y[:4] > 0).all() and (y[4:] == 0).all() for x, y in found)
    x, y = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert all(labels[int(image)][int(row)] == label for (image, row, _), label in zip(x, y, strict=True))
    shares = [np.mean((x[y > 0][:, :2] == place).all(axis=1)) for place in ((0, 0), (2, 0), (2, 1))]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.04)
    assert abs(x[:, 2].mean() - 0.5) < 0.03
    again = list(batches(labels, examples, 3, 4, 12, 2**24, seed=1))  # one batch at a time
    assert len(again) == 3 and len(looked) > 6
    with pytest.raises(ValueError, match="The training images have no regions of background, which fine-tuning needs"):
        next(batches([np.array([1, -1])], examples, 3, 4, 12, 12, seed=1))


def test_a_step_is_that_of_caffe():
    """Momentum 0.9, weight decay 0.0005 of kernels, biases twice, the last layer ten times; a tenth after each drop."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(5, 6, 3)).astype(np.float32), np.array([0, 1, 2, 1, 1, 0], np.int32)
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(3, "softmax")])
    values = [v.numpy().astype(float) for v in net.trainable_variables]
    losses = fit_batches(net, net.layers[-1], iter([(one, y) for one in x]), 0.1, 2, 10)
    speeds, expected = [np.zeros(v.shape) for v in values], []
    for number, one in enumerate(x):
        hidden = np.tanh(one @ values[0] + values[1])
        scores = np.exp(hidden @ values[2] + values[3])
        scores /= scores.sum(axis=1, keepdims=True)
        expected.append(-np.log(scores[np.arange(6), y]).mean())
        wrong = (scores - np.eye(3)[y]) / 6
        back = (wrong @ values[2].T) * (1 - hidden**2)
        gradients = [one.T @ back, back.sum(axis=0), hidden.T @ wrong, wrong.sum(axis=0)]
        for i, (factor, decay) in enumerate(((1, 5e-4), (2, 0), (10, 5e-4), (20, 0))):
            rate = 0.1 * 0.1 ** (number // 2)
            speeds[i] = 0.9 * speeds[i] - rate * factor * (gradients[i] + decay * values[i])
            values[i] = values[i] + speeds[i]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for variable, value in zip(net.trainable_variables, values, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-5)
    with pytest.raises(ValueError, match="The loss is nan at step 1 with the learning rate 0"):
        fit_batches(net, net.layers[-1], iter([(np.full((6, 3), np.nan, np.float32), y)]), 0.1, 2, 10)


def test_the_net_is_fine_tuned_and_its_features_are_better(data):
    keras.utils.set_random_seed(0)
    detector = ik.RCNN(tiny(), propose=windows)
    kernel = detector.net.get_layer("conv").kernel.numpy()
    losses = detector.fine_tune(data, steps=150, positives=8, negatives=24, learning_rate=0.01, seed=1)
    assert len(losses) == 150 and np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])
    assert detector.net.output_shape == (None, 3)  # background, red and green
    assert not np.array_equal(detector.net.get_layer("conv").kernel, kernel)
    image, box = data.batches["train"].part.images[0], data.batches["train"].part.targets.boxes[0]
    scores = np.asarray(detector.net(detector._crops(image, box)))[0]
    assert scores[1:].argmax() == data.batches["train"].part.targets.classes[0][0] and scores[0] < 0.5
    with pytest.raises(ValueError, match="This R-CNN has learned nothing yet"):
        detector.detect(image)
    assert len(detector.fit(data).detect(image).boxes)
    again = detector.fine_tune(data, steps=1)  # the net has its outputs already
    assert again[0] < losses[0] and detector.net.output_shape == (None, 3)
    for options, sentence in (({"steps": 0}, "steps must be"), ({"learning_rate": 0}, "learning_rate must be above 0")):
        with pytest.raises(ValueError, match=sentence):
            detector.fine_tune(data, **options)


class Fresh(Sequence):
    """Images that are made anew each time, and forgotten."""

    def __init__(self, images):
        self.images, self.alive, self.most = images, weakref.WeakSet(), 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        pixels = self.images[index].copy().view(Pixels)
        self.alive.add(pixels)
        self.most = max(self.most, len(self.alive))
        return pixels


class Pixels(np.ndarray):
    __hash__ = object.__hash__
    __eq__ = object.__eq__


def test_training_images_are_not_kept_in_memory(data, tmp_path):
    part = data.batches["train"].part
    images = Fresh(part.images)
    fresh = replace(data, batches={"train": replace(data.batches["train"], part=replace(part, images=images))})
    cached = ik.RCNN(tiny(), propose=windows, cache=tmp_path).fit(fresh)
    assert images.most <= 2 and len([*tmp_path.iterdir()]) == len(images)
    whole = ik.RCNN(tiny(), propose=windows).fit(data)
    np.testing.assert_array_equal(cached.svms.weights, whole.svms.weights)
    images.most = 0
    whole.fine_tune(fresh, steps=2, positives=2, negatives=2)
    assert 0 < images.most <= 2
