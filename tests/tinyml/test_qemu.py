import shutil
from pathlib import Path

import pytest

from fedmetaalign.errors import ToolError
from fedmetaalign.proof import qemu
from fedmetaalign.proof.qemu import BOARDS
from fedmetaalign.tinyml.toolchain import FIRMWARE, compile_firmware

pytestmark = pytest.mark.firmware

PROBE = Path(__file__).with_name("board.c")


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


emulated = needs("qemu-system-arm")


@pytest.fixture
def image(tmp_path):
    def build(board, **options):
        sources = [PROBE, FIRMWARE / "startup.c"]
        out = tmp_path / "image.elf"
        return compile_firmware(
            sources, board.core, out, "reset_handler", include=[FIRMWARE], memory=board.memory, **options
        )

    return build


@emulated
@pytest.mark.parametrize("compiler", ["zig", pytest.param("gcc", marks=needs("arm-none-eabi-gcc"))])
@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.machine)
def test_an_image_starts_prints_and_ends_with_its_status(board, compiler, image):
    assert qemu.run(image(board, compiler=compiler), board) == qemu.Run(42, "counter 5\n")


@emulated
@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.machine)
def test_a_fault_is_no_status(board, image):
    with pytest.raises(ToolError, match=rf"^The firmware crashed on QEMU's {board.machine}: .* a fault\.$"):
        qemu.run(image(board, defines={"PROBE_FAULT": "1"}), board)


@emulated
def test_code_for_a_larger_core_crashes_on_a_smaller_one(image):
    board = BOARDS["mps2-an385"]
    larger = qemu.Board(board.machine, BOARDS["mps2-an386"].core, board.memory)
    with pytest.raises(ToolError, match="crashed on QEMU's mps2-an385"):
        qemu.run(image(larger), board)


@emulated
def test_a_program_without_end_is_ended(image):
    board = BOARDS["mps2-an386"]
    with pytest.raises(ToolError, match=r"^The firmware did not end within 0\.5 seconds on QEMU's mps2-an386"):
        qemu.run(image(board, defines={"PROBE_ENDLESS": "1"}), board, timeout=0.5)


@emulated
def test_what_qemu_refuses_is_reported_in_its_words(image):
    board = BOARDS["mps2-an386"]
    unknown = qemu.Board("mps9", board.core, board.memory)
    with pytest.raises(ToolError, match=r"^QEMU's mps9 failed: [^\n]*unsupported machine type[^\n]*\.$"):
        qemu.run(image(unknown), unknown)


def test_a_missing_qemu_is_named_with_where_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match=r"QEMU is not installed; on Debian .* package qemu-system-arm"):
        qemu.run(tmp_path / "image.elf", BOARDS["microbit"])
