import keras
import numpy as np
import pytest

from inception_keras import create_model, features, without_weights


def _maps(id, blocks=None, **options):
    with without_weights():
        model = features(create_model(id, **options), blocks)
    return {name: tuple(output.shape[1:]) for name, output in model.output.items()}


def test_the_last_block_of_each_stride():
    assert _maps("googlenet", aux=True) == {
        "conv_1": (112, 112, 64),
        "norm_2": (56, 56, 192),
        "inception_3b": (28, 28, 480),
        "inception_4e": (14, 14, 832),
        "inception_5b": (7, 7, 1024),
    }
    assert list(_maps("seresnet50")) == ["conv_1", "stage_2", "stage_3", "stage_4", "stage_5"]
    assert list(_maps("inception_v4")) == ["conv_3", "stem_2", "inception_a_4", "inception_b_7", "inception_c_3"]


def test_without_the_classifier_that_is_a_convolution():
    assert list(_maps("squeezenet1_1"))[-1] == "fire_9"


@pytest.mark.parametrize(("id", "side"), [("vgg16", 32), ("vgg11_bn", 96), ("vgg16", 256), ("alexnet", 63)])
def test_an_adaptive_pool_belongs_to_the_classifier(id, side):
    sides = [shape[0] for shape in _maps(id, input_shape=(side, side, 3)).values()]
    assert sides == sorted(sides, reverse=True)
    assert "adaptive_pool" not in _maps(id, input_shape=(side, side, 3))
    if id == "vgg16":
        blocks = ["conv_1_2", "conv_2_2", "conv_3_3", "conv_4_3", "conv_5_3", "pool_5"]
        assert list(_maps(id, input_shape=(side, side, 3))) == blocks
    assert _maps(id, ["adaptive_pool"], input_shape=(side, side, 3))  # by its name it is there


@pytest.mark.parametrize(
    ("id", "side", "ends"),
    [("googlenet", 48, ["inception_4e", "inception_5b"]), ("nin_imagenet", 64, ["mlpconv_3", "mlpconv_4"])],
)
def test_a_pool_that_leaves_one_pixel_of_a_small_picture_is_not_a_global_one(id, side, ends):
    maps = _maps(id, input_shape=(side, side, 3))
    assert list(maps)[-2:] == ends and [maps[end][:2] for end in ends] == [(3, 3), (1, 1)]


def test_of_open_sizes_and_of_nets_without_a_top():
    expected = ["conv_1", "stage_2", "stage_3", "stage_4", "norm_5"]
    assert list(_maps("dpn68", input_shape=(None, None, 3))) == expected
    assert list(_maps("dpn68", include_top=False)) == expected


def test_named_blocks_and_layers():
    names = ["stage_2", "stage_3-block_1"]
    assert _maps("seresnet18", names) == {"stage_2": (56, 56, 64), "stage_3-block_1": (28, 28, 128)}


def test_shares_its_weights_with_the_model():
    model = create_model("mobilenet_v1_025", input_shape=(32, 32, 3))
    image = np.random.default_rng(0).standard_normal((1, 32, 32, 3), "float32")
    before = features(model)(image)["block_13"]
    model.get_layer("block_13-pointwise-bn").beta.assign(np.full(256, 2.0))
    assert not np.allclose(features(model)(image)["block_13"], before)


def test_says_which_maps_there_are():
    with pytest.raises(ValueError, match="lenet5 has no feature map 'c9'; did you mean c5"):
        _maps("lenet5", ["c9"])
    with pytest.raises(ValueError, match="has no feature maps"):
        x = keras.Input((3,))
        features(keras.Model(x, keras.layers.Dense(2)(x), name="dense"))
