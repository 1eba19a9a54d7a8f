"""The README of a bundle's firmware: how to put it into a project, and what this device's says."""

import textwrap
from collections.abc import Sequence
from importlib import resources
from string import Template

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.signals import raw_of

_TWO = {
    "scores": "fma_score_t score;",
    "classify": "int said = fma_classify(raw, &score$last);",
}
_SEVERAL = {
    "scores": "fma_score_t scores[FMA_CLASSES]; /* the probability of each class */",
    "classify": "int kind, said = fma_classify(raw, scores, &kind$last); /* kind: the likeliest fault */",
}
"""What the README says of classifiers of two classes, and of more."""

_WARNING = Template(
    "\n**Do not deploy it: it says $constant of every sample that it was tried with, whatever the values.**\n"
)

_STANDS = {
    "median": "the median of the training samples",
    "flag": "the median of the training samples, and an input says so,",
    "last": "the last good value",
}


def text(
    device: str, preparation: Preparation, more: Sequence[str], several: bool, constant: str | None = None
) -> str:
    """Returns README.md.

    Args:
        device: its name.
        preparation: of its raw features.
        more: C sources that this device needs beside those of all.
        several: whether the model tells more than two classes apart.
        constant: what it says of every sample, if that is the same.
    """
    path = resources.files("fedmetaalign") / "firmware" / "README.md"
    return Template(path.read_text(encoding="utf-8")).substitute(
        device=plain(device),
        features=", ".join(names_of(preparation)),
        more="".join(f" `{name}`," for name in more),
        broken=_broken(preparation),
        warning=_WARNING.substitute(constant=constant) if constant else "",
        **_usage(several, preparation.missing.rule == "last"),
    )


def _usage(several: bool, last: bool) -> dict[str, str]:
    """Returns what the README shows in C."""
    found = {
        name: line.replace("$last", ", &last" * last) for name, line in (_SEVERAL if several else _TWO).items()
    }
    if last:
        found["scores"] = (
            f"static fma_last_t last; /* once: fma_last_init(&last); */\n        {found['scores']}"
        )
    return found


def _broken(preparation: Preparation) -> str:
    """Says in the README what is done about broken values."""
    missing = preparation.missing
    ranges = " or lies outside its sensor's range (see `fma_model.h`)" if missing.ranges else ""
    said = "the decision is a sensor fault, whatever the score"
    if missing.fills:
        said = f"{_STANDS[missing.rule]} stands for it, and the decision is a fault or a sensor fault"
    text = f"Where a value is no finite number{ranges}, {said}: never normal."
    return textwrap.fill(text, 109, subsequent_indent="   ")


def names_of(preparation: Preparation) -> list[str]:
    """Returns the features with their units, their ranges, and the numbers that stand for texts.

    The samples of a raw window are named together.
    """
    signal = preparation.signal
    if signal is not None and "raw" in signal.front:
        first, last = raw_of(signal)
        each = preparation.measured
        samples = f"{each[first]} to {each[last]}, {signal.length} samples of {', '.join(signal.channels)}"
        return [plain(name) for name in (*each[:first], samples, *each[last + 1 :])]
    ranges = {name: f" ({low:g} to {high:g})" for name, (low, high) in preparation.missing.ranges.items()}
    return [
        plain(
            f"{name}{f' [{unit}]' if unit else ''}{ranges.get(name, '')}"
            f"{_codes(preparation.categories.get(name, ()))}"
        )
        for name, unit in zip(preparation.measured, preparation.units, strict=False)
    ]


def _codes(texts: Sequence[str]) -> str:
    codes = ", ".join(f"{text} = {code}" for code, text in enumerate(texts))
    return f" ({codes})" if texts else ""


def plain(text: str) -> str:
    """Returns a text that can stand in a comment in C: in one line, and without what ends or starts one."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
