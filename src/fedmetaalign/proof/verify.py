"""Proves that a bundle's model gives the same scores everywhere: in each runtime, and on each core.

The reference is the integer model (see `integer`), computed with NumPy. Each runtime is held against it in its
own rounding, and has to agree to the last bit; that roundings differ from one another is their nature, and
shown beside it. The firmware has to agree in all that it does: inputs, how many are out of range, score and
decision.

Float scores are another matter where the arithmetic is not ours. They are compared in units in the last place
of a score just below 1, 2**-24, and a difference may be as large as what explains it: `EXPONENTIAL` where a
runtime adds up in our order and has another exponential; `REORDERED` where it does not (XNNPACK, and LiteRT's
optimised kernels for a float head). Our own code has to agree bit for bit there, too.
"""

import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fedmetaalign import signals
from fedmetaalign.errors import BundleError, ToolError
from fedmetaalign.operators.rounding import Rounding
from fedmetaalign.proof import qemu, replay
from fedmetaalign.proof.case import RANDOM, Case, load
from fedmetaalign.proof.qemu import Board
from fedmetaalign.tinyml import firmware_folder, integer, memory
from fedmetaalign.tinyml.bundle import FIRMWARE as BUNDLED
from fedmetaalign.tinyml.compiled import installed
from fedmetaalign.tinyml.features import outside
from fedmetaalign.tinyml.head import split
from fedmetaalign.tinyml.network import DeployedNetwork, QuantizedNetwork
from fedmetaalign.tinyml.processors import RISCV
from fedmetaalign.tinyml.runtimes import ROUNDINGS, Runtime, run
from fedmetaalign.tinyml.toolchain import CORES, FIRMWARE, NO_ROOM, Compiler, Core, compile_firmware

SAMPLES = 200
"""Random samples beside the golden ones, and steps of learning."""

EXPONENTIAL = 4
REORDERED = 4096
"""Largest differences of float scores, in steps of 2**-24."""

_EXTRA = "not run: install fedmetaalign[firmware]"


@dataclass(frozen=True)
class Row:
    """How one runtime or core did.

    Attributes:
        name: of the runtime or core.
        rounding: its family, None where nothing ran or all of it is float32.
        samples: how many it was given; 0 where it did not run.
        agreeing: for how many it gave what it has to, bit for bit.
        deciding: for how many it came to the right decision.
        differing: share of the samples whose integer score is not the firmware's; None for float32 scores.
        ulp: greatest difference of a float score in steps of 2**-24, where it need not be the same.
        cost: what it takes on a core.
        wrong: whether it gives what it must not give.
        note: what else there is to say.
    """

    name: str
    rounding: Rounding | None = None
    samples: int = 0
    agreeing: int = 0
    deciding: int = 0
    differing: float | None = None
    ulp: int | None = None
    cost: replay.Cost | None = None
    wrong: bool = False
    note: str = ""


def verify(folder: Path, samples: int = SAMPLES, watch: Callable[[str], None] = lambda name: None) -> list[Row]:
    """Runs a bundle's model everywhere.

    Args:
        folder: the bundle.
        samples: random ones beside the golden ones, over the whole range of the inputs.
        watch: called with what is about to run.

    Returns:
        A row for whatever ran, and for what did not since a part is not installed.

    Raises:
        BundleError: the bundle is damaged.
        ToolError: the firmware does not compile, or stops on a core.
    """
    with TemporaryDirectory() as work:
        case = _load_copy(folder, Path(work), samples)
        rows = []
        for name, check in _checks(case):
            watch(name)
            rows.append(check(case, name))
        return rows


