"""Compares what two checkouts of this project make of the same recipes, byte for byte.

    git worktree add ../base f0381cb
    python benchmarks/same_bytes.py --base ../base --data FOLDER

Both run each case in a process of their own, on this machine. Of a run, results.json, rounds.jsonl and every
device's model.tflite and weights.safetensors have to be the same bytes; of a comparison, all figures but the
seconds. A bundle's digest is left out: it covers the C sources in the bundle, which have learnt of more than
two classes since. What the base makes is kept in --cache, and made again only where its commit is another.

`RENAMED` names the fields that this checkout calls otherwise: their values are compared.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST = 40
"""Places of a file that are shown."""

HERE = Path(__file__).parents[1]

MIXED = HERE / "recipes" / "mixed.toml"
"""An old recipe, which the base knows by another name."""

RENAMED: dict[str, str] = {}
"""Keys of results.json, rounds.jsonl and compare.json, from the base's name to this checkout's."""

SMALL = (
    *(f"extends = {str(MIXED)!r}", "[[fleet.devices]]", 'simulator = "feeder"', "count = 4", "samples = 300"),
    *("[[fleet.devices]]", 'simulator = "rotating"', "count = 2", "samples = 300"),
    *("[splits]", "test = 0.5", "[serial]", "rounds = 2", "[parallel]", "rounds = 3", "[deploy]"),
    *("[personalize]", "epochs = 2"),
)
"""A fleet that is soon trained, as TOML."""

RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mixed": (str(MIXED), ()),
    "paper": ("paper", ()),
    "packed": ("small", ("transport.send=int8", "transport.receive=float16", "parallel.cohort=0.5")),
    "rules": (
        "small",
        ("parallel.aggregation=fedfv", "serial.rounds=0", "splits.kind=blocks", "splits.block=3"),
    ),
    "root": ("small", ("parallel.reference=root", "deploy.format=int8-float-head", "personalize.freeze=0.5")),
    "ladder": ("small", ("deploy.max_bytes=22790", "serial.rounds=1")),
    "int4": ("small", ("deploy.format=int4", "personalize.threshold=0.4", "evaluation.alone=false")),
}
"""By case: the recipe and its settings."""

COMPARISONS = {"compare": ("small", ("compare.learning_rates=[3e-4]", "compare.tune_seeds=1"))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join((*RUNS, *COMPARISONS))}; all")
    parser.add_argument("--base", type=Path, required=True, help="the other checkout")
    parser.add_argument("--data", type=Path, help="folder of the tables that the recipe `paper` reads")
    parser.add_argument("--cache", type=Path, default=HERE.parent / "same-base", help="what the base has made")
    arguments = parser.parse_args()
    cases = arguments.cases or [c for c in (*RUNS, *COMPARISONS) if c != "paper" or arguments.data]
    commit = subprocess.run(  # noqa: S603
        ["git", "-C", arguments.base, "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            before = arguments.cache.resolve() / commit[:12] / case
            if not (before / "done").exists():
                make(arguments.base.resolve(), case, before, arguments.data)
                (before / "done").touch()
            after = Path(folder) / case
            make(HERE, case, after, arguments.data)
            faults = list(differences(before, after))
            different += len(faults)
            print(f"{case:10} {'the same' if not faults else ''}", flush=True)
            for fault in faults:
                print(f"           {fault}", flush=True)
    print(f"{different} differences to {commit[:12]} in {len(cases)} cases")
    return int(different > 0)


def make(checkout: Path, case: str, out: Path, data: Path | None) -> None:
    """Runs a case with the code of a checkout."""
    out.parent.mkdir(parents=True, exist_ok=True)
    recipe, settings = (RUNS | COMPARISONS)[case]
    if recipe == "small":
        recipe = str(out.parent / f"{case}.toml")
        Path(recipe).write_text("\n".join(SMALL) + "\n")
    verb = ["run"] if case in RUNS else ["compare", "--methods", "all", "--seeds", "1"]
    chosen = [part for setting in settings for part in ("--set", setting)]
    folder = ["--data", str(data.resolve())] if data and case == "paper" else []
    if checkout == HERE and case in RUNS:  # the base's bundles keep all float layers
        chosen += ["--set", "deploy.weights=all"]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "fedmetaalign", *verb, recipe, "--out", str(out), *chosen, *folder],
        env=os.environ | {"PYTHONPATH": str(checkout / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{case} failed in {checkout}: {done.stderr[-2000:]}")


def differences(before: Path, after: Path) -> Iterator[str]:
    """Tells what is not the same in two folders that a case has left."""
    for name in ("results.json", "rounds.jsonl", "compare.json"):
        if (before / name).exists():
            changed = changes(before / name, after / name)
            yield from (f"{name}: {where}" for where in changed[:MOST])
            if len(changed) > MOST:
                yield f"{name}: and {len(changed) - MOST} more"
    models = ("devices/*/model.tflite", "devices/*/weights.safetensors")
    for path in sorted(p for pattern in models for p in before.glob(pattern)):
        other = after / path.relative_to(before)
        if not other.exists() or other.read_bytes() != path.read_bytes():
            yield f"{path.relative_to(before)} {'differs' if other.exists() else 'is missing'}"


def changes(before: Path, after: Path) -> list[str]:
    """Returns what differs; nothing where the bytes are the same, or all values but those that are left out."""
    if before.read_bytes() == after.read_bytes():
        return []
    return list(different(plain(before), plain(after), ""))


def different(before: Any, after: Any, where: str) -> Iterator[str]:
    """Yields the places at which two JSON values are not written alike."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from different(before.get(key), after.get(key), f"{where}.{key}" if where else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, pair in enumerate(zip(before, after, strict=True)):
            yield from different(*pair, f"{where}[{i}]")
    elif json.dumps(before) != json.dumps(after):
        yield f"{where} is {json.dumps(after)[:40]}, and was {json.dumps(before)[:40]}"


def plain(path: Path) -> Any:
    """Returns the values of a JSON file, or of a file of JSON lines, under today's names and without times."""
    text = path.read_text(encoding="utf-8")
    values = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                RENAMED.get(key, key): renamed(v)
                for key, v in value.items()
                if key not in ("seconds", "recipe", "bundle")
            }
        return [renamed(v) for v in value] if isinstance(value, list) else value

    return renamed(values)


if __name__ == "__main__":
    raise SystemExit(main())
