"""The firmware on a machine whose int has 16 bits, as far as a compiler can tell: nothing in it needs more.

The MSP430 is such a machine. Zig's clang knows it; nothing here can run it.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedmetaalign.model.curve import Curve
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.tinyml import codegen, head
from fedmetaalign.tinyml.toolchain import FIRMWARE

pytestmark = pytest.mark.firmware
TARGET = ("-target", "msp430-freestanding-eabi", "-ffreestanding", "-Wno-unused-command-line-argument")


def complaints(source, folder):
    """What clang says of a C file for the MSP430; nothing where it compiles."""
    pytest.importorskip("ziglang")
    command = [sys.executable, "-m", "ziglang", "cc", *TARGET, "-c", "-std=c99", "-Wall", "-Wextra"]
    command += ["-Wconversion", str(source), f"-I{folder}", f"-I{FIRMWARE}", "-o", str(folder / "out.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stderr + "failed" * done.returncode


def test_a_shift_by_30_bits_in_int_is_found(tmp_path):
    source = tmp_path / "narrow.c"
    source.write_text("long f(long a);\nlong f(long a) { return a + (1 << 30); }\n")
    assert "shift count >= width of type" in complaints(source, tmp_path)


@pytest.mark.parametrize("outputs", [1, 5], ids="{} outputs".format)
@pytest.mark.parametrize("source", ["fma_infer.c", "fma_adapt.c", "main.c"])
def test_nothing_needs_a_wider_int(source, outputs, kind, every_format, network, samples, tmp_path):
    deployed = every_format(network(1, (9, 24, 20, 7, outputs)), samples(300))[kind]
    names, learns = tuple("abcdefghi"), head.header(deployed)
    preparation = Preparation(names, ("",) * 9, {}, (0.0,) * 9, (1.0,) * 9, tuple(range(9)))
    texts = codegen.files("pump", deployed, preparation, 0.5, np.eye(9), learns)
    if source == "fma_adapt.c" and not learns:
        assert source not in texts  # who cannot learn is given nothing to learn with
        return
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert complaints(tmp_path / source, tmp_path) == ""


def test_the_table_of_a_curve_needs_no_wider_int(every_format, network, samples, tmp_path):
    deployed = every_format(network(1, (9, 24, 20, 7, 1)), samples(300))["uint8"]
    names, curve = tuple("abcdefghi"), Curve.through([0.0, 1.0, 5.0], [-1.0, 0.0, 2.0])
    preparation = Preparation(names, ("",) * 9, {}, (0.0,) * 9, (1.0,) * 9, tuple(range(9)), (curve,) * 9)
    for name, text in codegen.files("pump", deployed, preparation, 0.5, np.eye(9)).items():
        (tmp_path / name).write_text(text)
    assert complaints(tmp_path / "fma_infer.c", tmp_path) == ""


def test_softmax_needs_no_wider_int(tmp_path):
    assert complaints(Path(__file__).with_name("softmax.c"), tmp_path) == ""
