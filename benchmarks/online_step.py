"""How long does one Adam step of the paper's network take, at batch size 1 on one core?

Ours against Keras `fit(batch_size=1)`, PyTorch eager and a plain C loop (`online_step.c`). All start from the
same weights, meet the same samples in the same order, and must end with the same weights (see `reference`).
Then: what a second core gives, and whether a fleet of many sizes compiles longer than a single device.

Every contender runs in a process of its own, pinned to one core before it starts: a compiler that sees two
cores splits the work over both. The contenders take turns in rounds, and ratios are taken within a round, so
that a busy machine disturbs both sides alike. Run `python benchmarks/online_step.py --help`.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

# This file also runs in the environments of Keras and PyTorch, which hold neither JAX nor fedmetaalign: beyond
# NumPy, a contender's libraries are imported in the function that measures it.

INPUTS, HIDDEN = 9, (256, 128, 64, 32, 16, 12, 8)
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-5, 0.9, 0.999, 1e-8
TOLERANCE = 0.001
"""How far final weights may be from `reference`, as a share of how far training moved them."""
FLEET = range(100, 400, 10)
"""Samples of each device in the fleet of many sizes: 30 devices, no two alike."""
TIMEOUT = 1800
"""Seconds after which a process is given up."""

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
PINS = {"keras": "tensorflow-cpu==2.21.0", "torch": "torch==2.13.0"}
BEGIN, END = "<!-- online_step: begin -->", "<!-- online_step: end -->"
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Contender:
    """One way to train.

    Attributes:
        label: its name in the table.
        environment: the virtual environment it needs, a key of `PINS`; None for ours and C.
        repeats: trainings timed together, so that a fast contender is timed long enough too.
    """

    label: str
    environment: str | None
    repeats: int


CONTENDERS = {
    "c": Contender("plain C loop", None, 20),
    "ours": Contender("ours", None, 20),
    "torch-fused": Contender("PyTorch eager, fused Adam", "torch", 1),
    "torch": Contender("PyTorch eager, Adam", "torch", 1),
    "keras": Contender("Keras `fit(batch_size=1)`", "keras", 1),
    "keras-tuned": Contender("Keras, 100 steps an execution and XLA", "keras", 1),
}


@dataclass(frozen=True)
class Task:
    """What a worker process shall measure.

    Attributes:
        kind: a contender other than "c", or "fleet".
        folder: where `Problem.load` finds the samples and the first weights.
        repeats: trainings timed together.
        threads: Python threads that train at the same time, each its own network (ours alone).
        sizes: samples of each device (fleet alone).
    """

    kind: str
    folder: str
    repeats: int = 1
    threads: int = 1
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Problem:
    """What every contender trains on.

    Attributes:
        x: (steps, INPUTS) float32.
        y: (steps,) float32, 0 or 1.
        weights: (parameters,) float32, where training starts: layer by layer a row-major matrix of
            (inputs + 1, outputs), whose last row is the bias.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    @classmethod
    def create(cls, steps: int) -> "Problem":
        """Draws samples of a learnable rule, and weights as the package draws them."""
        from fedmetaalign.model.mlp import Network, initialize

        random = np.random.default_rng(0)
        x = random.standard_normal((steps, INPUTS)).astype(np.float32)
        y = (x[:, 0] * x[:, 1] > 0).astype(np.float32)
        return cls(x, y, initialize(Network(INPUTS, HIDDEN), random))

    @classmethod
    def load(cls, folder: Path) -> "Problem":
        """Reads what `save` wrote."""
        x, y, weights = (read_floats(folder / f"{name}.f32") for name in ("x", "y", "weights"))
        return cls(x.reshape(-1, INPUTS), y, weights)

    def save(self, folder: Path) -> None:
        """Writes one raw little-endian float32 file for each array."""
        for name, values in (("x", self.x), ("y", self.y), ("weights", self.weights)):
            write_floats(folder / f"{name}.f32", values)


def read_floats(path: Path) -> np.ndarray:
    return np.fromfile(path, "<f4").astype(np.float32)


def write_floats(path: Path, values: np.ndarray) -> None:
    values.astype("<f4").tofile(path)


def layers(weights: np.ndarray) -> list[np.ndarray]:
    """Views the weight vector as one (inputs + 1, outputs) matrix a layer."""
    matrices = []
    for inputs, outputs in zip((INPUTS, *HIDDEN), (*HIDDEN, 1), strict=True):
        size = (inputs + 1) * outputs
        matrices.append(weights[:size].reshape(inputs + 1, outputs))
        weights = weights[size:]
    return matrices


