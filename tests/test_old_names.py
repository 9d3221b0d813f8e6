"""Names that have changed work for one more release, and warn once with the new name."""

import keras
import pytest

import inception_keras as ik
from inception_keras.blocks import conv_bn


def test_structure_is_without_weights():
    with pytest.warns(DeprecationWarning, match=r"^structure\(\) is now called without_weights\(\); ") as caught:
        with ik.structure():
            net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(ValueError, match=r"built inside without_weights\(\)"):
        ik.compile_model(net)
    assert "structure" not in ik.__all__


def test_arguments_of_inception_modules():
    maps = keras.Input((28, 28, 8))
    with pytest.warns(DeprecationWarning) as caught:
        old = ik.inception(maps, 1, 2, 3, 4, 5, 6, unit=conv_bn, third=3, name="a")
    assert sorted(str(warning.message).split("; ")[0] for warning in caught) == [
        "The argument third of inception is now called third_kernel",
        "The argument unit of inception is now called conv_block",
    ]
    assert {warning.filename for warning in caught} == {__file__}
    new = ik.inception(maps, 1, 2, 3, 4, 5, 6, conv_block=conv_bn, third_kernel=3, name="a")
    assert ik.profile(keras.Model(maps, old, name="functional")) == ik.profile(
        keras.Model(maps, new, name="functional")
    )
    with pytest.raises(TypeError, match=r"^naive_inception: unit is the old name of conv_block, got both"):
        ik.naive_inception(maps, 1, 2, 3, unit=conv_bn, conv_block=conv_bn)
