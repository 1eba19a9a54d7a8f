import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from fedmetaalign.errors import ToolError
from fedmetaalign.tinyml import thumb
from fedmetaalign.tinyml.emulator import Emulator
from fedmetaalign.tinyml.processors import riscv_cost
from fedmetaalign.tinyml.thumb import CodeCost
from fedmetaalign.tinyml.toolchain import CORES, compile_firmware

pytestmark = pytest.mark.firmware

PROBE = Path(__file__).with_name("probe.c")
FUNCTIONS = [
    *("square", "weigh", "ratio", "each", "round_to_integers", "product_and_sum", "square_roots"),
    *("poke", "sum_to", "deep", "endless"),
]
EMULATED = [core for core in CORES.values() if core.unicorn]
ARM = [core for core in EMULATED if core.name.startswith("cortex")]
DSP = [core for core in ARM if core.name not in ("cortex-m0", "cortex-m3")]


def by_name(core):
    return core.name


@pytest.fixture(scope="session")
def probes(tmp_path_factory):
    """The probe compiled for each core."""
    folder = tmp_path_factory.mktemp("probes")
    return {
        core.name: compile_firmware(
            [PROBE],
            core,
            folder / core.name,
            "count_up",
            keep=[*FUNCTIONS, *(["smlad", "sxtb16"] if core in DSP else [])],
            defines={"PROBE_SQUARE_ROOT": "1"},
        ).read_bytes()
        for core in EMULATED
    }


@pytest.fixture
def start(probes):
    return lambda core: Emulator(probes[core.name], core)


