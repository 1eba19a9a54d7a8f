"""The firmware's drift detector counts what Python counts, bit for bit."""

import ctypes
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedmetaalign.drift import Reference, follow
from fedmetaalign.drift.detector import calibrated
from fedmetaalign.drift.reference import single
from fedmetaalign.tinyml.compiled import host
from fedmetaalign.tinyml.drift_code import reference_header
from fedmetaalign.tinyml.toolchain import FIRMWARE

FEATURES = 6


def samples(random, rows):
    """Continuous, skewed, whole and constant features, and one of huge numbers."""
    x = random.normal(size=(rows, FEATURES))
    x[:, 1] = np.exp(2 * x[:, 1])
    x[:, 2] = random.integers(0, 3, rows)
    x[:, 3] = 7
    x[:, 4] *= 1e37
    return x


@pytest.fixture(scope="module", params=["zig", "gcc", "clang"])
def compiler(request):
    if request.param != "zig" and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture(scope="module", params=[1, 2], ids=["one reference", "two references"])
def built(request, compiler, tmp_path_factory):
    """A reference, and the firmware made with it."""
    x = samples(np.random.default_rng(request.param), 300)
    faults = np.arange(300) < 100 * (request.param - 1)
    reference = replace(calibrated(Reference.of(x, faults), x, faults), every=np.array([1, 2, 4, 1, 64, 1]))
    assert len(reference.edges) == request.param
    folder = tmp_path_factory.mktemp("firmware")
    (folder / "fma_model.h").write_text(f"#include <stdint.h>\n#define FMA_FEATURES {FEATURES}\n")
    (folder / "fma_reference.h").write_text(reference_header(reference))
    return reference, host([FIRMWARE / "fma_drift.c"], [folder], compiler).library


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.floats(0, 3), st.booleans())
def test_the_sums_and_the_alarms_are_those_of_python(built, seed, shift, odd):
    reference, library = built
    random = np.random.default_rng(seed)
    x, faults = samples(random, 200) + shift, random.random(200) < 0.3
    if odd:
        x[random.random(x.shape) < 0.2] = np.nan
        x[random.random(x.shape) < 0.05] = np.inf
        x[random.random(x.shape) < 0.05] = -1e300
    state = np.zeros(FEATURES * 4 + 1, np.int16)
    raw = np.ascontiguousarray(single(x))
    address = ctypes.c_void_p(state.ctypes.data)
    first = np.full(FEATURES, -1)
    for row in range(200):
        found = library.fma_drift(address, ctypes.c_void_p(raw[row].ctypes.data), int(faults[row]))
        alarms = np.array([library.fma_drifted(address, feature) for feature in range(FEATURES)])
        assert found == alarms.sum()
        first[(first < 0) & (alarms > 0)] = row
    before = state.copy()
    assert library.fma_drift(address, ctypes.c_void_p(raw[0].ctypes.data), 2) == found  # a broken sensor
    assert (state == before).all()
    told = follow(reference, x, faults)
    assert state.tolist() == [*told.sums.ravel().tolist(), told.seen]
    assert first.tolist() == told.since.tolist()
    library.fma_drift_reset(address)
    assert not state.any()
