"""Takes samples through a bundle's firmware on a machine: to score them, and to learn from them."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.tinyml import compiled, memory
from fedmetaalign.tinyml.elf import sizes
from fedmetaalign.tinyml.emulator import Call
from fedmetaalign.tinyml.network import DeployedNetwork, Interface
from fedmetaalign.tinyml.quantize import dequantize_score
from fedmetaalign.tinyml.toolchain import FIRMWARE, Compiler, Core

_LEARNING_RATE = 1e-3
_FALLBACK = 0.5  # the threshold while no better one is chosen
_NONE = 2**32 - 1  # fma_push: no window has ended; a core's register has no sign
_STREAMED = 4  # windows whose instructions are
_COUNTED = 16  # samples whose instructions are counted: they differ little, and counting is slow


@dataclass(frozen=True)
class Cost:
    """What a part of the firmware takes on a microcontroller.

    Attributes:
        instructions: of one inference from the network's inputs to its score, or of one step of learning; the
            mean over samples.
        cycles: of the same, as `thumb` estimates them for a Cortex-M4.
        code: bytes of instructions, from a raw sample to a decision; for learning, beside inference.
        constants: bytes that are read only: the model; for learning, the weights that it starts from.
        ram: bytes of variables; for learning, `fma_adapt_t` included.
        stack: bytes, at the deepest.
    """

    instructions: int
    cycles: int
    code: int
    constants: int
    ram: int
    stack: int


@dataclass(frozen=True)
class Answers:
    """What firmware makes of raw samples.

    Attributes:
        inputs: (rows, inputs) of the network's edge type.
        outside: (rows,) int64, how many of them lie outside the calibrated range; or minus how many are broken.
        scores: (rows,) or (rows, classes) float64 probabilities.
        decisions: (rows,) int64, 0 normal, 1 fault, 2 sensor fault.
        kinds: (rows,) int64, the likeliest fault of several classes; None of two.
        cost: None on this machine.
    """

    inputs: np.ndarray
    outside: np.ndarray
    scores: np.ndarray
    decisions: np.ndarray
    kinds: np.ndarray | None
    cost: Cost | None


@dataclass(frozen=True)
class Streamed:
    """What firmware makes of windows of a signal.

    Attributes:
        features: (windows, features) float32; or where the network takes the samples themselves its inputs.
        decisions: (windows,) int64, as in `Answers`; -1 where it said something before the end of the window.
        cost: of a window's last sample, with all that is done then; None on this machine.
    """

    features: np.ndarray
    decisions: np.ndarray
    cost: Cost | None


@dataclass(frozen=True)
class Learned:
    """What firmware remembers while it learns.

    Attributes:
        states: after each step, and once more with the threshold chosen, the trunk's output and `fma_adapt_t`.
        cost: None on this machine.
    """

    states: list[bytes]
    cost: Cost | None


def score(
    firmware: Path,
    network: DeployedNetwork,
    raw: np.ndarray,
    where: Core | Compiler,
) -> Answers:
    """Takes raw samples to a decision.

    Args:
        firmware: the bundle's folder `firmware`.
        network: the bundle's network.
        raw: (rows, features) float64, at least one row.
        where: an emulated core, or a compiler for this machine.

    Raises:
        ToolError: the compiler or the emulator is missing, or refuses the firmware.
    """
    interface = Interface.of(network)
    several = interface.outputs > 1
    last = "#define FMA_LAST " in (firmware / "fma_model.h").read_text(encoding="utf-8")
    functions = ["fma_classify", "fma_prepare", "fma_scores" if several else "fma_score"]
    functions += ["fma_last_init"] if last else []
    sources = [firmware / "fma_infer.c"]
    on = compiled.machine(sources, [firmware], where, functions)
    values = (raw.shape[1], interface.inputs, interface.outputs, 1)
    raw_, input_, score_, kind_ = (on.allocate(4 * count) for count in values)
    state: tuple[int, ...] = ()
    if last:
        state = (on.allocate(4 * raw.shape[1]),)
        on.call("fma_last_init", *state, count=False)
    rows: list[tuple[np.ndarray, int, np.ndarray, int, int]] = []
    calls: list[Call] = []
    stack = 0
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and saturates
        samples = raw.astype(np.float32)
    for sample in samples:
        on.write(raw_, sample.tobytes())
        outside = on.call("fma_prepare", raw_, input_, *state, count=False).result
        inputs = np.frombuffer(on.read(input_, interface.inputs * interface.input.itemsize), interface.input)
        if len(calls) < _COUNTED:
            calls.append(on.call(functions[2], *((input_, score_) if several else (input_,))))
        classified = on.call("fma_classify", raw_, score_, *(kind_,) * several, *state, count=False)
        scored = np.frombuffer(on.read(score_, interface.outputs * interface.score.itemsize), interface.score)
        kind = int.from_bytes(on.read(kind_, 4), "little")
        rows.append((inputs, outside, dequantize_score(scored), classified.result, kind))
        stack = max(stack, classified.stack)
    inputs_, outside_, scores, decisions, kinds = map(np.array, zip(*rows, strict=True))
    outside_ = outside_.astype(np.int64).astype(np.int32).astype(np.int64)  # a core's register has no sign
    cost = None
    if isinstance(where, Core):
        cost = _cost(compiled.elf(sources, [firmware], where, ["fma_classify"]), calls, stack, 0)
    return Answers(
        inputs_, outside_, scores if several else scores[:, 0], decisions, kinds if several else None, cost
    )


def stream(
    firmware: Path,
    preparation: Preparation,
    network: DeployedNetwork,
    windows: np.ndarray,
    where: Core | Compiler,
) -> Streamed:
    """Takes windows to decisions, each as a stream of its own.

    Args:
        firmware: the folder `firmware` of a bundle that takes signals.
        preparation: the bundle's.
        network: the bundle's.
        windows: (windows, length, columns) float32.
        where: as in `score`.

    Raises:
        ToolError: as in `score`.
    """
    sources = [firmware / "fma_front.c", firmware / "fma_infer.c"]
    samples_are_inputs = memory.takes_samples(preparation)
    functions = ["fma_push", "fma_stream_init", *(["fma_features"] * (not samples_are_inputs))]
    on = compiled.machine(sources, [firmware], where, functions)
    count, (length, columns) = len(preparation.measured), windows.shape[1:]
    interface, size = Interface.of(network), memory.stream(preparation, network)
    sizes_ = (size, 4 * length * columns, 4 * interface.outputs, 4, 4 * count)
    state, samples, score_, kind, found = map(on.allocate, sizes_)
    results = (score_, *(kind,) * (interface.outputs > 1))
    rows: list[np.ndarray] = []
    said: list[int] = []
    calls: list[Call] = []
    for window in windows:
        on.write(samples, window.tobytes())
        on.call("fma_stream_init", state, count=False)
        ends = [samples + 4 * columns * i for i in range(length)]
        early = {on.call("fma_push", state, at, *results, count=False).result for at in ends[:-1]}
        calls.append(on.call("fma_push", state, ends[-1], *results, count=len(calls) < _STREAMED))
        if samples_are_inputs:
            stored = on.read(state, interface.inputs * interface.input.itemsize)
            rows.append(np.frombuffer(stored, interface.input))
        else:
            on.call("fma_features", state, found, count=False)
            rows.append(np.frombuffer(on.read(found, 4 * count), np.float32))
        said.append(calls[-1].result if all(result % 2**32 == _NONE for result in early) else -1)
    cost = None
    if isinstance(where, Core):
        counted, deepest = [call for call in calls if call.instructions], max(call.stack for call in calls)
        cost = _cost(compiled.elf(sources, [firmware], where, ["fma_push"]), counted, deepest, size)
    return Streamed(np.array(rows), np.array(said), cost)


def learn(
    firmware: Path,
    units: int,
    inputs: np.ndarray,
    labels: np.ndarray,
    where: Core | Compiler,
) -> Learned:
    """Lets the firmware learn from samples, and choose a threshold in the end.

    Args:
        firmware: the folder `firmware` of a bundle whose device can learn.
        units: outputs of its trunk.
        inputs: (rows, inputs) of the network's edge type.
        labels: (rows,) 0 or 1, or the class of several.
        where: as in `score`.

    Raises:
        ToolError: as in `score`.
    """
    sources = [firmware / "fma_infer.c", firmware / "fma_adapt.c", FIRMWARE / "replay.c"]
    functions = ("replay_start", "replay_step", "replay_choose")
    on = compiled.machine(sources, [firmware], where, [*functions, "replay_size", "fma_trunk"])
    size = on.call("replay_size", count=False).result
    state, input_, trunk, settings = (on.allocate(n) for n in (size, 4 * inputs.shape[1], units, 8))
    on.write(settings, struct.pack("<2f", _LEARNING_RATE, _FALLBACK))
    on.call("replay_start", state, settings, settings + 4, count=False)
    states: list[bytes] = []
    calls: list[Call] = []
    for row, label in zip(inputs, labels.tolist(), strict=True):
        on.write(input_, row.tobytes())
        on.call("fma_trunk", input_, trunk, count=False)
        calls.append(on.call("replay_step", state, trunk, label, count=len(calls) < _COUNTED))
        states.append(on.read(trunk, units) + on.read(state, size))
    calls.append(on.call("replay_choose", state, count=False))
    states.append(on.read(trunk, units) + on.read(state, size))
    cost = None
    if isinstance(where, Core):
        counted = [call for call in calls if call.instructions]
        without_trunk = compiled.elf(sources, [firmware], where, functions)
        cost = _cost(without_trunk, counted, max(call.stack for call in calls), size)
    return Learned(states, cost)


def _cost(elf: bytes, calls: Sequence[Call], stack: int, ram: int) -> Cost:
    """Sums up; `ram` is what the caller of the firmware provides."""
    measured = sizes(elf)
    return Cost(
        instructions=round(float(np.mean([call.instructions for call in calls]))),
        cycles=round(float(np.mean([call.cycles for call in calls]))),
        code=measured.code,
        constants=measured.constants,
        ram=measured.ram + ram,
        stack=stack,
    )
