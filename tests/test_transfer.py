"""Transfer learning: the structure of new nets, frozen layers, features, and short real runs of each kind."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from outside import python
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import inception_keras as ik
from inception_keras.blocks import conv_bn
from inception_keras.cli import app, training
from inception_keras.graph import nodes
from inception_keras.training import finetune as module
from inception_keras.training.folder import load_run
from inception_keras.training.tasks.classification import build
from inception_keras.weights.store import variables


def trained_blocks(model):
    """The blocks that have a trainable layer with weights, in order."""
    return list(dict.fromkeys(node.block for node in nodes(model) if node.layer.trainable_variables))


def blocks(model):
    return list(dict.fromkeys(node.block for node in nodes(model)))


@pytest.mark.parametrize(
    ("id", "width", "options"),
    [
        ("squeezenet1_1", 512, {}),
        ("googlenet", 1024, {"aux": True}),
        ("resnet18", 512, {}),
        ("lenet5_modern", 84, {}),
        ("mobilenet_v1_025", 256, {"input_shape": (None, None, 3)}),
    ],
)
def test_the_new_classifier_reads_what_the_old_one_read(without_weights, id, width, options):
    model = ik.create_model(id, **options)
    net = ik.transfer(model, 5)
    assert net.name == id and net.input.shape == model.input.shape
    assert net.output.shape == (None, 5)
    head = net.layers[-1]
    assert head.name == "predictions" and head.kernel.shape == (width, 5)
    assert trained_blocks(net) == ["predictions"]
    names = {layer.name for layer in model.layers}
    assert {layer.name for layer in net.layers} - names <= {"avg_pool"}
    assert not any(layer.name.startswith("aux") for layer in net.layers)


@pytest.mark.parametrize(
    ("id", "freeze", "first"),
    [
        ("googlenet", "up to inception_4e", "inception_5a"),
        ("googlenet", "early", "inception_5a"),
        ("squeezenet1_1", "early", "fire_6"),
        ("squeezenet1_1", "[!p]*", "predictions"),
        ("resnet18", "early", "stage_5"),
        ("resnet18", "up to stage_3", "stage_4"),
        ("lenet5_modern", None, "c1"),
    ],
)
def test_what_stays_frozen(without_weights, id, freeze, first):
    model = ik.create_model(id)
    assert trained_blocks(ik.transfer(model, 3, freeze=freeze))[0] == first
    weighted = trained_blocks(model)
    if first in weighted:
        kept = weighted[weighted.index(first) : -1]
        assert trained_blocks(ik.transfer(model, 3, freeze=freeze)) == [*kept, "predictions"]


def test_a_net_that_scores_pixels_is_refused(without_weights):
    for net in (ik.create_model("fcn_small8s"), ik.convolutionalize(ik.create_model("lenet5_modern"))):
        with pytest.raises(
            ValueError, match=r"gives scores for each pixel, .* by create_model\(id, classes=5, weights="
        ):
            ik.transfer(net, 5)


def test_none_freezes_nothing(without_weights):
    """None may also be given as "none", as on the command line and in recipe files."""
    model = ik.create_model("squeezenet1_1", include_top=False, pooling="avg")
    nets = [ik.transfer(model, 3, freeze=word) for word in (None, "none", "early")]
    free, none, early = (len(net.trainable_variables) for net in nets)
    assert free == none > early
    assert ik.Recipe(freeze="none").freeze == "none"  # and needs no weights


def test_unknown_blocks_name_the_nearest(without_weights):
    model = ik.create_model("googlenet")
    for pattern in ("inception_4f", "up to inception_4f"):
        with pytest.raises(ValueError, match="googlenet has no block 'inception_4f'; did you mean inception_4"):
            ik.transfer(model, 3, freeze=pattern)
    with pytest.raises(ValueError, match="googlenet has no block 'predictions'"):
        ik.freeze(model, "predictions")
    with pytest.raises(ValueError, match="no block 'incepton_3a'; did you mean inception_3a"):
        ik.unfreeze(model, "incepton_3a")


@pytest.fixture(scope="module")
def small():
    with ik.without_weights():
        return ik.transfer(ik.create_model("squeezenet1_1"), 3, freeze=None)


def freezing_names_blocks_exactly(small, data):
    """After a series of freezes and unfreezes, the last one decides about a block; the classifier's state is fixed."""
    names = blocks(small)[:-2]  # without avg_pool and predictions
    frozen = set()
    ik.freeze(small, None)
    for _ in range(data.draw(st.integers(1, 4))):
        block = data.draw(st.sampled_from(names))
        pattern, meant = data.draw(
            st.sampled_from(
                [
                    (block, {block}),
                    (block[:4] + "*", {name for name in names if name.startswith(block[:4])}),
                    ("?" * len(block), {name for name in names if len(name) == len(block)}),
                    (f"up to {block}", set(names[: names.index(block) + 1])),
                    ("all", set(names)),
                ]
            )
        )
        if data.draw(st.booleans()):
            ik.freeze(small, pattern)
            frozen = meant
        else:
            ik.unfreeze(small, pattern)
            frozen = frozen - meant
        weighted = [name for name in names if small.get_layer(name).name == name]
        for name in weighted:
            layers = [layer for layer in small.layers if layer.name.partition("-")[0] == name]
            assert {layer.trainable for layer in layers} == {name not in frozen}
        assert small.get_layer("predictions").trainable


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_freezing_names_blocks_exactly(small, data):
    freezing_names_blocks_exactly(small, data)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_freezing_names_blocks_exactly_in_more_examples(small, data):
    freezing_names_blocks_exactly(small, data)