# The contenders. Each returns a function that trains from the first weights on the first `count` samples, and
# gives the final weights and the mean loss met on the way. What only the first call must do is its warm-up.

Train = Callable[[int], tuple[np.ndarray, float]]


class GivenOrder:
    """Stands in for NumPy's generator, so that `train` takes the samples in the order they have."""

    def permutation(self, rows: int) -> np.ndarray:
        """Returns the identity."""
        return np.arange(rows)


def ours(problem: Problem) -> Train:
    from fedmetaalign.model.mlp import Network
    from fedmetaalign.model.online import Samples, train

    network = Network(INPUTS, HIDDEN)
    order = cast(np.random.Generator, GivenOrder())

    def run(count: int) -> tuple[np.ndarray, float]:
        samples = Samples(problem.x[:count], problem.y[:count])
        trained = train(network, problem.weights, samples, learning_rate=LEARNING_RATE, epochs=1, random=order)
        return trained.weights, trained.loss

    return run


def keras(problem: Problem, **compiling: Any) -> Train:
    import keras

    model = keras.Sequential([keras.Input((INPUTS,))])
    for units in HIDDEN:
        model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dense(1))
    optimizer = keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON)
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), **compiling)
    optimizer.build(model.trainable_variables)
    fresh = [variable.numpy() for variable in optimizer.variables]

    def run(count: int) -> tuple[np.ndarray, float]:
        model.set_weights([part for matrix in layers(problem.weights) for part in (matrix[:-1], matrix[-1])])
        for variable, value in zip(optimizer.variables, fresh, strict=True):
            variable.assign(value)
        x, y = problem.x[:count], problem.y[:count, None]
        history = model.fit(x, y, batch_size=1, epochs=1, shuffle=False, verbose=0)
        return np.concatenate([part.ravel() for part in model.get_weights()]), history.history["loss"][0]

    return run


def pytorch(problem: Problem, fused: bool) -> Train:
    import torch

    def network() -> torch.nn.Sequential:
        modules: list[torch.nn.Module] = []
        for matrix in layers(problem.weights):
            linear = torch.nn.Linear(matrix.shape[0] - 1, matrix.shape[1])
            linear.weight.data = torch.tensor(matrix[:-1].T).contiguous()
            linear.bias.data = torch.tensor(matrix[-1])
            modules += [linear, torch.nn.ReLU()]
        return torch.nn.Sequential(*modules[:-1])

    def run(count: int) -> tuple[np.ndarray, float]:
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, eps=EPSILON, fused=fused)
        criterion = torch.nn.BCEWithLogitsLoss()
        total = torch.zeros(())
        x, y = torch.tensor(problem.x[:count]), torch.tensor(problem.y[:count, None])
        for i in range(count):
            optimizer.zero_grad()
            loss = criterion(model(x[i : i + 1]), y[i : i + 1])
            loss.backward()
            optimizer.step()
            total += loss.detach()
        parts = [part.detach().numpy().T.ravel() for part in model.parameters()]
        return np.concatenate(parts), float(total) / count

    return run


def prepare(kind: str, problem: Problem) -> Train:
    if kind == "ours":
        return ours(problem)
    if kind == "keras":
        return keras(problem)
    if kind == "keras-tuned":
        return keras(problem, steps_per_execution=100, jit_compile=True)
    return pytorch(problem, fused=kind == "torch-fused")


# The worker process.


def work(task: Task) -> dict[str, Any]:
    """Measures `task` in this process."""
    problem = Problem.load(Path(task.folder))
    return measure_fleet(problem, task.sizes) if task.kind == "fleet" else measure_steps(problem, task)


def measure_steps(problem: Problem, task: Task) -> dict[str, Any]:
    """Times whole trainings, and leaves the final weights beside the problem.

    Returns:
        `warm_up`, seconds that building and the first training, which is not timed, take beyond a later one;
        `us_per_step`, the inverse of the throughput of all threads together; `cores`, how many cores' worth of
        time the process got meanwhile; `loss`; and `versions` of what was measured.
    """
    start = time.perf_counter()
    train = prepare(task.kind, problem)
    steps = len(problem.y)
    train(steps)
    first = time.perf_counter() - start

    start, start_of_work = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(task.threads) as pool:
        done = list(pool.map(train, [steps] * (task.repeats * task.threads)))
    elapsed, worked = time.perf_counter() - start, time.process_time() - start_of_work

    weights, loss = done[-1]
    write_floats(Path(task.folder) / f"{task.kind}.f32", weights)
    return {
        "warm_up": first - elapsed / task.repeats,
        "us_per_step": 1e6 * elapsed / (steps * task.repeats * task.threads),
        "cores": worked / elapsed,
        "loss": loss,
        "versions": versions(task.kind),
    }


