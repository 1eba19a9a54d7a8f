"""The firmware's README names what a project needs."""

import re
import shutil

import pytest

from fedmetaalign.tinyml.firmware_folder import unpack
from fedmetaalign.tinyml.toolchain import CORES, compile_firmware

pytestmark = pytest.mark.firmware


@pytest.mark.parametrize(("steps", "entry"), [((1,), "fma_classify"), ((1, 4), "fma_adapt_step")])
def test_the_files_it_names_are_all_that_is_needed(finished, tmp_path, steps, entry):
    folder = tmp_path / "unpacked"
    unpack(finished.folder / "devices" / "feeder-00", folder)
    texts = re.split(r"^\d\. ", (folder / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name in {name for step in steps for name in re.findall(r"`(fma_\w+\.[ch])`", texts[step])}:
        shutil.copy(folder / name, tmp_path / name)
    compile_firmware(sorted(tmp_path.glob("*.c")), CORES["cortex-m4"], tmp_path / "a.elf", entry)