def _load_copy(folder: Path, work: Path, samples: int) -> Case:
    """Loads a copy of a bundle, since a device that finishes another run meanwhile replaces its own."""
    load(folder, 0)  # what is wrong with the bundle itself is reported
    try:
        copy = Path(shutil.copytree(folder, work / "bundle"))
        if not (copy / BUNDLED / "fma_model.h").exists():
            firmware_folder.unpack(copy, copy / BUNDLED)
        return load(copy, samples)
    except (BundleError, FileNotFoundError, shutil.Error):
        raise BundleError(f"{folder} was replaced while it was read: verify it again.") from None


def check(folder: Path, rows: Sequence[Row]) -> None:
    """Raises BundleError if any row of `verify` is wrong."""
    wrong = [row for row in rows if row.wrong]
    if wrong:
        first = wrong[0]
        right = min(first.agreeing, first.deciding)
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BundleError(
            f"{folder} does not give the same everywhere: of {first.samples} samples, {right} came out right in"
            f" {first.name}{others}; do not deploy it, and make the bundle again."
        )


def _checks(case: Case) -> Iterator[tuple[str, Callable[[Case, str], Row]]]:
    """Yields what can be run here, by name."""
    yield "golden.csv", golden_row
    yield "LiteRT, reference kernels", partial(runtime_row, runtime="litert-reference")
    yield "LiteRT without delegates", partial(runtime_row, runtime="litert")
    yield "LiteRT with XNNPACK", partial(runtime_row, runtime="litert-xnnpack")
    tflm = partial(runtime_row, runtime="tflm") if installed("tflite_micro") else _skipped(_EXTRA)
    yield "TensorFlow Lite Micro", tflm
    if case.windows is not None:
        yield "windows.csv", windows_row
    zig = installed("ziglang")
    yield "firmware here (Zig)", partial(firmware_row, where="zig") if zig else _skipped(_EXTRA)
    if zig and case.windows is not None:
        yield "signal here (Zig)", partial(stream_row, where="zig")
    compilers: tuple[Compiler, ...] = ("gcc", "clang")
    for compiler in compilers:
        if shutil.which(compiler):
            yield f"firmware here ({compiler})", partial(firmware_row, where=compiler)
            if case.windows is not None:
                yield f"signal here ({compiler})", partial(stream_row, where=compiler)
    learns = (case.firmware / "fma_adapt.c").exists()
    if zig and installed("unicorn", "elftools"):
        for core in CORES.values():
            if core.unicorn:
                yield f"firmware on {_name(core)}", partial(firmware_row, where=core)
            if core.unicorn and case.windows is not None:
                yield f"signal on {_name(core)}", partial(stream_row, where=core)
        if learns:
            yield "learning on Cortex-M4F", learning_row
    else:
        yield "firmware on emulated cores", _skipped(_EXTRA)
    if shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm"):
        for board in qemu.BOARDS.values():
            yield f"GCC, QEMU {_name(board.core)}", partial(qemu_row, board=board)
    else:
        yield "GCC, QEMU", _skipped("not run: install gcc-arm-none-eabi and qemu-system-arm")


def _name(core: Core) -> str:
    if core.processor == RISCV:
        return f"RISC-V ({core.name.upper()})"
    number = core.name.removeprefix("cortex-m")
    return f"Cortex-M{number}{'F' * (number == '4')}"


def _skipped(note: str) -> Callable[[Case, str], Row]:
    return lambda case, name: Row(name, note=note)


def golden_row(case: Case, name: str) -> Row:
    """Holds golden.csv against the integer model in the rounding of the bundle's runtime."""
    promised, rows = case.golden, len(case.golden.raw)
    kept = (promised.inputs.astype(case.inputs.dtype) == case.inputs[:rows]).all(axis=1)
    kept &= promised.decisions == case.bundle.decisions(promised.raw, promised.scores)
    kept &= _same(promised.kinds, case.bundle.kinds(promised.scores))
    return _row(case, name, case.bundle.runtime, promised.scores, promised.decisions, kept)