def measure_fleet(problem: Problem, sizes: Sequence[int]) -> dict[str, Any]:
    """Returns `compile`: seconds that training every device the first time takes beyond the later times."""
    train = ours(problem)

    def tour() -> float:
        start = time.perf_counter()
        for size in sizes:
            train(size)
        return time.perf_counter() - start

    first = tour()
    return {"compile": first - statistics.median(tour() for _ in range(5))}


def versions(kind: str) -> dict[str, str]:
    environment = CONTENDERS[kind].environment
    names = {None: ("jax", "numpy"), "keras": ("keras", "tensorflow-cpu"), "torch": ("torch",)}[environment]
    return {name: importlib.metadata.version(name) for name in names}


# The main process.


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Confines this process, and so those that it starts, to `cores`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def call(command: Sequence[str | Path], purpose: str) -> str:
    """Runs a command to its end and returns its standard output.

    Raises:
        BenchmarkError: it failed, or took longer than `TIMEOUT`.
    """
    try:
        done = subprocess.run(  # noqa: S603 - an argument list made here
            command, env=os.environ | ONE_THREAD, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{purpose} took longer than {TIMEOUT} s.") from None
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise BenchmarkError(f"{purpose} failed with status {done.returncode}: {last}")
    return done.stdout


def compile_c() -> tuple[Path, str]:
    """Returns the compiled C loop and the compiler's version line."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise BenchmarkError("No C compiler found: install gcc, or leave the C loop out with --skip c.")
    BUILD.mkdir(exist_ok=True)
    program = BUILD / "online_step"
    flags = ["-std=c99", "-O3", "-march=native", "-ffast-math"]
    source = Path(__file__).with_suffix(".c")
    call([compiler, *flags, source, "-o", program, "-lm"], f"Compiling {source.name}")
    return program, call([compiler, "--version"], "Asking the compiler's version").splitlines()[0]


def python_of(environment: str | None) -> Path:
    """Returns the interpreter of `environment`, which is made where it does not exist yet."""
    if environment is None:
        return Path(sys.executable)
    folder = BUILD / f"benchmark-{environment}"
    python, complete = folder / "bin" / "python", folder / f"{PINS[environment]}.installed"
    if not complete.exists():
        note(f"installing {PINS[environment]} (once)")
        venv.create(folder, with_pip=True)
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        purpose = f"Installing {PINS[environment]} with pip (leave it out with --skip {environment})"
        call([*pip, "numpy", PINS[environment]], purpose)
        complete.touch()
    return python


def note(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Bench:
    """What it takes to start a contender.

    Attributes:
        folder: where the problem lies.
        steps: Adam steps of one training.
        pythons: the interpreter of each contender.
        program: the compiled C loop, or None.
        compiler: the version of its compiler.
    """

    folder: Path
    steps: int
    pythons: dict[str, Path]
    program: Path | None
    compiler: str

    def worker(self, kind: str, **options: Any) -> dict[str, Any]:
        """Runs one worker process and returns what it measured; `options` are those of `Task`."""
        task = json.dumps(asdict(Task(kind, str(self.folder), **options)))
        python = self.pythons.get(kind, Path(sys.executable))
        output = call([python, Path(__file__), "--worker", task], f"The worker for {kind}")
        return cast(dict[str, Any], json.loads(output.splitlines()[-1]))

    def contend(self, name: str) -> dict[str, Any]:
        """Measures one contender, in the terms of `measure_steps`."""
        repeats = CONTENDERS[name].repeats
        if name != "c" or self.program is None:
            return self.worker(name, repeats=repeats)
        output = call([self.program, self.folder, str(self.steps), str(repeats)], "The C loop")
        return {"warm_up": 0.0, "versions": {"C compiler": self.compiler}, **json.loads(output)}

    def round(self, names: Sequence[str], cores: Sequence[int]) -> dict[str, Any]:
        """Takes every figure once; `pair`, of two threads, is None on a machine with one core."""
        repeats = CONTENDERS["ours"].repeats
        with pinned(cores[:1]):
            contenders = {name: self.contend(name) for name in names}
            one, many = (self.worker("fleet", sizes=tuple(sizes)) for sizes in (FLEET[-1:], FLEET))
            alone = self.worker("ours", repeats=repeats)
        pair = None
        if len(cores) > 1:
            with pinned(cores):
                together = self.worker("ours", repeats=repeats, threads=2)
            pair = {"speedup": alone["us_per_step"] / together["us_per_step"], "cores": together["cores"]}
        return {
            "contenders": contenders,
            "one": one["compile"],
            "many": many["compile"],
            "pair": pair,
        }


def measure(names: Sequence[str], rounds: int, steps: int) -> dict[str, Any]:
    """Runs the whole benchmark.

    Args:
        names: keys of `CONTENDERS`, "ours" among them.
        rounds: how often each figure is taken.
        steps: Adam steps of one training.

    Returns:
        The result as JSON values; figures are lists with one number a round.
    """
    pythons = {name: python_of(CONTENDERS[name].environment) for name in names}
    program, compiler = compile_c() if "c" in names else (None, "")
    cores = sorted(os.sched_getaffinity(0))[:2]
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        Problem.create(steps).save(Path(folder))
        bench = Bench(Path(folder), steps, pythons, program, compiler)
        for number in range(rounds):
            note(f"round {number + 1} of {rounds}")
            taken.append(bench.round(names if number % 2 == 0 else names[::-1], cores))
        differences = weight_differences(Path(folder), names)
    return summary(names, steps, taken, differences)


def summary(
    names: Sequence[str], steps: int, taken: Sequence[dict[str, Any]], differences: dict[str, float]
) -> dict[str, Any]:
    """Turns the rounds into the result that `--json` prints."""
    last = taken[-1]["contenders"]
    pairs = [one["pair"] for one in taken if one["pair"] is not None]
    packages = {key: value for name in names for key, value in last[name]["versions"].items()}
    return {
        "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": {"Python": platform.python_version()} | packages,
        "rounds": len(taken),
        "steps": steps,
        "contenders": {
            name: {
                "us_per_step": [one["contenders"][name]["us_per_step"] for one in taken],
                "warm_up_seconds": [one["contenders"][name]["warm_up"] for one in taken],
                "loss": last[name]["loss"],
                "weights_difference": differences[name],
            }
            for name in names
        },
        "two_threads": {which: [pair[which] for pair in pairs] for which in ("speedup", "cores")},
        "compile_seconds": {which: [one[which] for one in taken] for which in ("one", "many")},
    }


def weight_differences(folder: Path, names: Sequence[str]) -> dict[str, float]:
    """Compares what the contenders learnt with `reference`.

    Returns:
        For each, the distance of its final weights from the reference's, as a share of the distance that
        training moved them.

    Raises:
        BenchmarkError: one exceeds `TOLERANCE`, so that contender did other work.
    """
    problem = Problem.load(folder)
    differences = {}
    for name in names:
        expected = reference(problem, keras_epsilon=CONTENDERS[name].environment == "keras")
        distance = np.linalg.norm(read_floats(folder / f"{name}.f32") - expected)
        differences[name] = float(distance / np.linalg.norm(expected - problem.weights))
        if not differences[name] <= TOLERANCE:
            raise BenchmarkError(
                f"{CONTENDERS[name].label} learnt other weights than the reference: "
                f"they are {differences[name]:.2%} of the way apart, which makes its time meaningless."
            )
    return differences


@lru_cache
def reference(problem: Problem, keras_epsilon: bool) -> np.ndarray:
    """Trains once over the samples in float64, in the plainest way.

    Args:
        problem: what to train on.
        keras_epsilon: divide by sqrt(v) + epsilon before the bias correction, as Keras does (the second form
            in section 2 of Kingma & Ba, 2015, with its epsilon-hat), not by sqrt(v-hat) + epsilon after it
            (their Algorithm 1). The two part where gradients are as small as here.

    Returns:
        (parameters,) float64, the final weights.
    """
    weights = problem.weights.astype(np.float64)
    first, second, gradient = (np.zeros_like(weights) for _ in range(3))
    matrices, gradients = layers(weights), layers(gradient)  # views
    for step, (x, y) in enumerate(zip(problem.x, problem.y, strict=True), start=1):
        inputs = [np.append(x, 1.0)]
        for matrix in matrices[:-1]:
            inputs.append(np.append(np.maximum(inputs[-1] @ matrix, 0), 1.0))
        error = 1 / (1 + np.exp(-(inputs[-1] @ matrices[-1]))) - y
        for i in reversed(range(len(matrices))):
            gradients[i][:] = np.outer(inputs[i], error)
            error = ((inputs[i] > 0) * (matrices[i] @ error))[:-1]
        first += (1 - BETA_1) * (gradient - first)
        second += (1 - BETA_2) * (gradient**2 - second)
        rescale = np.sqrt(1 / (1 - BETA_2**step))
        epsilon = EPSILON * rescale if keras_epsilon else EPSILON
        weights -= LEARNING_RATE / (1 - BETA_1**step) * first / (np.sqrt(second) * rescale + epsilon)
    return weights


def cpu_model() -> str:
    """Returns the processor's name from /proc/cpuinfo, else its architecture."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


# The tables.


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(over, under, strict=True)]