def is_a_pattern_or_one_sentence(small, pattern):
    try:
        ik.freeze(small, pattern)
    except ValueError as error:
        assert "has no block" in str(error)
    assert small.get_layer("predictions").trainable


@settings(max_examples=20, deadline=None)
@given(pattern=st.text(max_size=12))
def test_any_text_is_a_pattern_or_one_sentence(small, pattern):
    is_a_pattern_or_one_sentence(small, pattern)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(pattern=st.text(max_size=12))
def test_any_text_is_a_pattern_or_one_sentence_in_more_examples(small, pattern):
    is_a_pattern_or_one_sentence(small, pattern)


def test_the_given_model_stays_as_it_is():
    model = ik.create_model("googlenet_cifar", batch_norm=True)
    net = ik.transfer(model, 3)
    assert len(model.trainable_variables) > 100 and len(net.trainable_variables) == 2
    ours, theirs = variables(net), variables(model)
    for name in ours.keys() - {"predictions/kernel", "predictions/bias"}:
        np.testing.assert_array_equal(ours[name], theirs[name])
        assert ours[name] is not theirs[name]
    assert ik.features(net, ["inception_4a"]).output["inception_4a"].shape[-1] == 512


def test_frozen_batch_norm_keeps_its_statistics_and_uses_them():
    x = image = keras.Input((8, 8, 3), name="image")
    for name in ("conv_1", "conv_2", "conv_3"):
        x = conv_bn(x, 4, 3, name=name)
    net = ik.transfer(keras.Model(image, x), 3, freeze="up to conv_2")
    random = np.random.default_rng(0)
    images, labels = 5 + random.standard_normal((8, 8, 8, 3), "float32"), random.integers(0, 3, 8)
    before = {name: np.array(variable) for name, variable in variables(net).items()}
    frozen = keras.Model(net.input, net.get_layer("conv_2-relu").output)
    np.testing.assert_allclose(frozen(images, training=True), frozen(images, training=False), atol=1e-5)
    ik.compile_model(net, keras.optimizers.SGD(0.1)).fit(images, labels, verbose=0)
    moved = {name.partition("/")[0] for name, variable in variables(net).items() if (before[name] != variable).any()}
    layers = {layer.name: layer for layer in net.layers if layer.weights}
    assert moved == {"conv_3", "conv_3-bn", "predictions"}
    own = layers["conv_3-bn"]
    assert (before["conv_3-bn/moving_mean"] != own.moving_mean).all()


def test_a_model_frozen_as_a_whole_can_be_unfrozen():
    model = ik.create_model("lenet5_modern")
    count = len(model.trainable_variables)
    model.trainable = False
    assert len(ik.unfreeze(model, "c1").trainable_variables) == 2
    assert len(ik.unfreeze(model).trainable_variables) == count


def test_nets_of_others_and_other_heads():
    x = image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="stem-conv")(x)
    x = keras.Sequential([keras.layers.Conv2D(6, 3), keras.layers.ReLU()], name="body")(x)
    net = keras.Model(image, keras.layers.Dense(9)(keras.layers.GlobalMaxPooling2D()(x)))
    assert ik.transfer(net, 4).count_params() == net.count_params() - 7 * 9 + 7 * 4
    trunk = keras.Model(image, keras.layers.GlobalMaxPooling2D()(x))
    assert ik.transfer(trunk, 4).count_params() == trunk.count_params() + 7 * 4
    two = ik.transfer(trunk, 4, head=lambda x, classes: keras.layers.Dense(classes)(keras.layers.Dense(5)(x)))
    assert len(two.trainable_variables) == 4
    with pytest.raises(ValueError, match=r"head must give scores of the shape \(None, 4\), got \(None, 5\)"):
        ik.transfer(trunk, 4, head=lambda x, classes: keras.layers.Dense(5)(x))
    with pytest.raises(ValueError, match="classes must be an int of at least 2, got 1"):
        ik.transfer(trunk, 1)


