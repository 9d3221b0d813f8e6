"""The metric `map_50` of detectors in training: equal to the exact measure, in whatever batches images come."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_average_precision import NAMES, case

import inception_keras as ik
from inception_keras.training.boxes import MeanAveragePrecision, MeanTerm, PackDetections, Term, matched


def packed(images, last):
    """Objects or detections of some images as one array with padding."""
    most = max(len(image["classes"]) for image in images) + 2
    array = np.zeros((len(images), most, 6), np.float32)
    array[..., 4] = -1
    for row, image in zip(array, images, strict=True):
        count = len(image["classes"])
        row[:count] = np.column_stack([image["boxes"], image["classes"], image[last]])
    return array


def measured(truth, found, parts=1, **options):
    metric = MeanAveragePrecision(len(NAMES), **options)
    for rows in np.array_split(np.arange(len(truth)), parts):
        metric.update_state(
            packed([truth[i] for i in rows], "difficult"), packed([found[i] for i in rows], "scores")
        )  # fmt: skip
    return metric


@pytest.mark.parametrize("seed", range(4))
def test_the_metric_is_the_exact_measure(seed):
    truth, found = case(seed)
    rng = np.random.default_rng(seed)
    for image in found:
        image["scores"] = rng.random(len(image["scores"]))
    for at in (0.5, 0.7):
        expected = ik.voc_average_precision(truth, found, NAMES, threshold=at).mean
        assert 0.1 < expected < 0.9
        assert float(measured(truth, found, threshold=at).result()) == pytest.approx(expected, abs=0.01)
    # every detection has a bin of its own
    ranks = np.split(rng.permutation(sum(sizes := [len(image["scores"]) for image in found])), np.cumsum(sizes)[:-1])
    for image, own in zip(found, ranks, strict=True):
        image["scores"] = 1 / (1 + np.exp(1 - own / 50))
    metric = measured(truth, found)
    assert metric.hits.numpy().max() == metric.misses.numpy().max() == 1
    expected = ik.voc_average_precision(truth, found, NAMES)
    assert float(metric.result()) == pytest.approx(expected.mean, abs=1e-6)
    assert metric.objects.numpy().tolist() == [row["objects"] for row in expected.classes]
    together = (metric.hits + metric.misses).numpy().sum(axis=1)
    assert together.tolist() == [row["found"] for row in expected.classes]


def test_no_division_of_the_images_changes_a_count():
    truth, found = case(5)
    whole, order = measured(truth, found), np.random.default_rng(0).permutation(len(truth))
    parts = measured([truth[i] for i in order], [found[i] for i in order], parts=7)
    for mine, theirs in zip(whole.variables, parts.variables, strict=True):
        assert mine.dtype == "int64"
        np.testing.assert_array_equal(mine, theirs)
    assert float(whole.result()) == float(parts.result())
    whole.reset_state()
    assert np.isnan(float(whole.result()))


def test_detections_in_any_order_with_and_without_objects():
    box, other = [0, 0, 10, 10], [50, 50, 60, 60]
    found = tf.constant(
        [[[*box, 0, 0.5], [*box, 0, 0.9], [*other, 0, 0.7], [0, 0, 0, 0, -1, 0], [*box, 1, 0.9]]], "float32"
    )
    hits, misses = matched(tf.constant([[[*box, 0, 0]]], "float32"), found, 0.5)
    assert hits.numpy().tolist() == [[False, True, False, False, False]]
    assert misses.numpy().tolist() == [[True, False, True, False, True]]
    hits, misses = matched(tf.constant([[[*box, 0, 1]]], "float32"), found, 0.5)  # a difficult object
    assert not hits.numpy().any() and misses.numpy().tolist() == [[False, False, True, False, True]]
    hits, misses = matched(tf.zeros((1, 0, 6)), found, 0.5)
    assert not hits.numpy().any() and misses.numpy().sum() == 4
    hits, misses = matched(tf.zeros((2, 0, 6)), tf.zeros((2, 0, 6)), 0.5)
    assert hits.shape == misses.shape == (2, 0)


def test_scores_at_the_ends_of_the_range():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    truth = [{"boxes": boxes, "classes": [0, 0, 0], "difficult": [0, 0, 0]}]
    for scores in ([0.0, 1e-20, 1.0], [0.999999, 1.0, 7.0]):
        assert float(measured(truth, [{"boxes": boxes, "classes": [0, 0, 0], "scores": scores}]).result()) == 1


def test_terms_are_means_over_images():
    metric = MeanTerm()
    metric.update_state(None, tf.constant([1.0, 2.0]))
    metric.update_state(None, tf.zeros((0,)))
    metric.update_state(None, tf.constant([6.0]))
    assert float(metric.result()) == 3
    assert float(Term()(tf.zeros((2,)), tf.zeros((2,)))) == 0 and float(Term()([9.0], [2.0])) == 2
    for thing in (Term("a"), MeanTerm("b"), MeanAveragePrecision(3, 0.6, 200), PackDetections(name="c")):
        again = type(thing).from_config(thing.get_config())
        assert again.get_config() == thing.get_config() and again.name == thing.name
        assert keras.saving.get_registered_name(type(thing)).startswith("inception_keras>")
    with pytest.raises(ValueError, match="bins must be an int of at least 100, got 5"):
        MeanAveragePrecision(3, bins=5)