def spread(values: Sequence[float], form: str) -> str:
    """Writes the median and the range of `values`."""
    middle, low, high = (format(f(values), form) for f in (statistics.median, min, max))
    return f"{middle} ({low}–{high})"  # noqa: RUF001 - an en dash between numbers


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lays out a Markdown table that also reads well as plain text."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )


def render(result: dict[str, Any]) -> str:
    """Writes the result as Markdown."""
    machine, packages = result["machine"], result["versions"]
    about = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; "
        + ", ".join(f"{name} {version}" for name, version in packages.items())
        + f". {result['rounds']} rounds of {result['steps']} steps; median (lowest–highest)."  # noqa: RUF001
    )
    return "\n\n".join([about, contender_table(result), target_table(result)])


def contender_table(result: dict[str, Any]) -> str:
    own = result["contenders"]["ours"]["us_per_step"]
    rows = [
        [
            CONTENDERS[name].label,
            spread(one["us_per_step"], ".1f"),
            spread(ratios(one["us_per_step"], own), ".2f"),
            f"{statistics.median(one['warm_up_seconds']):.2f}",
            f"{one['loss']:.5f}",
            f"{one['weights_difference']:.1e}",
        ]
        for name, one in result["contenders"].items()
    ]
    header = ["one core", "µs a step", "times ours", "warm-up, s", "mean loss", "off the reference by"]
    return table(header, rows)