# ---------------------------------------------------------------------------------------------------- real weights


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Pieces of photographs, cut out as discs, squares and crosses, which ImageNet's features can tell apart."""
    root = tmp_path_factory.mktemp("shapes")
    random = np.random.default_rng(0)
    for name in ("cross", "disc", "square"):
        (root / name).mkdir()
        for i in range(20):
            left, top, side = random.integers(4, 20), random.integers(4, 20), random.integers(36, 42)
            colour = (*(int(c) for c in random.integers(0, 200, 3)), 255)
            picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
            draw, box = ImageDraw.Draw(picture), (left, top, left + side, top + side)
            if name == "disc":
                draw.ellipse(box, colour)
            elif name == "square":
                draw.rectangle(box, colour)
            else:
                draw.line(box, colour, 9)
                draw.line((box[0], box[3], box[2], box[1]), colour, 9)
            picture.save(root / name / f"{i}.png")
    return root


def recipe(shapes, **fields):
    common = {"model": "squeezenet1_1", "weights": "imagenet", "data": None, "data_dir": str(shapes)}
    return ik.Recipe(**common | {"image_size": 48, "epochs": 2, "batch_size": 16} | fields)


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def check_folder(result, shapes, tail):
    """Checks the folder of any kind of run: the files exist, and evaluate and predict agree with the run."""
    files = {path.name for path in result.folder.iterdir()}
    wanted = {"config.json", "metrics.csv", "test.csv", "model.keras", "checkpoints", "curves.png", "model.png"}
    assert wanted <= files
    config = json.loads((result.folder / "config.json").read_text())
    prepare = ik.Preprocessing.from_dict(config["preprocessing"])
    assert prepare == ik.preprocessing("squeezenet1_1").resized((48, 48))
    assert prepare.order == "bgr" and prepare.resize == 54
    report = ik.evaluate(result.folder)
    assert report.accuracy == pytest.approx(result.test_score) and report.images == 12
    model, _ = load_run(result.folder)
    data = ik.load_data(None, data_dir=shapes, preprocessing=prepare, augment=False)
    images, labels = next(data.test.as_numpy_iterator())
    scores = model(images).numpy()
    assert (scores.argmax(axis=1) == labels).mean() == pytest.approx(report.accuracy)
    named = ik.predict([shapes / "disc" / "0.png"], run=result.folder, top=3)[0]
    seen = model(prepare(shapes / "disc" / "0.png")[None]).numpy()[0]
    for name, score in named:
        assert score == pytest.approx(seen[data.class_names.index(name)], abs=1e-5)
    assert (result.folder / "checkpoints" / f"epoch_{result.best_epoch:03}.safetensors").is_file()
    assert trained_blocks(model) == tail
    return model


def test_a_linear_classifier_becomes_a_whole_model(shapes, tmp_path, capsys):
    result = module.finetune(recipe(shapes), tmp_path / "run", linear=True, cache=tmp_path / "features.npz")
    assert result.test_score > 0.9
    model = check_folder(result, shapes, ["predictions"])
    assert len(rows(tmp_path / "run" / "metrics.csv")) == len(module.STRENGTHS)
    training._tell(result)
    assert f"model.keras of fit {result.best_epoch}" in capsys.readouterr().out
    own, published = variables(model), variables(ik.create_model("squeezenet1_1", weights="imagenet"))
    for name in own.keys() & published.keys():
        np.testing.assert_array_equal(own[name], published[name])
    best = max(rows(tmp_path / "run" / "metrics.csv"), key=lambda row: float(row["val_accuracy"]))
    assert float(best["val_accuracy"]) == pytest.approx(result.validation_score)


