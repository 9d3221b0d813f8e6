"""Fully convolutional nets: kernels, crops, sizes, weights of other nets, and how a finer net starts."""

import re
from itertools import pairwise

import keras
import numpy as np
import outside
import pytest
import tensorflow as tf

from inception_keras import (
    build_fcn_small,
    create_model,
    fcn,
    freeze,
    list_models,
    load_weights,
    save_weights,
    unfreeze,
)
from inception_keras import without_weights as no_weights
from inception_keras.analysis.block_graph import blocks
from inception_keras.analysis.profile import profile
from inception_keras.feature_maps import ends_of_strides, heads
from inception_keras.graph import read
from inception_keras.layers import Bilinear, BilinearConv2DTranspose, CropLike, ResizeLike
from inception_keras.segmentation.alignment import Grid, grids
from inception_keras.weights import caffe
from inception_keras.weights.pretrained import FreshWeightsWarning
from inception_keras.weights.store import variables
from inception_keras.weights.translate import translate

rng = np.random.default_rng(0)
RELEASED = {"fcn32s": (19,), "fcn16s": (5, 27), "fcn8s": (5, 9, 31), "fcn8s_atonce": (5, 9, 31), "fcn_alexnet": (18,)}
COUNTS = {
    "fcn32s": 136_152_917,
    "fcn16s": 134_815_994,
    "fcn8s": 134_489_759,
    "fcn8s_atonce": 134_489_759,
    "fcn_alexnet": 58_704_590,
    "fcn_googlenet32s": 7_801_413,
    "fcn_googlenet16s": 6_471_210,
    "fcn_googlenet8s": 6_149_679,
}


def images(*shape):
    return rng.normal(size=shape).astype("float32")