def target_table(result: dict[str, Any]) -> str:
    times = {name: one["us_per_step"] for name, one in result["contenders"].items()}
    one, many = result["compile_seconds"]["one"], result["compile_seconds"]["many"]
    rows: list[list[str]] = []

    def target(question: str, wanted: str, values: Sequence[float], met: Callable[[float], bool]) -> None:
        answer = "yes" if met(statistics.median(values)) else "no"
        rows.append([question, spread(values, ".2f"), wanted, answer])

    if "keras" in times:
        target(
            "faster than Keras, times", "at least 30", ratios(times["keras"], times["ours"]), lambda r: r >= 30
        )
    if "c" in times:
        target(
            "time of the C loop, times", "at most 1.3", ratios(times["ours"], times["c"]), lambda r: r <= 1.3
        )
    pair = result["two_threads"]
    if pair["speedup"]:
        question = f"throughput of two threads (which got {spread(pair['cores'], '.2f')} cores), times one"
        target(question, "at least 1.7", pair["speedup"], lambda r: r >= 1.7)
    target(
        f"compile time of {len(FLEET)} sizes ({statistics.median(many):.2f} s), times one size "
        f"({statistics.median(one):.2f} s)",
        "about 1 (at most 1.2)",
        ratios(many, one),
        lambda r: r <= 1.2,
    )
    return table(["question", "measured", "target", "met"], rows)


def around(path: Path) -> tuple[str, str]:
    """Returns what stands before and after the tables in `path`, markers included.

    Raises:
        BenchmarkError: the file or its markers are missing.
    """
    document = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchmarkError(f"{path} must hold the lines {BEGIN} and {END}: add them where the tables belong.")
    return before + begin, end + after


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each figure is taken (default 5)")
    parser.add_argument("--steps", type=int, default=2000, help="Adam steps of one training (default 2000)")
    parser.add_argument("--skip", default="", help="comma-separated: keras, torch, c")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="rewrite the tables between FILE's markers"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.skip = set(filter(None, options.skip.split(",")))
    if unknown := options.skip - {"keras", "torch", "c"}:
        parser.error(f"--skip takes keras, torch and c, not {', '.join(sorted(unknown))}")
    if options.rounds < 1 or options.steps < max(FLEET):
        parser.error(f"--rounds must be at least 1 and --steps at least {max(FLEET)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.worker:
        print(json.dumps(work(Task(**json.loads(options.worker)))))
        return 0
    names = [name for name, one in CONTENDERS.items() if not options.skip & {name, one.environment}]
    try:
        if not hasattr(os, "sched_setaffinity"):
            raise BenchmarkError("This system cannot pin a process to a core: run the benchmark on Linux.")
        surroundings = around(options.markdown) if options.markdown else None
        result = measure(names, options.rounds, options.steps)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if surroundings:
        before, after = surroundings
        options.markdown.write_text(f"{before}\n\n{render(result)}\n\n{after}", encoding="utf-8")
    print(json.dumps(result, indent=2) if options.json else render(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
