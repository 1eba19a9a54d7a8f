"""What an audit says of windows: their number, classes of one recording, nothing about the order of rows."""

import numpy as np

from fedmetaalign.fleet.audit.table import audit
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.windows import windowed
from fedmetaalign.recipe import Window


def test_windows_are_counted_and_a_class_of_one_recording_is_a_warning():
    random = np.random.default_rng(0)
    y = np.repeat([0, 1, 1], 400).astype(np.int8)
    names = np.repeat(["r0", "r1", "r2"], 400)
    table = Table("pump", ("flow",), random.normal(size=(1200, 1)) + 9 * y[:, None], y, ("",), recordings=names)
    found = audit(windowed(table, Window(length=40, front=("statistics",)))).findings
    said = {finding.code: finding for finding in found}
    assert said["windows"].sentence == "30 windows of 3 recordings, 10 of each."
    assert said["one-recording"].sentence.startswith("Nearly all windows of 'normal' are of recording 'r0'")
    assert said["one-recording"].severity == "warning"
    assert not {"order", "drift", "sorted", "leak", "identifier"} & said.keys()
    assert said["rule"].severity == "warning"  # one threshold tells them apart: that is still said


def test_features_that_are_always_the_same_are_one_finding():
    y = np.repeat([0, 1], 200).astype(np.int8)
    x = np.tile([1.0, -1.0], 200)[:, None]
    found = audit(windowed(Table("p", ("a",), x, y, ("",)), Window(length=20, front=("statistics",)))).findings
    (constant,) = [finding for finding in found if finding.code == "constant"]
    assert constant.sentence.startswith("Features that are the same in all windows: 8 of 8 (a.mean, a.rms, ")
    assert constant.severity == "info"