def runtime_row(case: Case, name: str, runtime: Runtime) -> Row:
    """Holds a runtime against the integer model in the runtime's rounding."""
    scores = run(case.network, case.inputs, runtime)
    decisions = case.bundle.decisions(case.raw, scores)
    return _row(case, name, runtime, scores, decisions, np.ones(len(scores), bool))


def _same(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray:
    """Tells in which rows two arrays, (rows, ...), are the same; two that are None in all, (1,)."""
    if one is None or other is None:
        return np.array([one is other])
    return np.asarray((one == other).reshape(len(one), -1).all(axis=1))


def _row(
    case: Case, name: str, runtime: Runtime, scores: np.ndarray, decisions: np.ndarray, kept: np.ndarray
) -> Row:
    """Holds scores for the first samples against what a runtime has to give.

    Args:
        case: what was run.
        name: of the row.
        runtime: that gave the scores.
        scores: (rows,) or (rows, classes) float64.
        decisions: (rows,) uint8, what it makes of them.
        kept: (rows,) bool, whether they had the right inputs, and decided as their scores say.
    """
    expected = case.scores(runtime)[: len(scores)]
    same = kept & _same(scores, expected)
    ulp = None
    if case.whole or runtime in ("firmware", "c"):
        note = _inexact(case.network, runtime)
        wrong = not (note or same.all())
    else:
        note = ""
        ulp = int(np.ceil(np.abs(scores - expected).max() * 2.0**24))
        ours = runtime in ("tflm", "litert-reference") or (runtime == "litert" and not case.rounds)
        wrong = not kept.all() or ulp > (EXPONENTIAL if ours else REORDERED)
    return Row(
        name,
        ROUNDINGS[runtime] if case.rounds else None,
        samples=len(scores),
        agreeing=int(same.sum()),
        deciding=int((decisions == case.bundle.decisions(case.raw[: len(scores)], expected)).sum()),
        differing=float((~_same(scores, case.scores()[: len(scores)])).mean()) if case.whole else None,
        ulp=ulp,
        wrong=wrong,
        note=note,
    )


def _inexact(network: DeployedNetwork, runtime: Runtime) -> str:
    """Says why a runtime need not give the integer model's bits."""
    four = isinstance(network, QuantizedNetwork) and any(layer.bits == 4 for layer in network.layers)
    if four and runtime == "litert-xnnpack":
        return "need not agree: XNNPACK's 4-bit kernels"
    if runtime in ("litert", "litert-xnnpack") and platform.machine() not in ("x86_64", "AMD64"):
        return "need not agree: not known for this processor"
    return ""


def firmware_row(case: Case, name: str, where: Core | Compiler) -> Row:
    """Holds the firmware against the integer model, on an emulated core or compiled for this machine."""
    slow = not case.rounds and isinstance(where, Core) and not where.has_fpu
    chosen = slice(None, None, 10 if slow else 1)  # millions of instructions without a floating-point unit
    raw = case.raw[chosen]
    part = case if chosen.step == 1 else replace(case, raw=raw, inputs=case.inputs_of(raw))
    expected = part.scores()
    answers = replay.score(case.firmware, case.network, raw, where)
    same = _same(answers.scores, expected) & _same(answers.inputs, part.inputs)
    same &= answers.outside == outside(case.bundle.preparation, case.network, raw)
    right = answers.decisions == case.bundle.decisions(raw, expected)
    right &= _same(answers.kinds, case.bundle.kinds(expected))
    return Row(
        name,
        "gemmlowp" if case.rounds else None,
        samples=len(same),
        agreeing=int(same.sum()),
        deciding=int(right.sum()),
        differing=float((~_same(answers.scores, expected)).mean()) if case.whole else None,
        cost=answers.cost,
        wrong=not (same.all() and right.all()),
    )


def windows_row(case: Case, name: str) -> Row:
    """Holds the features that golden.csv promises of the windows in windows.csv against the front end's."""
    preparation, promised = case.bundle.preparation, case.golden.raw
    assert preparation.signal is not None and case.windows is not None  # noqa: S101 - asked of signals alone
    found = signals.features(preparation.signal, case.windows[:-RANDOM])
    same = np.asarray(_alike(found, promised[len(promised) - len(found) :].astype(np.float32)))
    right = int(same.sum())
    return Row(name, samples=len(same), agreeing=right, deciding=right, wrong=right < len(same))


def stream_row(case: Case, name: str, where: Core | Compiler) -> Row:
    """Holds the firmware's features of windows, and its decisions, against Python's."""
    preparation, windows = case.bundle.preparation, case.windows
    assert preparation.signal is not None and windows is not None  # noqa: S101 - asked of signals alone
    found = replay.stream(case.firmware, preparation, case.network, windows, where)
    rows = signals.features(preparation.signal, windows)
    same = _alike(found.features, case.inputs_of(rows) if memory.takes_samples(preparation) else rows)
    # One by one: each window is a stream of its own, without a last good value.
    each = [
        (row, replace(case, raw=row, inputs=case.inputs_of(row))) for row in rows[:, None].astype(np.float64)
    ]
    right = found.decisions == np.concatenate([case.bundle.decisions(row, one.scores()) for row, one in each])
    return Row(
        name,
        "gemmlowp" if case.rounds else None,
        samples=len(same),
        agreeing=int(same.sum()),
        deciding=int(right.sum()),
        cost=found.cost,
        wrong=not (same.all() and right.all()),
    )


def _alike(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Tells which rows are the same to the last bit."""
    bits = np.dtype(f"u{expected.itemsize}")
    return np.asarray((found.view(bits) == expected.view(bits)).all(axis=1))


def qemu_row(case: Case, name: str, board: Board) -> Row:
    """Runs the bundle's own check, main.c, which knows the golden vectors."""
    firmware, rows = case.firmware, len(case.golden.raw)
    front = [firmware / "fma_front.c"] * (case.windows is not None)
    sources = [firmware / "main.c", firmware / "fma_infer.c", *front, FIRMWARE / "startup.c"]
    with TemporaryDirectory() as folder:
        try:
            image = compile_firmware(
                sources,
                board.core,
                Path(folder, "image.elf"),
                "reset_handler",
                include=[FIRMWARE],
                memory=board.memory,
                compiler="gcc",
            )
        except ToolError as error:
            if NO_ROOM not in str(error):
                raise
            return Row(name, note=f"not run: the board {board.machine} has too little memory for it")
        done = qemu.run(image, board)
    right = max(rows - done.status, 0)
    rounding: Rounding | None = "gemmlowp" if case.rounds else None
    return Row(name, rounding, rows, right, right, wrong=right < rows)


def learning_row(case: Case, name: str) -> Row:
    """Lets this machine and a core learn from the same samples; after each step they have to be the same."""
    assert isinstance(case.network, QuantizedNetwork)  # noqa: S101 - no other can learn on the device
    trunk = split(case.network).trunk
    random = np.random.default_rng(0)
    inputs, labels = (
        case.inputs[-SAMPLES:],
        random.integers(0, len(case.bundle.labels.classes), len(case.inputs[-SAMPLES:])),
    )
    units = trunk[-1].outputs
    here, there = (
        replay.learn(case.firmware, units, inputs, labels, where) for where in ("zig", CORES["cortex-m4"])
    )
    outputs = integer.trunk(case.network, inputs, len(trunk))
    known = [state[:units] == output.tobytes() for state, output in zip(here.states, outputs, strict=False)]
    same = [a == b for a, b in zip(here.states, there.states, strict=True)]
    right = sum(a and b for a, b in zip(same, known, strict=False))
    return Row(
        name,
        "gemmlowp",
        samples=len(labels),
        agreeing=right,
        deciding=right,
        cost=there.cost,
        wrong=not (all(same) and all(known)),
        note="like the same C code here; bytes beside those of inference",
    )