def random_floats(count, seed):
    """Half of them any bit pattern, denormals, infinities and NaN among them, half of them near 1."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**32, count, dtype=np.uint32).view(np.float32)
    values[::2] = rng.normal(size=count // 2)
    values[::10] *= np.float32(1e-41)
    return values


def send(emulator, array):
    address = emulator.allocate(array.nbytes)
    emulator.write(address, array.tobytes())
    return address


def same_bits(result, expected):
    """NaN has many bit patterns, and which of them comes out is up to the machine."""
    numbers = ~np.isnan(expected)
    return np.array_equal(numbers, ~np.isnan(result)) and np.array_equal(
        result.view(np.uint32)[numbers], expected.view(np.uint32)[numbers]
    )


@pytest.mark.parametrize("core", EMULATED, ids=by_name)
def test_four_operations_round_as_on_this_machine(core, start):
    emulator, n = start(core), 2000
    a, b = random_floats(n, 1), random_floats(n, 2)
    out = emulator.allocate(16 * n)
    emulator.call("each", send(emulator, a), send(emulator, b), out, n)
    with np.errstate(all="ignore"):
        expected = np.stack([a + b, a - b, a * b, a / b], axis=1)
    result = np.frombuffer(emulator.read(out, 16 * n), np.float32).reshape(n, 4)
    denormal = (np.abs(expected) > 0) & (np.abs(expected) < np.finfo(np.float32).tiny)
    assert denormal.sum(axis=0).min() > 20
    if not core.has_fpu:  # Zig's soft-float division truncates a denormal quotient
        result = np.where(denormal & (np.arange(4) == 3), expected, result)
    assert same_bits(result, expected)


@pytest.mark.parametrize("core", EMULATED, ids=by_name)
def test_square_roots_round_as_on_this_machine(core, start):
    emulator, n = start(core), 2000
    a = np.abs(random_floats(n, 3))
    out = emulator.allocate(4 * n)
    emulator.call("square_roots", send(emulator, a), out, n)
    with np.errstate(all="ignore"):
        assert same_bits(np.frombuffer(emulator.read(out, 4 * n), np.float32), np.sqrt(a))


@pytest.mark.parametrize("core", EMULATED, ids=by_name)
def test_conversions_truncate_and_comparisons_hold(core, start):
    emulator = start(core)
    a = np.float32([0.4, 0.5, -0.4, -0.5, 1.5, -2.5, 1e-45, -1e9])
    out = emulator.allocate(32)
    emulator.call("round_to_integers", send(emulator, a), out, 8)
    assert struct.unpack("<8i", emulator.read(out, 32)) == (0, 1, 0, -1, 2, -3, 0, -1_000_000_000)


@pytest.mark.parametrize("core", EMULATED, ids=by_name)
def test_a_product_is_rounded_before_it_is_added_to(core, start):
    emulator = start(core)
    a = np.float32([1 + 2**-12, 1 + 2**-12, -(1 + 2**-11)])  # fused, 2**-24 would be left
    assert emulator.call("product_and_sum", send(emulator, a)).real == 0.0


@pytest.mark.parametrize("core", EMULATED, ids=by_name)
def test_results_come_from_the_registers_that_the_core_returns_them_in(core, start):
    emulator = start(core)
    assert emulator.call("ratio", -3, 4).real == -0.75
    assert emulator.call("square", 3).result == 9
    assert emulator.call("weigh", 1, 2, 3, 4, 5, 6).result == 654321
    assert emulator.call("weigh", -1, 0, 0, 0, 0, 0).result == 2**32 - 1


@pytest.mark.parametrize("core", EMULATED, ids=by_name)
def test_variables_start_at_their_values_and_keep_what_is_written(core, start):
    emulator = start(core)
    assert [emulator.call("count_up", 2).result for _ in range(3)] == [7, 9, 11]
    emulator.write(emulator.symbol("counter"), struct.pack("<i", 100))
    assert emulator.call("count_up", 1).result == 101
    assert start(core).call("count_up", 0).result == 5


@pytest.mark.parametrize("core", ARM, ids=by_name)
@pytest.mark.parametrize("n", [1, 2, 1000])
def test_instructions_and_cycles_are_those_counted_by_hand(core, start, n):
    call = start(core).call("sum_to", n)
    assert call.result == n * (n + 1) // 2
    assert call.instructions == 1 + 3 * n + 2
    assert call.cycles == call.instructions + 2 * (n - 1) + 2  # n - 1 branches back, and the return


def test_counting_can_be_left_out_and_taken_up_again(start):
    emulator = start(CORES["cortex-m4"])
    assert emulator.call("sum_to", 10, count=False).instructions == 0
    assert emulator.call("sum_to", 10).instructions == 33
    assert emulator.call("sum_to", 10, count=False).cycles == 0
    assert emulator.call(emulator.symbol("sum_to"), 20).instructions == 63


def test_instructions_of_riscv_are_those_of_two_bytes_and_of_four():
    # c.li a0, 1; addi a0, a0, 1000; c.add a0, a1; c.jr ra
    assert riscv_cost(bytes.fromhex("0545 1305853e 2e95 8280")) == CodeCost(4, 0)


@pytest.mark.parametrize("core", ARM, ids=by_name)
def test_stack_is_measured_call_by_call(core, start):
    emulator = start(core)
    assert [emulator.call(name, 4).stack for name in ("deep", "sum_to", "deep")] == [32, 0, 32]


@pytest.mark.parametrize("core", DSP, ids=by_name)
def test_dsp_instructions_run(core, start):
    emulator = start(core)
    assert emulator.call("smlad", 0x0002_0003, 0x0004_0005, 7).result == 2 * 4 + 3 * 5 + 7
    assert emulator.call("smlad", 0xFFFF_0003, 0x7FFF_0005, 0).result == (-0x7FFF + 15) % 2**32
    assert emulator.call("sxtb16", 0x80FF_017F).result == 0xFFFF_007F


@pytest.mark.parametrize("name", ["cortex-m0", "cortex-m3"])
def test_a_core_refuses_instructions_that_it_does_not_have(name, probes):
    emulator = Emulator(probes["cortex-m4"], CORES[name])
    with pytest.raises(ToolError, match=rf"^The emulated {name} stopped at 0x[0-9a-f]+ in ratio: [^\n]+\.$"):
        emulator.call("ratio", 1, 2)


@pytest.mark.parametrize("core", EMULATED, ids=by_name)
@pytest.mark.parametrize("address", [0x100, 0x4000_0000], ids=["flash", "nothing"])
def test_a_write_to_where_no_ram_is_stops_the_firmware(core, start, address):
    emulator = start(core)
    with pytest.raises(ToolError, match=r"stopped at .* in poke: "):
        emulator.call("poke", address)
    assert emulator.call("square", 2).result == 4


def test_only_a_cortex_m0_refuses_unaligned_words(start):
    start(CORES["cortex-m3"]).call("poke", 0x2000_8001)
    with pytest.raises(ToolError, match="in poke"):
        start(CORES["cortex-m0"]).call("poke", 0x2000_8001)


def test_a_stack_that_overflows_stops_the_firmware(start):
    with pytest.raises(ToolError, match="in endless"):
        start(CORES["cortex-m4"]).call("endless")


def test_memory_is_allocated_aligned_and_behind_the_variables(start):
    emulator = start(CORES["cortex-m4"])
    first, second = emulator.allocate(3), emulator.allocate(8)
    assert first % 8 == 0
    assert second == first + 8
    assert first >= emulator.symbol("counter") + 4
    with pytest.raises(ToolError, match="no 2000000 bytes of RAM left"):
        emulator.allocate(2_000_000)


def test_what_is_not_there_is_said_in_a_sentence(start, probes, monkeypatch):
    with pytest.raises(ToolError, match="no symbol 'fma_score'; name it among those to keep"):
        start(CORES["cortex-m4"]).call("fma_score")
    with pytest.raises(ToolError, match="has no cortex-m55"):
        Emulator(b"", CORES["cortex-m55"])
    monkeypatch.setitem(sys.modules, "elftools.elf.elffile", None)
    with pytest.raises(ToolError, match=r"pyelftools is not installed; install fedmetaalign\[firmware\]\.$"):
        start(CORES["cortex-m4"])
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(ToolError, match=r"unicorn is not installed; install fedmetaalign\[firmware\]\.$"):
        start(CORES["cortex-m4"])


@pytest.mark.parametrize(
    ("code", "instructions", "cycles"),
    [
        ("0844", 1, 1),  # add r0, r1
        ("0868", 1, 2),  # ldr r0, [r1]
        ("08684a68", 2, 3),  # two loads, pipelined
        ("086808444a68", 3, 5),  # two loads apart
        ("f0b5", 1, 6),  # push {r4-r7, lr}
        ("f0bd", 1, 6),  # pop {r4-r7, pc}
        ("07c8", 1, 4),  # ldmia r0!, {r0-r2}
        ("90e80e00", 1, 4),  # ldm.w r0, {r1-r3}
        ("d1e90023", 1, 3),  # ldrd r2, r3, [r1]
        ("51f8042b", 1, 2),  # ldr r2, [r1], #4
        ("dfe801f0", 1, 2),  # tbb [pc, r1]
        ("90fbf1f0", 1, 12),  # sdiv r0, r0, r1
        ("b0fbf1f0", 1, 12),  # udiv r0, r0, r1
        ("01fb0200", 1, 1),  # mla r0, r1, r2, r0
        ("21fb0203", 1, 1),  # smlad r3, r1, r2, r0
        ("90ed000a", 1, 2),  # vldr s0, [r0]
        ("90ed000b", 1, 3),  # vldr d0, [r0]
        ("b0ec040a", 1, 5),  # vldmia r0!, {s0-s3}
        ("2ded048b", 1, 5),  # vpush {d8, d9}
        ("00ee100a", 1, 1),  # vmov s0, r0
        ("41ec100b", 1, 2),  # vmov d0, r0, r1
        ("30ee200a", 1, 1),  # vadd.f32 s0, s0, s1
        ("20ee200a", 1, 1),  # vmul.f32 s0, s0, s1
        ("00ee200a", 1, 3),  # vmla.f32 s0, s0, s1
        ("a0ee200a", 1, 3),  # vfma.f32 s0, s0, s1
        ("80ee200a", 1, 14),  # vdiv.f32 s0, s0, s1
        ("c0ee200a", 1, 14),  # vdiv.f32 s1, s0, s1
        ("b1eec00a", 1, 14),  # vsqrt.f32 s0, s0
        ("b1ee400a", 1, 1),  # vneg.f32 s0, s0
        ("bdeec00a", 1, 1),  # vcvt.s32.f32 s0, s0
    ],
)
def test_cycles_are_those_of_arms_table(code, instructions, cycles):
    assert thumb.cost(bytes.fromhex(code)) == thumb.CodeCost(instructions, cycles)