def test_from_a_run_to_other_classes_or_the_same(shapes, tmp_path):
    fields = {"model": "lenet5_modern", "image_size": 32, "epochs": 1}
    source = ik.train(recipe(shapes, weights=None, **fields), tmp_path / "source", verbose=0)
    for name in ("cross", "disc"):
        shutil.copytree(shapes / name, tmp_path / "two" / name)
    fields |= {"weights": str(source.folder), "freeze": "up to c3"}
    result = module.finetune(recipe(tmp_path / "two", **fields), tmp_path / "run", verbose=0)
    assert module.finetune(recipe(tmp_path / "two", **fields), tmp_path / "run", resume=True, verbose=0) == result
    with pytest.raises(FileExistsError, match="holds a run already"):
        module.finetune(recipe(tmp_path / "two", **fields), tmp_path / "run")
    (model, config), (head, _) = load_run(result.folder), load_run(result.folder / "head")
    assert model.output.shape == (None, 2) and config["class_names"] == ["cross", "disc"]
    before, between, after = variables(load_run(source.folder)[0]), variables(head), variables(model)
    moved = {name for name in after if (between[name].numpy() != after[name].numpy()).any()}
    assert {name.partition("/")[0] for name in moved} == {"c5", "f6", "predictions"}
    kept = {name for name in before if not name.startswith("predictions")}
    assert all((before[name].numpy() == between[name].numpy()).all() for name in kept)
    assert ik.evaluate(result.folder).accuracy == pytest.approx(result.test_score)
    data = ik.load_data(None, data_dir=shapes, image_size=32)
    same = build(recipe(shapes, **fields), data)
    assert all((variables(same)[name].numpy() == variable.numpy()).all() for name, variable in before.items())
    assert trained_blocks(same) == ["c5", "f6", "predictions"]
    with pytest.raises(ValueError, match=r"takes images \(32, 32, 3\), the recipe wants \(40, 40, 3\)"):
        ik.train(recipe(shapes, **fields | {"image_size": 40}), tmp_path / "new")
    with pytest.raises(ValueError, match="is of the model lenet5_modern, the recipe wants squeezenet1_1"):
        ik.train(recipe(shapes, **fields | {"model": "squeezenet1_1", "freeze": None}), tmp_path / "new")


@pytest.mark.slow
def test_two_stages_on_two_devices_in_half_precision(shapes, tmp_path):
    fields = {"model": "lenet5_modern", "image_size": 32, "epochs": 1}
    source = ik.train(recipe(shapes, weights=None, **fields), tmp_path / "source", verbose=0)
    fields |= {"weights": str(source.folder), "freeze": "up to c3", "devices": 2, "precision": "mixed_bfloat16"}
    wanted = recipe(shapes, **fields).to_dict()
    code = f"import inception_keras as ik; ik.finetune(ik.Recipe(**{wanted!r}), {str(tmp_path / 'run')!r}, verbose=0)"
    python(code, tmp_path)
    before, after = (variables(load_run(tmp_path / "run" / part)[0]) for part in ("head", "."))
    moved = {name.partition("/")[0] for name in after if (before[name].numpy() != after[name].numpy()).any()}
    assert moved == {"c5", "f6", "predictions"}
    assert {variable.dtype for variable in after.values()} == {"float32"}


@pytest.mark.slow
def test_two_stages(shapes, tmp_path):
    words = ["--image-size", "48", "--epochs", "2", "--batch-size", "16", "--freeze", "up to fire_8"]
    run = CliRunner().invoke(app, ["finetune", "--data-dir", str(shapes), *words, "--out", str(tmp_path / "run")])
    assert run.exit_code == 0, run.output
    assert f"{tmp_path / 'run'}: model.keras of epoch" in run.output.replace("\n", "")
    assert [line[:12] for line in run.output.splitlines()[:6]] == [
        *("Stage 1 of 2", "Epoch 1/2 - ", "Epoch 2/2 - "),
        *("Stage 2 of 2", "Epoch 1/2 - ", "Epoch 2/2 - "),
    ]
    head, head_config = load_run(tmp_path / "run" / "head")
    model, config = load_run(tmp_path / "run")
    assert head_config["recipe"]["freeze"] == "all" and head_config["recipe"]["weights"] == "imagenet"
    assert config["recipe"]["freeze"] == "up to fire_8" and config["recipe"]["learning_rate"] == pytest.approx(2e-4)
    first, second = variables(head), variables(model)
    published = variables(ik.create_model("squeezenet1_1", weights="imagenet"))
    moved = {name.partition("-")[0] for name in second if (first[name].numpy() != second[name].numpy()).any()}
    assert moved == {"fire_9", "predictions/kernel", "predictions/bias"}
    for name in first.keys() & published.keys():
        np.testing.assert_array_equal(first[name], published[name])
    figures = rows(tmp_path / "run" / "test.csv")[-1]
    result = module.Result(tmp_path / "run", int(figures["epoch"]), 0.0, float(figures["test_accuracy"]), (), ())
    check_folder(result, shapes, ["fire_9", "predictions"])
    with pytest.raises(FileExistsError, match="holds a run already"):
        module.finetune(recipe(shapes), tmp_path / "run")


