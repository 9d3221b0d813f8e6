"""Labels, sample weights, class weights and metrics as people have them, given to Keras's own `fit` and `evaluate`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import inception_keras as ik

CLASSES, HEADS = 4, ("predictions", "aux_1", "aux_2")
IMAGES = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
LABELS = np.array([0, 1, 2, 3, 1, 1, 0, 2])
ONE_HOT = np.eye(CLASSES)[LABELS]


def classifier(*heads, activation="softmax"):
    keras.utils.set_random_seed(3)
    image = keras.Input((3,), name="image")
    outputs = {name: keras.layers.Dense(CLASSES, activation, name=name)(image) for name in heads}
    return keras.Model(image, outputs if len(heads) > 1 else outputs["predictions"])


def losses_of(model, smoothing=0.0):
    """The cross-entropy and accuracy of each image, computed by hand for each head."""
    outputs = model(IMAGES)
    outputs = outputs if isinstance(outputs, dict) else {"predictions": outputs}
    share = ONE_HOT * (1 - smoothing) + smoothing / CLASSES
    by_head = {}
    for name, scores in outputs.items():
        scores = keras.ops.softmax(scores) if model.get_layer(name).activation is keras.activations.linear else scores
        scores = np.asarray(scores, "float64")
        by_head[name] = -(share * np.log(scores)).sum(-1), (scores.argmax(-1) == LABELS).astype(float)
    return by_head


def batches(labels, spec):
    """A tf.data.Dataset whose shapes are only known as far as `spec` says."""
    return tf.data.Dataset.from_generator(
        lambda: iter([(IMAGES, labels)]), output_signature=(tf.TensorSpec((None, 3)), spec)
    )


FORMS = {
    "int64 (n,)": LABELS,
    "int64 (n, 1), as keras.datasets.cifar10": LABELS[:, None],
    "uint8 (n, 1)": LABELS[:, None].astype("uint8"),
    "float32 (n,)": LABELS.astype("float32"),
    "float32 (n, 1)": LABELS[:, None].astype("float32"),
    "int32 (n, 1, 1)": LABELS[:, None, None].astype("int32"),
    "one-hot float64": ONE_HOT,
    "one-hot int32": ONE_HOT.astype("int32"),
    "one-hot bool": ONE_HOT.astype(bool),
    "(n, 1) of unknown width": batches(LABELS[:, None], tf.TensorSpec((None, None), "int64")),
    "one-hot of unknown width": batches(ONE_HOT, tf.TensorSpec((None, None), "float32")),
    "(n,) of unknown rank": batches(LABELS, tf.TensorSpec(None, "int32")),
    "one-hot of unknown rank": batches(ONE_HOT, tf.TensorSpec(None, "uint8")),
}


@pytest.mark.parametrize("heads, activation, smoothing", [(HEADS, "softmax", 0.0), (HEADS[:1], None, 0.1)])
def test_labels_of_every_form(heads, activation, smoothing):
    model = ik.compile_model(
        classifier(*heads, activation=activation), label_smoothing=smoothing, metrics=["accuracy", "cross_entropy"]
    )
    by_hand = losses_of(model, smoothing)
    for form, labels in FORMS.items():
        data = labels if isinstance(labels, tf.data.Dataset) else (IMAGES, labels)
        data = ik.with_aux_labels(data, model)
        known = isinstance(data, tuple)
        model.run_eagerly = known  # faster; where the shape is unknown, the graph is what counts
        figures = model.evaluate(*(data if known else (data,)), steps=1, verbose=0, return_dict=True)
        for name, (losses, hits) in by_hand.items():
            prefix = f"{name}_" if len(heads) > 1 else ""
            assert figures[f"{prefix}cross_entropy"] == pytest.approx(losses.mean(), rel=1e-5), form
            assert figures[f"{prefix}accuracy"] == hits.mean(), form
        total = sum(losses.mean() * (1 if name == "predictions" else 0.3) for name, (losses, _) in by_hand.items())
        assert figures["loss"] == pytest.approx(total, rel=1e-5), form


def test_fit_itself_takes_arrays_and_datasets_of_unknown_width():
    model = ik.compile_model(classifier("predictions"))
    first = model.fit(IMAGES, LABELS[:, None], epochs=2, shuffle=False, verbose=0).history["loss"]
    again = ik.compile_model(classifier("predictions"))
    data = batches(LABELS[:, None], tf.TensorSpec((None, None), "uint8")).repeat()
    assert again.fit(data, epochs=2, steps_per_epoch=1, shuffle=False, verbose=0).history["loss"] == pytest.approx(
        first
    )


SAMPLE_WEIGHTS = np.array([1, 0, 2, 0.5, 1, 3, 1, 1], "float32")
CLASS_WEIGHTS = {0: 2.0, 1: 0.5, 3: 4.0}  # class 2 is not named: 1
OF_CLASSES = np.array([2.0, 0.5, 1.0, 4.0])[LABELS]


class Batches(keras.utils.PyDataset):
    def __init__(self, *parts):
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=3)
        self.parts, self.epochs = parts, 0

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(part[4 * index : 4 * index + 4] for part in self.parts)

    def on_epoch_end(self):
        self.epochs += 1


def generator(*parts):
    yield from zip(*(np.split(part, 2) for part in parts), strict=True)


KINDS = {
    "tf.data": lambda *parts: tf.data.Dataset.from_tensor_slices(parts).batch(4),
    "PyDataset": Batches,
    "generator": generator,
    "arrays": lambda *parts: parts,
}


@pytest.mark.parametrize("heads", [HEADS, HEADS[:1]], ids=["heads", "one"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_with_sample_and_class_weights(kind, heads):
    model = ik.compile_model(classifier(*heads))
    by_hand = losses_of(model)
    forms = [LABELS, LABELS[:, None], ONE_HOT]
    for form, (given, classes) in enumerate([((), None), ((), CLASS_WEIGHTS), ((SAMPLE_WEIGHTS,), CLASS_WEIGHTS)]):
        weights = (OF_CLASSES if classes else 1) * (given[0] if given else 1)
        data = ik.with_aux_labels(KINDS[kind](IMAGES, forms[form], *given), model, class_weight=classes)
        model.run_eagerly = True  # which is faster
        options = {"steps": 1 if kind == "arrays" else 2, "verbose": 0, "return_dict": True}
        if isinstance(data, tuple):
            x, y, *rest = data
            figures = model.evaluate(x, y, sample_weight=rest[0] if rest else None, **options)
        else:
            figures = model.evaluate(data, **options)
        total = 0
        for name, (losses, hits) in by_hand.items():
            total += (losses * weights).mean() * (1 if name == "predictions" else 0.3)
            assert figures[f"{name}_accuracy" if len(heads) > 1 else "accuracy"] == hits.mean()
        assert figures["loss"] == pytest.approx(total, rel=1e-5)


def test_a_pydataset_keeps_its_length_workers_and_epochs():
    plain, inner = Batches(IMAGES, LABELS), Batches(IMAGES, LABELS)
    for heads, data in ((HEADS[:1], plain), (HEADS, inner)):
        model = ik.compile_model(classifier(*heads))
        model.run_eagerly = True
        outer = ik.with_aux_labels(data, model)
        model.fit(outer, epochs=3, verbose=0)
        assert (len(outer), outer.num_batches, outer.workers, outer.max_queue_size) == (2, 2, 2, 3)
    assert inner.epochs == plain.epochs >= 3


def test_a_second_call_changes_nothing():
    model = classifier(*HEADS)
    once = ik.with_aux_labels((IMAGES, LABELS, SAMPLE_WEIGHTS), model)
    twice = ik.with_aux_labels(once, model)
    assert all(twice[i][name] is once[i][name] for i in (1, 2) for name in HEADS)
    data = KINDS["tf.data"](IMAGES, LABELS, SAMPLE_WEIGHTS)
    spec = ik.with_aux_labels(data, model).element_spec
    assert ik.with_aux_labels(ik.with_aux_labels(data, model), model).element_spec == spec
    with pytest.raises(ValueError, match=r"Labels by head must be those of .*aux_2.*, got labels of species"):
        ik.with_aux_labels((IMAGES, {"species": LABELS}), model)


@pytest.mark.parametrize(
    "labels, sentence",
    [
        (LABELS + 1, "Labels must be whole numbers from 0 to 3, got 4"),
        (LABELS - 1, "Labels must be whole numbers from 0 to 3, got -1"),
        (LABELS + 0.5, "Labels must be whole numbers from 0 to 3, got 0.5"),
        (np.full(8, np.nan), "Labels must be whole numbers from 0 to 3, got nan"),
        (np.eye(7)[LABELS], r"Labels must be class indices .*\(n, 4\), got the shape \(8, 7\)"),
        (np.array(["cat", "dog"] * 4), "Labels must be numbers, got text"),
        (np.array(["cat", "dog"] * 4, object), "Labels must be numbers, got text"),
        (["cat", "dog"] * 4, "Labels must be numbers, got text"),
        (None, "Labels must be"),
    ],
)
def test_labels_that_are_refused(labels, sentence):
    for heads in (HEADS, HEADS[:1]):
        with pytest.raises(ValueError, match=sentence):
            ik.with_aux_labels((IMAGES, labels), classifier(*heads))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_that_are_refused_while_the_graph_runs(smoothing):
    model = ik.compile_model(classifier("predictions"), label_smoothing=smoothing)
    for labels in (LABELS + 1, LABELS[:, None] + 0.5):
        for data in ((IMAGES, labels), (batches(labels, tf.TensorSpec((None, None)[: labels.ndim], "float32")),)):
            with pytest.raises(tf.errors.InvalidArgumentError, match="Labels must be whole numbers from 0 to 3"):
                model.evaluate(*data, steps=1, verbose=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Labels must have the width 1 or 4, got"):
        model.evaluate(batches(np.eye(7)[LABELS], tf.TensorSpec((None, None), "float32")), steps=1, verbose=0)
    text = tf.data.Dataset.from_tensors((IMAGES, ["cat"] * 8))
    for call in (model.evaluate, lambda data, **_: ik.with_aux_labels(data, model)):
        with pytest.raises(ValueError, match="Labels must be numbers, got text"):
            call(text, verbose=0)


class Weighted(keras.metrics.Metric):
    """A metric without `get_config`, as tutorials write them."""

    def __init__(self, factor, name="weighted"):
        super().__init__(name=name)
        self.factor = factor
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")
        self.inner = keras.metrics.SparseCategoricalAccuracy()

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.inner.update_state(y_true, y_pred)
        self.total.assign(self.factor * self.inner.result())

    def reset_state(self):
        self.inner.reset_state()
        self.total.assign(0)

    def result(self):
        return self.total + 0.0


def highest(y_true, y_pred):
    return keras.ops.max(y_pred, -1)


def test_each_head_counts_by_itself():
    mine = Weighted(7.0)
    top = keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top_2")
    model = ik.compile_model(classifier(*HEADS), metrics=["accuracy", top, mine, highest])
    model.run_eagerly = True
    x, y = ik.with_aux_labels((IMAGES, LABELS), model)
    figures = model.evaluate(x, y, verbose=0, return_dict=True)
    outputs = {name: np.asarray(scores) for name, scores in model(IMAGES).items()}
    for name, (_, hits) in losses_of(model).items():
        best = np.argsort(-outputs[name], -1)[:, :2]
        assert figures[f"{name}_accuracy"] == hits.mean()
        assert figures[f"{name}_top_2"] == (best == LABELS[:, None]).any(-1).mean()
        assert figures[f"{name}_weighted"] == pytest.approx(7 * hits.mean())
        assert figures[f"{name}_highest"] == pytest.approx(outputs[name].max(-1).mean())
    assert len({figures[f"{name}_accuracy"] for name in HEADS}) == 3  # so that a shared figure would show
    assert float(mine.result()) == figures["predictions_weighted"]  # the object that was given is that head's


def test_metrics_as_keras_takes_them():
    def names(heads, metrics):
        model = ik.compile_model(classifier(*heads), metrics=metrics)
        model.run_eagerly = True
        return set(model.evaluate(*ik.with_aux_labels((IMAGES, LABELS), model), verbose=0, return_dict=True))

    heads = HEADS[:2]
    losses = {"loss", "predictions_loss", "aux_1_loss"}
    assert names(HEADS[:1], "accuracy") == {"loss", "accuracy"}
    assert names(HEADS[:1], ["acc", "ce"]) == {"loss", "acc", "ce"}
    assert names(HEADS[:1], None) == names(HEADS[:1], []) == {"loss"}
    assert names(HEADS[:1], {"predictions": "accuracy"}) == {"loss", "accuracy"}
    assert names(heads, "accuracy") == losses | {"predictions_accuracy", "aux_1_accuracy"}
    assert names(heads, None) == losses
    by_head = {"predictions": ["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="own")], "aux_1": None}
    assert names(heads, by_head) == losses | {"predictions_accuracy", "predictions_own"}
    shared = keras.metrics.SparseTopKCategoricalAccuracy(k=1, name="top")
    model = ik.compile_model(classifier(*heads), metrics={"predictions": shared, "aux_1": [shared]})
    figures = model.evaluate(*ik.with_aux_labels((IMAGES, LABELS), model), verbose=0, return_dict=True)
    hits = {name: hits.mean() for name, (_, hits) in losses_of(model).items()}
    assert {name: figures[f"{name}_top"] for name in heads} == hits


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"aux_weight": float("inf")}, r"aux_weight must be a number at least 0 and below 1e\+06, got inf"),
        ({"aux_weight": float("nan")}, "aux_weight must be .* got nan"),
        ({"aux_weight": 1e39}, "aux_weight must be .* got 1e"),
        ({"aux_weight": True}, "aux_weight must be .* got True"),
        ({"aux_weight": "0.3"}, "aux_weight must be .* got '0.3'"),
        ({"aux_weight": None}, "aux_weight must be .* got None"),
        ({"label_smoothing": True}, "label_smoothing must be .* got True"),
        ({"label_smoothing": float("nan")}, "label_smoothing must be .* got nan"),
        ({"metrics": "acuracy"}, "metrics must be names of metrics of Keras.* got 'acuracy'"),
        ({"metrics": [["accuracy"], ["accuracy"]]}, "metrics must be .* or a dict of these by head, got"),
        ({"metrics": 3}, "metrics must be .* got 3"),
        (
            {"metrics": {"aux_9": "accuracy"}},
            "metrics must name heads of the model, aux_1, aux_2, predictions, got aux_9",
        ),
        ({"optimizer": "adm"}, "optimizer must be the name of an optimizer of Keras.* got 'adm'"),
        ({"optimizer": None}, "optimizer must be .* got None"),
    ],
)
def test_options_that_are_refused_change_nothing(options, sentence):
    model = ik.compile_model(classifier(*HEADS), "sgd")
    before = model.get_compile_config()
    with pytest.raises(ValueError, match=sentence):
        ik.compile_model(model, **options)
    assert model.get_compile_config() == before


def test_things_that_are_no_models_or_data():
    class Own(keras.Model):
        pass

    for thing in (None, "net.keras", [1], ik.compile_model, keras.layers.Dense(2)):
        for call in (ik.compile_model, ik.strip_aux, lambda thing: ik.with_aux_labels((IMAGES, LABELS), thing)):
            with pytest.raises(TypeError, match="model must be a Keras model, got"):
                call(thing)
    for thing in (Own(), keras.Sequential([keras.layers.Dense(4)])):
        with pytest.raises(ValueError, match=r"no graph of layers|not built"):
            ik.compile_model(thing)
    model = classifier(*HEADS)
    for thing in (None, "photos", [IMAGES, LABELS], IMAGES, generator, {"image": IMAGES}):
        with pytest.raises(TypeError, match=r"dataset must be a tf.data.Dataset, a keras.utils.PyDataset"):
            ik.with_aux_labels(thing, model)
    for thing in ((IMAGES,), (IMAGES, LABELS, SAMPLE_WEIGHTS, 1)):
        with pytest.raises(ValueError, match="must give"):
            ik.with_aux_labels(thing, model)
    for weights in ([1.0, 2.0], {4: 1.0}, {-1: 1.0}, {"cat": 1.0}, {0: float("nan")}, {0: -1.0}, {0: None}):
        with pytest.raises((TypeError, ValueError), match="class"):
            ik.with_aux_labels((IMAGES, LABELS), model, class_weight=weights)
    with pytest.raises(ValueError, match=r"call dataset.batch first"):
        ik.with_aux_labels(KINDS["tf.data"](IMAGES, LABELS).unbatch(), model, class_weight={0: 2.0})


def test_softmax_is_seen_wherever_it_stands():
    def from_logits(make):
        image = keras.Input((3,))
        return ik.compile_model(keras.Model(image, make(image)))._compile_loss._user_loss.from_logits

    logits = keras.layers.Dense(4)
    inner = classifier("predictions")
    both = keras.layers.Average()
    assert not from_logits(lambda x: keras.layers.Activation("softmax", dtype="float32")(logits(x)))
    assert not from_logits(lambda x: keras.layers.Softmax()(logits(x)))
    assert not from_logits(lambda x: keras.ops.softmax(logits(x)))
    assert not from_logits(lambda x: keras.layers.Activation("linear")(inner(x)))
    assert not from_logits(lambda x: keras.layers.Reshape((4,))(inner(x)))
    assert not from_logits(lambda x: both([inner(x), keras.Sequential([keras.Input((3,)), inner])(x)]))
    assert from_logits(lambda x: logits(x))
    assert from_logits(lambda x: classifier("predictions", activation=None)(x))
    assert from_logits(lambda x: keras.layers.Average()([logits(x), logits(x)]))
    for make in (keras.layers.Dense(4, "sigmoid"), keras.layers.Dense(1, "sigmoid"), keras.layers.Dense(1)):
        with pytest.raises(ValueError, match=r"sigmoid|at least 2 classes"):
            from_logits(make)