def authors_kernel(size):
    """The formula of the authors' surgery.py: weights fall from 1 at the centre to 0 at the distance of the factor."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    rows, columns = np.ogrid[:size, :size]
    return (1 - abs(rows - centre) / factor) * (1 - abs(columns - centre) / factor)


@pytest.mark.parametrize("size", [4, 16, 32, 63, 64])
def test_kernels_start_as_the_authors(size):
    layer = BilinearConv2DTranspose(3, size, (size + 1) // 2)
    layer.build((None, 5, 5, 3))
    kernel = layer.kernel.numpy()
    for i in range(3):
        for j in range(3):
            np.testing.assert_allclose(kernel[:, :, i, j], authors_kernel(size) if i == j else 0, atol=1e-7)


@pytest.mark.parametrize("size", [4, 16, 64])
def test_a_centred_kernel_is_the_next_smaller_one(size):
    kernel = Bilinear(centred=True)((size, size, 2, 2)).numpy()
    np.testing.assert_allclose(kernel[:-1, :-1, 0, 0], authors_kernel(size - 1), atol=1e-7)
    assert not kernel[-1].any() and not kernel[:, -1].any() and not kernel[:, :, 0, 1].any()


@pytest.mark.parametrize(("size", "first"), [(4, 1.5), (3, 1.0)])
def test_enlarging_interpolates(size, first):
    x = images(1, 6, 7, 2)
    layer = BilinearConv2DTranspose(2, size, 2)
    y = layer(x).numpy()
    assert y.shape == (1, 10 + size, 12 + size, 2)
    rows, columns = ((np.arange(n) - first) / 2 for n in y.shape[1:3])
    for channel in range(2):
        across = [np.interp(columns, np.arange(7), row) for row in x[0, :, :, channel]]
        wanted = np.array([np.interp(rows, np.arange(6), column) for column in np.transpose(across)]).T
        inside = np.ix_((rows >= 0) & (rows <= 5), (columns >= 0) & (columns <= 6))
        np.testing.assert_allclose(y[0, :, :, channel][inside], wanted[inside], atol=1e-6)


def test_enlarging_refuses_other_channels_and_small_kernels():
    with pytest.raises(ValueError, match="at least strides, got 3 and 4"):
        BilinearConv2DTranspose(2, 3, 4)
    with pytest.raises(ValueError, match="a map of 2 channels, got 3"):
        BilinearConv2DTranspose(2, 4, 2)(images(1, 5, 5, 3))


@pytest.mark.parametrize("offset", [-2, 0, 3])
@pytest.mark.parametrize("sides", [(4, 5), (9, 1), (12, 11)])
@pytest.mark.parametrize("known", [True, False])
def test_crops_to_another_size(offset, sides, known):
    x, like = images(2, 10, 8, 3), images(2, *sides, 1)
    shapes = [each.shape[1:3] if known else (None, None) for each in (x, like)]
    inputs = [keras.Input((*shape, each.shape[-1])) for shape, each in zip(shapes, (x, like), strict=True)]
    model = keras.Model(inputs, CropLike(offset)(inputs))
    assert model.output_shape == (None, *shapes[1], 3)
    wide = np.pad(x, ((0, 0), (20, 20), (20, 20), (0, 0)))
    wanted = wide[:, 20 + offset : 20 + offset + sides[0], 20 + offset : 20 + offset + sides[1]]
    np.testing.assert_array_equal(model([x, like]), wanted)
    np.testing.assert_array_equal(model.predict_on_batch([x, like]), wanted)


@pytest.mark.parametrize("sides", [(1, 1), (5, 7), (13, 11), (40, 33)])
def test_resizes_as_torch_does(sides):
    x = images(1, 5, 7, 2)
    wanted = x[0]
    for axis, (n, m) in enumerate(zip((5, 7), sides, strict=True)):
        places = ((np.arange(m) + 0.5) * n / m - 0.5).clip(0, n - 1)
        wanted = np.apply_along_axis(lambda line, at=places, n=n: np.interp(at, np.arange(n), line), axis, wanted)
    inputs = [keras.Input((None, None, 2)), keras.Input((None, None, 3))]
    model = keras.Model(inputs, ResizeLike()(inputs))
    np.testing.assert_allclose(model([x, images(1, *sides, 3)])[0], wanted, atol=1e-6)


def crops(model):
    return tuple(layer.offset for layer in model.layers if isinstance(layer, CropLike))


def aligned(model):
    """Whether all scores lie where their maps have seen the image, by kernels, strides and padding alone."""
    graph = read(model)
    found = grids(graph)
    sums = [node for node in graph.nodes if node.name.startswith("fuse_") and node.kind == "Add"]
    return found["predictions"] == Grid(1, 0) and all(len({found[name] for name in s.inputs}) == 1 for s in sums)


@pytest.mark.parametrize("id", COUNTS)
def test_has_the_published_number_of_parameters(id, without_weights):
    model = create_model(id)
    assert model.count_params() == COUNTS[id]
    assert aligned(model)
    if id in RELEASED:
        assert crops(model) == RELEASED[id]


@pytest.mark.parametrize("id", RELEASED)
def test_any_size_lies_within_the_enlarged_scores(id, without_weights):
    for side in (1, 2, 31, 32, 33, 65, 100, 225):
        model = create_model(id, input_shape=(side, side + 1, 3))
        for layer in model.layers:
            if isinstance(layer, CropLike):
                x, like = layer.input
                assert all(a >= layer.offset + b for a, b in zip(x.shape[1:3], like.shape[1:3], strict=True)), side
        assert model.output_shape == (None, side, side + 1, 21)


def test_costs_what_torchvision_says(without_weights):
    for id, gmacs in (("fcn_resnet50", 152.717), ("fcn_resnet101", 232.738)):
        assert profile(create_model(id, aux=True)).macs / 1e9 == pytest.approx(gmacs, abs=6e-4)


def test_dilation_is_drawn_and_skips_stand_beside_the_trunk(without_weights):
    details = {box.name: box.detail for block in blocks(create_model("fcn_resnet50")) for box in block.boxes}
    assert details["stage_5-block_3-conv_2"] == "512, dilation 4, BN, ReLU"
    assert details["stage_5-block_1-conv_2"] == "512, dilation 2, BN, ReLU"
    assert details["stage_4-block_1-conv_2"] == "256, BN, ReLU"
    trunk = {block.name: block for block in blocks(create_model("fcn8s"))}
    assert trunk["predictions"].boxes[0].inputs == ["upscore_8"]
    assert [head.name for head in trunk["pool_3"].heads] == ["score_pool_3"]
    assert (trunk["fuse_pool_3"].boxes[0].title, trunk["fuse_pool_3"].boxes[0].detail) == ("add", "+ score_pool_3")
    assert "inception_5b" in [block.name for block in blocks(create_model("fcn_googlenet8s"))]


# of each family, a net and its strides from 8 on
BACKBONES = {
    "vgg11": [8, 16, 32],
    "resnet18": [8, 16, 32],
    "googlenet": [8, 16, 32],
    "squeezenet1_1": [8, 16],
    "densenet121": [8, 16, 32],
    "mobilenet_v3_small": [8, 16, 32],
    "inception_v3": [8, 16, 32],
    "shufflenet_v2_x0_5": [8, 16, 32],
    "zfnet": [16, 32],
}
SIZED = {"xception", "lenet5", "lenet5_modern"}  # TensorFlow's padding depends on the size; LeNet-5's maps are finer
FAST = ("vgg11", "resnet18", "squeezenet1_1")
EVERY = [pytest.param(id, marks=() if id in FAST else pytest.mark.slow) for id in list_models() if id not in SIZED]


@pytest.mark.parametrize("id", EVERY)
def test_takes_any_net_as_its_backbone(id, without_weights):
    trunk = create_model(id, include_top=False, input_shape=(None, None, 3))
    graph, ends = ends_of_strides(trunk)
    strides = [grids(graph)[node.name].stride for node in ends]
    assert id not in BACKBONES or [stride for stride in strides if stride >= 8] == BACKBONES[id]
    for stride in strides[-2:] if id in FAST else strides[-2:-1]:  # the finer net alone has a skip
        net = fcn(trunk, stride=stride, classes=7)
        assert net.output_shape == (None, None, None, 7)
        assert aligned(net)
        assert net.name == f"fcn_{id}_{stride}s"
        added = [name for name in variables(net) if name not in variables(trunk)]
        assert {name.split("_")[0] for name in added} == {"score", "upscore"}


def test_a_classifier_is_a_backbone_without_its_dense_layers(without_weights):
    net = fcn(create_model("vgg11", input_shape=(64, 96, 3)), stride=16)
    assert net.output_shape == (None, 64, 96, 21)
    assert {"fc_6", "predictions"} & {layer.name for layer in net.layers} == {"predictions"}


def test_takes_skips_from_every_stride(without_weights):
    net = fcn(create_model("resnet18", include_top=False, input_shape=(None, None, 3)), stride=2)
    enlarged = [layer.name for layer in net.layers if layer.name.startswith("upscore")]
    assert (len(enlarged), enlarged[0], enlarged[-1]) == (5, "upscore_2", "upscore_image")


def test_says_what_a_backbone_lacks(without_weights):
    with pytest.raises(ValueError, match=r"stride must be 16, 8, 4 or 2, got 32"):
        fcn(create_model("squeezenet1_1"), stride=32)
    with pytest.raises(ValueError, match="stride must be 32, 16 or 8, got 4"):
        build_fcn_small(stride=4)
    with pytest.raises(ValueError, match="31 x 31 pixels"):
        create_model("fcn_googlenet8s", input_shape=(30, 64, 3))


def coarse(backbone, stride, classes=5):
    """A net whose scores are not zero."""
    net = fcn(backbone, stride=stride, classes=classes, name="coarse")
    layer = net.get_layer("score_fr")
    layer.kernel.assign(images(*layer.kernel.shape))
    layer.bias.assign(images(classes))
    return net


def started(net, backbone, stride):
    """A finer net with the weights of `net`, by name."""
    fine = fcn(backbone, stride=stride, classes=5, name="fine")
    own, given = variables(fine), variables(net)
    for name in own.keys() & given.keys():
        own[name].assign(given[name])
    return fine


def test_a_finer_net_starts_as_the_coarser_one():
    """Exactly, where centres of coarse pixels are centres of fine ones: interpolation in two steps is then one."""
    keras.utils.set_random_seed(0)
    trunk = create_model("squeezenet1_1", include_top=False, input_shape=(None, None, 3))
    net = coarse(trunk, 16)
    image = images(1, 160, 97, 3)
    wanted = net(image).numpy()
    given = started(net, trunk, 8)(image).numpy()
    last_rows, last_columns = ((side - 16) // 8 * 8 for side in image.shape[1:3])
    inside = np.s_[:, : last_rows + 1, : last_columns + 1]
    assert wanted.std() > 0.1
    np.testing.assert_allclose(given[inside], wanted[inside], rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_a_finer_vgg_starts_as_the_coarser_one_but_for_corners():
    """Halved pixels have other centres: interpolation in two steps cuts the corners that one step has at each centre.

    On the half of each line between centres, the results are equal. At a centre they differ by an eighth of the second
    difference of the scores.
    """
    keras.utils.set_random_seed(0)
    trunk = small_vgg()
    net = coarse(trunk, 32)
    image = images(1, 192, 192, 3)
    wanted = net(image).numpy()[0]
    given = started(net, trunk, 16)(image).numpy()[0]
    at = np.arange(192)
    halves = ((at - 7.5) // 16 % 2 == 1) & (at > 24) & (at < 168)  # between fine centres in one coarse interval
    assert halves.sum() > 50
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(given[np.ix_(halves, halves)], wanted[np.ix_(halves, halves)], rtol=0, atol=1e-5 * scale)
    inside = np.s_[24:168, 24:168]
    assert 1e-3 * scale < np.abs(given[inside] - wanted[inside]).max()
    second = [np.abs(np.diff(wanted[15::32, 15::32], 2, axis=axis)).max() for axis in (0, 1)]
    assert np.abs(given[inside] - wanted[inside]).max() <= sum(second) / 8 * 1.25


def small_vgg():
    """The trunk of fcn_small."""
    net = create_model("fcn_small32s", input_shape=(None, None, 3))
    return keras.Model(net.input, net.get_layer("pool_5").output, name="small")


def test_nets_of_three_strides_share_names_and_shapes(without_weights):
    for family in ("fcn{}s", "fcn_googlenet{}s", "fcn_small{}s"):
        nets = [variables(create_model(family.format(stride))) for stride in (32, 16, 8)]
        for a, b in pairwise(nets):
            assert {name: a[name].shape for name in a if name in b} == {n: b[n].shape for n in b if n in a}
            only = sorted({name.partition("/")[0] for name in b.keys() - a.keys()})
            assert len(only) == 3 and [name.split("_")[0] for name in only] == ["score", "upscore", "upscore"]
            assert all(name.startswith("upscore_") for name in a.keys() - b.keys())


def test_new_scores_are_zero():
    net = create_model("fcn_small8s", input_shape=(64, 33, 3), classes=4)
    assert not net(images(2, 64, 33, 3)).numpy().any()


def test_takes_the_weights_of_the_coarser_net(tmp_path):
    keras.utils.set_random_seed(1)
    first = create_model("fcn_small32s", classes=6, input_shape=(None, None, 3))
    first.get_layer("score_fr").kernel.assign(images(1, 1, 128, 6))
    save_weights(first, tmp_path / "first.safetensors")
    with pytest.warns() as said:
        second = create_model("fcn_small16s", weights=tmp_path / "first.safetensors", input_shape=(None, None, 3))
    texts = sorted(str(each.message) for each in said if each.category is not DeprecationWarning)
    assert second.output_shape[-1] == 6
    assert any(re.search(r"upscore_32/kernel of .*first.safetensors are left out", text) for text in texts)
    assert any(re.search(r"score_conv_5_3, upscore_16 of fcn_small16s keep fresh weights", text) for text in texts)
    own, given = variables(second), variables(first)
    for name in own.keys() & given.keys():
        np.testing.assert_array_equal(own[name], given[name])
    assert np.array_equal(own["upscore_16/kernel"][:, :, 0, 0], authors_kernel(32).astype("float32"))
    with pytest.raises(ValueError, match="unexpected: upscore_32/kernel"):
        load_weights(second, tmp_path / "first.safetensors")


def test_other_classes_keep_fresh_scores(tmp_path):
    first = create_model("fcn_small8s", classes=6)
    save_weights(first, tmp_path / "first.safetensors")
    with pytest.warns(
        FreshWeightsWarning, match=r"score_fr, .* stay as they are: they have 3 classes, .* has 6"
    ) as said:
        second = create_model("fcn_small8s", weights=tmp_path / "first.safetensors", classes=3)
    assert len(said) == 1
    np.testing.assert_array_equal(second.get_layer("conv_5_3").kernel, first.get_layer("conv_5_3").kernel)


def test_takes_the_weights_of_its_classifier(tmp_path):
    keras.utils.set_random_seed(2)
    classifier = create_model("googlenet", classes=7)
    save_weights(classifier, tmp_path / "googlenet.safetensors")
    with pytest.warns(FreshWeightsWarning, match=r"score_fr, .* of fcn_googlenet8s keep fresh weights") as said:
        net = create_model("fcn_googlenet8s", weights=tmp_path / "googlenet.safetensors")
    assert len(said) == 1
    assert net.output_shape[-1] == 21
    np.testing.assert_array_equal(
        net.get_layer("inception_5b-conv_3x3").kernel, classifier.get_layer("inception_5b-conv_3x3").kernel
    )


@pytest.mark.slow
def test_dense_layers_become_convolutions(tmp_path):
    keras.utils.set_random_seed(2)
    classifier = create_model("vgg16", classes=2)
    save_weights(classifier, tmp_path / "vgg16.safetensors")
    maps, wanted = images(1, 7, 7, 512), None
    x = maps.reshape(1, -1)
    for name in ("fc_6", "fc_7"):
        x = classifier.get_layer(name)(x)
    wanted = x.numpy()
    del classifier, x
    with pytest.warns(FreshWeightsWarning, match="score_fr"):
        net = create_model("fcn32s", weights=tmp_path / "vgg16.safetensors", input_shape=(None, None, 3))
    y = net.get_layer("fc_7")(net.get_layer("fc_6")(maps)).numpy().reshape(1, -1)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_heads_score_pixels(without_weights):
    assert [head.classifier.name for head in heads(create_model("fcn16s"))] == [
        *("score_fr", "upscore_2", "score_pool_4", "upscore_16")
    ]
    main, aux = heads(create_model("fcn_resnet50", aux=True))
    assert main.classifier.name == "predictions-score" and aux.classifier.name == "aux-score"
    assert [layer.name for layer in aux.rest] == ["aux-conv", "aux-conv-bn"]


def state_dict(model, id):
    """A state dict in the layout of the library that has published the net, without memory for its numbers."""
    from inception_keras.weights.caffe_names import caffe_rules
    from inception_keras.weights.torch_names import torch_rules
    from inception_keras.weights.translate import slots

    rules, *_ = [*torch_rules(id), *caffe_rules(id)]
    return {name: np.broadcast_to(np.float32(0), slot.shape) for name, slot in slots(model, rules).items()}


def test_released_scales_are_checked(without_weights):
    model = create_model("fcn8s_atonce")
    arrays = state_dict(model, "fcn8s_atonce")
    assert {"upscore_pool4.weight", "score_pool3.bias", "upscore8.weight", "fc6.weight"} <= arrays.keys()
    scales = {"scale_pool4.weight": np.full(512, 0.01, "float32"), "scale_pool3.weight": np.full(256, 1e-4, "float32")}
    assert translate(model, "fcn8s_atonce", arrays | scales).arrays.keys() == variables(model).keys()
    others = arrays | scales | {"scale_pool4.weight": np.full(512, 0.5, "float32")}
    assert "scale_pool4.weight" in translate(model, "fcn8s_atonce", others).arrays


def test_the_auxiliary_head_of_a_file_is_read_or_left_out(without_weights):
    net, whole = create_model("fcn_resnet50"), create_model("fcn_resnet50", aux=True)
    arrays = state_dict(whole, "fcn_resnet50")
    assert len([name for name in arrays if name.startswith("aux_classifier")]) == 7
    assert translate(net, "fcn_resnet50", arrays, whole).arrays.keys() == variables(net).keys()
    assert translate(whole, "fcn_resnet50", arrays, whole).arrays.keys() == variables(whole).keys()


def test_fcn_alexnet_is_caffenet_and_read(tmp_path):
    """The order of pools and norms that no classifier here has is that of this net."""
    import caffe_files

    def write(name):
        net = caffe_files.Net("net")
        x = net.add("LRN", "norm1", net.pool("pool1", net.conv("conv1", "data", 2, 3), 3, 2))
        for layer in ("conv5", "fc6", "fc7", name):
            x = net.conv(layer, x, 2, 1)
        caffe_files.write(net, tmp_path / "net.caffemodel")
        return tmp_path / "net.caffemodel"

    assert "score_fr.weight" in caffe.read(write("score_fr"))
    with pytest.raises(ValueError, match="No classifier here is CaffeNet"):
        caffe.read(write("fc8"))


def test_kernels_are_fixed_or_learned():
    fixed = create_model("fcn_small32s", classes=3, input_shape=(32, 32, 3))
    learned = create_model("fcn_small32s", classes=3, input_shape=(32, 32, 3), learn_upsampling=True)
    kernels = [len(net.trainable_variables) for net in (fixed, learned)]
    assert kernels[1] == kernels[0] + 1
    freeze(fixed, "all")
    unfreeze(fixed)
    assert len(fixed.trainable_variables) == kernels[0]
    for net, changes in ((fixed, False), (learned, True)):
        before = net.get_layer("upscore_32").kernel.numpy()
        net.get_layer("score_fr").kernel.assign(images(1, 1, 128, 3))
        net.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        net.train_on_batch(images(2, 32, 32, 3), np.zeros((2, 32, 32), "uint8"))
        assert np.array_equal(net.get_layer("upscore_32").kernel, before) != changes


def test_every_weight_is_trained_and_graphs_give_the_same():
    keras.utils.set_random_seed(3)
    net = create_model("fcn_small8s", classes=3, input_shape=(None, None, 3), learn_upsampling=True)
    for layer in net.layers:
        if layer.name.startswith("score_") and layer.weights:
            layer.kernel.assign(0.1 * images(*layer.kernel.shape))
    image = images(2, 45, 64, 3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(net(image, training=True) ** 2)
    gradients = tape.gradient(loss, net.trainable_variables)
    assert [v.path for v, g in zip(net.trainable_variables, gradients, strict=True) if g is None] == []
    assert all(np.isfinite(g).all() and np.any(g) for g in gradients)
    expected = net(image).numpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(net.predict_on_batch(image), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow  # because of the SavedModel
def test_is_the_same_in_another_process(tmp_path):
    keras.utils.set_random_seed(4)
    net = create_model("fcn_small8s", classes=3, input_shape=(None, None, 3))
    net.get_layer("score_fr").kernel.assign(images(1, 1, 128, 3))
    net.save(tmp_path / "net.keras")
    net.export(tmp_path / "saved", verbose=False)
    save_weights(net, tmp_path / "net.safetensors")
    image = images(1, 50, 37, 3)
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "scores.npy", net(image))
    outside.python(
        """
import numpy as np, keras, tensorflow as tf, inception_keras as ik
image, scores = np.load("image.npy"), np.load("scores.npy")
net = keras.models.load_model("net.keras")
np.testing.assert_allclose(net(image), scores, atol=1e-5)
assert len(net.trainable_variables) == len(ik.create_model("fcn_small8s").trainable_variables)
saved = tf.saved_model.load("saved")
np.testing.assert_allclose(saved.serve(image), scores, atol=1e-4)
again = ik.create_model("fcn_small8s", weights="net.safetensors", input_shape=(50, 37, 3))
np.testing.assert_allclose(again(image), scores, atol=1e-5)
""",
        tmp_path,
    )


def test_mixed_precision_gives_scores_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with no_weights():
            outputs = [create_model(id, input_shape=(64, 64, 3)).output for id in ("fcn_small8s", "fcn_resnet50")]
    finally:
        keras.config.set_dtype_policy("float32")
    assert [output.dtype for output in outputs] == ["float32", "float32"]