def test_recipes_that_cannot_be_finetuned(shapes, tmp_path):
    with pytest.raises(ValueError, match="finetune needs a recipe with weights"):
        ik.finetune(recipe(shapes, weights=None), tmp_path / "run")
    with pytest.raises(ValueError, match="To freeze 'all' a recipe needs weights"):
        recipe(shapes, weights=None, freeze="all")
    with pytest.raises(ValueError, match="squeezenet1_1 has no block 'fire_10'"):
        ik.train(recipe(shapes, freeze="fire_10"), tmp_path / "run")
    with pytest.raises(ValueError, match="no published ImageNet weights of lenet5"):
        ik.train(recipe(shapes, model="lenet5"), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def images(count, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, 32, 32, 3), "float32"), random.integers(0, 3, count)


def batches(pixels, labels, size=4):
    return tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(size)


def test_features_are_what_the_classifier_reads():
    model = ik.create_model("squeezenet1_1", weights="imagenet", input_shape=(32, 32, 3))
    pixels, labels = images(6)
    matrix, truth = ik.extract_features(model, batches(pixels, labels))
    assert matrix.dtype == np.float32 and matrix.shape == (6, 512)
    np.testing.assert_array_equal(truth, labels)
    maps = ik.features(model, ["fire_9"])(pixels)["fire_9"]
    np.testing.assert_allclose(matrix, np.mean(maps, axis=(1, 2)), rtol=1e-4, atol=1e-4)
    net = ik.transfer(model, 3)
    kernel, bias = net.layers[-1].get_weights()
    np.testing.assert_allclose(keras.ops.softmax(matrix @ kernel + bias), net(pixels), rtol=1e-3, atol=1e-5)


def test_the_cache_knows_images_and_models(tmp_path, monkeypatch):
    model = ik.create_model("lenet5_modern", input_shape=(32, 32, 3))
    cache = tmp_path / "features.npz"
    seen = []
    predict = keras.Model.predict_on_batch
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda net, x: seen.append(len(x)) or predict(net, x))

    def extract(pixels, labels):
        seen.clear()
        matrix, truth = ik.extract_features(model, batches(pixels, labels), cache=cache)
        np.testing.assert_array_equal(truth, labels)
        return matrix, sum(seen)

    pixels, labels = images(10)
    matrix, count = extract(pixels, labels)
    assert count == 10
    again, count = extract(pixels[::-1], labels[::-1])  # in any order
    assert count == 0
    np.testing.assert_array_equal(again, matrix[::-1])
    more, others = images(3, seed=1)
    assert extract(np.concatenate([pixels, more]), np.concatenate([labels, others]))[1] == 3
    assert extract(more, others)[1] == 0

    whole = cache.read_bytes()
    for broken in (b"", b"no archive", whole[: len(whole) // 2], whole[:-30]):
        cache.write_bytes(broken)
        again, count = extract(pixels, labels)
        assert count == 10
        np.testing.assert_allclose(again, matrix, rtol=1e-5, atol=1e-5)
    model.layers[1].kernel.assign(model.layers[1].kernel * 2)
    assert extract(pixels, labels)[1] == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features.npz"]


def test_a_cache_is_never_unpickled(tmp_path):
    cache = tmp_path / "features.npz"
    np.savez(cache, model=np.array([{"a": 1}], dtype=object), images=np.zeros(1), vectors=np.zeros(1))
    model = ik.create_model("lenet5_modern", input_shape=(32, 32, 3))
    assert ik.extract_features(model, batches(*images(2)), cache=cache)[0].shape == (2, 84)


def test_data_sets_without_labels_have_no_features():
    with pytest.raises(ValueError, match="must give"):
        ik.extract_features(ik.create_model("lenet5_modern"), tf.data.Dataset.from_tensors(tf.zeros((1, 32, 32, 1))))


@pytest.mark.parametrize("count", [2, 3])
def test_the_linear_classifier_is_scikit_learns(count):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    matrix = random.standard_normal((60, 5), "float32") * np.float32([1, 10, 0.1, 1, 0])
    labels = random.integers(0, count, 60) + (count == 2)  # the class 0 of 3 may have no images
    chances = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(matrix, labels).predict_proba(matrix)
    kernel, bias = module._fit(matrix, labels, np.ones(3), 0.1)
    ours = np.array(keras.ops.softmax(matrix @ kernel + bias))
    np.testing.assert_allclose(ours[:, -count:], chances, atol=1e-3)
    assert np.abs(ours.sum(axis=1) - 1).max() < 1e-5
