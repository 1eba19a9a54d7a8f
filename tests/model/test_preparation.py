"""From raw units to the network's inputs and back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.model.preparation import Preparation


def preparation(columns, mean=(100.0, -2.0), scale=(10.0, 0.5)):
    names = tuple("abcdef"[: len(mean)])
    return Preparation(names, ("",) * len(mean), {}, tuple(mean), tuple(scale), tuple(columns))


RAW = np.array([[100.0, -2.0], [120.0, -1.0], [95.0, -3.5]])


def test_a_feature_is_centred_and_scaled_and_other_inputs_are_zero():
    inputs = preparation((0, 1, -1, -1)).apply(RAW)
    assert inputs.dtype == np.float32
    assert inputs.tolist() == [[0, 0, 0, 0], [2, 2, 0, 0], [-0.5, -3, 0, 0]]


def test_an_input_takes_the_feature_that_its_column_names():
    assert preparation((1, 0, 1)).apply(RAW).tolist() == [[0, 0, 0], [2, 2, 2], [-3, -0.5, -3]]


def test_no_rows_give_no_inputs():
    assert preparation((0, 1, -1)).apply(np.zeros((0, 2))).shape == (0, 3)


def test_the_mean_is_taken_off_before_float32_rounds():
    # Near 2^24 float32 steps by 1 or 2: only a subtraction in float64 keeps the quarter.
    prepared = preparation((0,), mean=(2.0**24,), scale=(0.25,)).apply(np.array([[2.0**24 + 0.25]]))
    assert prepared.tolist() == [[1]]


def test_the_raw_samples_are_not_written_to():
    raw = RAW.copy()
    preparation((0, 1)).apply(raw)
    assert raw.tolist() == RAW.tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_raw_undoes_apply(features, extra, random, scale, mean):
    columns = [*range(features), *[random.randrange(-1, features) for _ in range(extra)]]
    random.shuffle(columns)
    prepare = preparation(columns, mean=(mean,) * features, scale=(scale,) * features)
    raw = mean + scale * np.array([[random.uniform(-4, 4) for _ in range(features)] for _ in range(5)])
    back = prepare.raw(prepare.apply(raw))
    assert back.dtype == np.float64
    # An input of at most 4 is rounded to float32 by at most 2^-23 and scaled back; float64 adds its own dust.
    np.testing.assert_allclose(back, raw, rtol=1e-12, atol=scale * 2.0**-22)
