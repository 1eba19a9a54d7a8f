import ctypes
import importlib.util
import shutil
from pathlib import Path
from typing import get_args

import pytest

from fedmetaalign.errors import ToolError
from fedmetaalign.recipe import Deploy
from fedmetaalign.tinyml.elf import addresses, sizes
from fedmetaalign.tinyml.toolchain import CORES, Memory, compile_firmware, compile_library

pytestmark = pytest.mark.firmware

PROBE = Path(__file__).with_name("probe.c")
HOST_COMPILERS = ["zig", "gcc", "clang"]
PROGRAMS = {"zig": None, "gcc": "gcc", "clang": "clang", "arm": "arm-none-eabi-gcc"}


def needs(compiler):
    program = PROGRAMS[compiler]
    absent = program is not None and shutil.which(program) is None
    return pytest.param(
        compiler.replace("arm", "gcc"), marks=pytest.mark.skipif(absent, reason=f"{program} is not installed")
    )


@pytest.fixture
def source(tmp_path):
    def write(text, name="source.c"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def m4(tmp_path):
    def build(*sources, **options):
        options = {"entry": "f"} | options
        return compile_firmware(sources, CORES["cortex-m4"], tmp_path / "out.elf", **options).read_bytes()

    return build


@pytest.mark.parametrize("compiler", [needs(name) for name in HOST_COMPILERS])
def test_a_library_for_this_machine_computes_without_contraction(compiler, tmp_path):
    library = ctypes.CDLL(str(compile_library([PROBE], tmp_path / "probe.so", compiler=compiler)))
    library.product_and_sum.restype = ctypes.c_float
    values = (ctypes.c_float * 3)(1 + 2**-12, 1 + 2**-12, -(1 + 2**-11))  # fused, 2**-24 would be left
    assert library.product_and_sum(values) == 0.0
    assert library.weigh(1, 2, 3, 4, 5, 6) == 654321


@pytest.mark.parametrize("compiler", [needs("zig"), needs("arm")])
@pytest.mark.parametrize("core", [c for c in CORES.values() if c.gcc], ids=lambda core: core.name)
def test_each_compiler_compiles_for_each_core(core, compiler, tmp_path):
    elf = compile_firmware([PROBE], core, tmp_path / "probe.elf", "ratio", keep=["each"], compiler=compiler)
    symbols = addresses(elf.read_bytes())
    assert symbols["ratio"] % 2 == symbols["each"] % 2 == 1
    assert ("__aeabi_fdiv" in symbols) == (not core.has_fpu)


def test_every_target_of_a_recipe_is_a_core_that_is_emulated():
    targets = get_args(Deploy.model_fields["target"].annotation)
    assert set(targets) == {core.name for core in CORES.values() if core.unicorn}


def test_zig_compiles_for_riscv_and_the_compiler_for_arm_says_that_it_cannot(tmp_path):
    core = CORES["rv32imc"]
    elf = compile_firmware([PROBE], core, tmp_path / "probe.elf", "ratio", keep=["each"])
    assert "__divsf3" in addresses(elf.read_bytes())
    with pytest.raises(ToolError, match="There is no arm-none-eabi-gcc for rv32imc; compile with Zig"):
        compile_firmware([PROBE], core, tmp_path / "probe.elf", "ratio", compiler="gcc")


@pytest.mark.parametrize("compiler", [needs("zig"), needs("arm")])
def test_sizes_are_those_counted_by_hand(compiler, source, m4):
    text = """
        #include <stdint.h>
        static const int32_t table[5] = {1, 2, 3, 4, 5};
        static int32_t counters[2] = {1, 2};
        static int32_t history[25];
        extern int32_t unused[100];
        int32_t unused[100];
        int32_t f(uint32_t i, int32_t v);
        int32_t f(uint32_t i, int32_t v) {
            counters[i % 2u] += v;
            history[i % 25u] = counters[i % 2u];
            return table[i % 5u] + history[(i + 1u) % 25u];
        }
    """
    measured = sizes(m4(source(text), compiler=compiler))
    assert (measured.constants, measured.data, measured.zeros) == (20, 8, 104)  # zeros in steps of 8
    assert [measured.symbols[name] for name in ("table", "counters", "history")] == [20, 8, 100]
    assert measured.symbols["f"] <= measured.code < measured.symbols["f"] + 4  # padding
    assert measured.flash == measured.code + 28
    assert measured.ram == 112
    assert "unused" not in measured.symbols


def test_only_the_entry_and_what_is_kept_stays(m4):
    alone = addresses(m4(PROBE, entry="square"))
    assert "squares" in alone
    assert not {"weigh", "count_up", "counter"} & alone.keys()
    assert {"weigh", "counter"} <= addresses(m4(PROBE, entry="square", keep=["weigh", "count_up"])).keys()


@pytest.mark.parametrize("compiler", [needs("zig"), needs("arm")])
@pytest.mark.parametrize("optimize", ["-O2", "-Os"])
def test_symbols_stay_at_each_level_of_optimisation(optimize, compiler, m4):
    symbols = addresses(m4(PROBE, entry="square", optimize=optimize, compiler=compiler))
    assert {"square", "squares", "_bss_end"} <= symbols.keys()


def test_macros_and_folders_of_headers_reach_the_compiler(source, m4, tmp_path):
    (tmp_path / "headers").mkdir()
    (tmp_path / "headers" / "model.h").write_text("#define WIDTH 7\n", encoding="utf-8")
    text = '#include "model.h"\nint f(void);\nint f(void) { return WIDTH + DEPTH; }\n'
    assert m4(source(text), include=[tmp_path / "headers"], defines={"DEPTH": "3"})


def test_code_and_variables_lie_where_the_memory_is(m4):
    symbols = addresses(m4(PROBE, entry="count_up", memory=Memory(0x800_0000, 4096, 0x2400_0000, 1024)))
    assert symbols["count_up"] >> 12 == 0x8000
    assert symbols["counter"] == 0x2400_0000
    assert symbols["_stack"] == 0x2400_0400


def test_an_image_that_does_not_fit_is_refused(m4):
    with pytest.raises(ToolError, match=r"^The firmware does not compile: .*RAM.*overflow"):
        m4(PROBE, entry="count_up", memory=Memory(0, 4096, 0x2000_0000, 4))


@pytest.mark.parametrize("compiler", [needs("zig"), needs("arm")])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("int f(void) { return 1 }", "expected"),
        ("int f(long long x);\nint f(long long x) { return x; }", "conversion"),
        ("int f(void);\nint f(void) { int x; return 1; }", "unused"),
        ("int g(void);\nint f(void);\nint f(void) { return g(); }", "undefined .*g"),
        ("#include <stdlib.h>\nint f(void);\nint f(void) { return 1; }", "stdlib.h"),
    ],
)
def test_errors_and_warnings_are_reported_in_one_sentence(text, fault, compiler, source, m4):
    with pytest.raises(ToolError, match=f"^The firmware does not compile: [^\\n]*{fault}[^\\n]*\\.$"):
        m4(source(text), compiler=compiler)


def test_nothing_is_left_beside_the_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compile_firmware([PROBE], CORES["cortex-m4"], Path("probe.elf"), "square")
    compile_library([PROBE], Path("probe.so"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["probe.elf", "probe.so"]


def test_a_missing_compiler_is_named_with_where_to_get_it(m4, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match=r"arm-none-eabi-gcc is not installed; on Debian .* gcc-arm-none-eabi"):
        m4(PROBE, compiler="gcc")
    with pytest.raises(ToolError, match="clang is not installed; on Debian"):
        compile_library([PROBE], tmp_path / "probe.so", compiler="clang")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"install fedmetaalign\[firmware\], which brings Zig\.$"):
        m4(PROBE)
