"""Names that have changed work for one more release, and warn once with the new name."""

import keras
import pytest

import inception_keras as ik


def test_structure_is_without_weights():
    with pytest.warns(DeprecationWarning, match=r"^structure\(\) is now called without_weights\(\); ") as caught:
        with ik.structure():
            net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(ValueError, match=r"built inside without_weights\(\)"):
        ik.compile_model(net)
    assert "structure" not in ik.__all__
