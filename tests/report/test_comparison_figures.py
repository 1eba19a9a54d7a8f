import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from comparison_file import comparison, interval, large, of_kinds

from fedmetaalign.report import svg
from fedmetaalign.report.comparison import figures
from fedmetaalign.report.comparison.lines import spread

SVG = "{http://www.w3.org/2000/svg}"
Draw = Callable[[dict[str, Any]], str]


def sweep(made: dict[str, Any]) -> str:
    return figures.sweep({"0.1": made, "0.3": made, "10": made}, "alpha")


ALL = pytest.mark.parametrize("draw", [figures.accuracy, figures.gains, figures.rounds, figures.stages, sweep])


def texts(document: str) -> list[str]:
    root = ElementTree.fromstring(document)  # noqa: S314
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


@ALL
@pytest.mark.parametrize("made", [comparison(), large(devices=30, methods=21)], ids=["small", "large"])
def test_each_is_a_document_of_its_own_and_the_same_each_time(draw: Draw, made: dict[str, Any]) -> None:
    document = draw(made)
    root = ElementTree.fromstring(document)  # noqa: S314
    assert root.tag == f"{SVG}svg"
    assert root.get("aria-label")
    assert not re.search(r"\bnan\b|\binf\b|#000[12]0\d|var\(", document, re.IGNORECASE)
    assert not re.search(r'(?:href|src)="(?!#)', document)
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "svg.hashsalt": "mine"}):
        assert draw(made) == document


@ALL
def test_nothing_lies_outside_the_picture(draw: Draw) -> None:
    root = ElementTree.fromstring(draw(large(devices=30, methods=21)))  # noqa: S314
    left, top, width, height = (float(side) for side in str(root.get("viewBox")).split())
    for element in root.iter(f"{SVG}text"):
        place = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform") or "")
        x, y = (float(side) for side in place.groups()) if place else (element.get("x"), element.get("y"))
        assert left <= float(x or 0) <= left + width
        assert top <= float(y or 0) <= top + height


def test_light_colours_stand_in_the_drawing_and_dark_ones_replace_them() -> None:
    light, dark = svg.palettes()
    assert (light["ink"], dark["ink"]) == ("#1b2330", "#e7ebf0")
    assert light.keys() >= {"muted", "grid", "card", "accent", "warn", *(f"series-{i}" for i in range(8))}
    # They are distinguished by the colour itself.
    used = {"ink", "muted", "grid", "card", "accent", "warn", *(f"series-{i}" for i in range(8))}
    assert len({light[name] for name in used}) == len(used)
    document = figures.accuracy(comparison())
    assert f"stroke: {light['accent']}" in document
    assert f'[style*="stroke: {light["accent"]}"]{{stroke:{dark["accent"]}!important}}' in document


@pytest.mark.parametrize(
    ("draw", "title", "axis"),
    [
        (figures.accuracy, "Macro-F1 of every method", "test macro-F1 in %"),
        (figures.gains, "Gain of every device over training alone", "macro-F1 minus that of training alone"),
        (figures.rounds, "Class accuracy of the global model", "test class accuracy of the global model in %"),
        (figures.stages, "Macro-F1 of Fed-Meta-Align", "test macro-F1 in %"),
        (sweep, "Macro-F1 against alpha", "test macro-F1 in %"),
    ],
)
def test_of_several_kinds_each_says_what_it_shows(draw: Draw, title: str, axis: str) -> None:
    document = draw(of_kinds())
    assert str(ElementTree.fromstring(document).get("aria-label")).startswith(title)  # noqa: S314
    assert any(text.startswith(axis) for text in texts(document))


def test_accuracy_names_every_row_in_the_order_given() -> None:
    found = texts(figures.accuracy(comparison()))
    labels = ["Local only", "FedAvg", "FedAvg (global)", "Fed-Meta-Align", "Fed-Meta-Align (global)"]
    assert [text for text in found if text in labels] == labels
    assert [text for text in found if text in ("91.0", "94.5", "75.0", "93.3", "76.0")] == [
        "91.0",
        "94.5",
        "75.0",
        "93.3",
        "76.0",
    ]


def test_a_row_that_diverged_says_so() -> None:
    made = comparison()
    made["methods"]["fedavg"]["fleet"]["accuracy"] = interval(None)
    assert "diverged" in texts(figures.accuracy(made))


def test_gains_have_a_dot_a_device_and_the_share_worse_off() -> None:
    made = comparison()
    made["methods"]["fedavg"]["fleet"]["worse_off"] = interval(0.25)
    document = figures.gains(made)
    light, _ = svg.palettes()
    dots = re.findall(rf"<use [^>]*fill: ({light['accent']}|{light['warn']})", document)
    assert len(dots) == 4
    assert "25.0\u202f%" in texts(document)
    assert "Local only" not in texts(document)


def test_a_loss_has_the_colour_of_a_warning() -> None:
    made = comparison()
    made["methods"]["fedavg"]["devices"]["machine"]["accuracy"] = interval(0.8, 0.8)
    light, _ = svg.palettes()
    assert len(re.findall(rf"<use [^>]*fill: {light['warn']}", figures.gains(made))) == 1


def test_rounds_name_each_method_once_and_the_level_of_training_alone() -> None:
    found = texts(figures.rounds(comparison()))
    assert [found.count(name) for name in ("FedAvg", "Fed-Meta-Align", "Local only", "FedAvg (global)")] == [
        1,
        1,
        1,
        0,
    ]


def test_rounds_show_eight_methods_at_most_and_say_so() -> None:
    found = texts(figures.rounds(large(devices=5, methods=20)))
    assert "round (8 of 22 shown)" in found
    assert {"Fed-Meta-Align", "FedAvg", "variant 19", "variant 14"} <= set(found)
    assert "variant 13" not in found


def test_stages_name_few_devices_and_average_many() -> None:
    assert {"Serial", "Parallel (global)", "Final (personal)", "feeder", "machine"} <= set(
        texts(figures.stages(comparison()))
    )
    many = texts(figures.stages(large(devices=30, methods=0)))
    assert "Mean of the devices" in many
    assert many.count("70.0") == 3
    assert "unit 00" not in many


def test_a_sweep_over_numbers_is_in_their_order_and_one_over_words_in_that_given() -> None:
    made = comparison()
    found = texts(figures.sweep({"10": made, "0.1": made, "1": made}, "alpha"))
    assert [text for text in found if text in ("10", "0.1", "1")] == ["0.1", "1", "10"]
    assert "alpha" in found
    found = texts(figures.sweep({"mean": made, "others": made}, "reference"))
    assert [text for text in found if text in ("mean", "others")] == ["mean", "others"]


def test_a_tenfold_span_has_a_logarithmic_axis() -> None:
    def ticks(*values: str) -> list[float]:
        document = figures.sweep({value: comparison() for value in values}, "alpha")
        at = re.findall(r'id="figure-xtick_\d+">.*?<use [^>]*x="([\d.]+)"', document, re.DOTALL)
        return [float(place) for place in at]

    first, middle, last = ticks("0.1", "1", "10")
    assert middle - first == pytest.approx(last - middle, abs=0.01)
    first, middle, last = ticks("1", "2", "5")
    assert 3 * (middle - first) == pytest.approx(last - middle, abs=0.01)


@ALL
def test_names_of_others_are_text(draw: Draw) -> None:
    made = comparison()
    for old, new in (("feeder", "a|b <x> & $1 $"), ("machine", "\x00\n]]>\u202e")):
        made["devices"][made["devices"].index(old)] = new
        for entry in [
            *made["methods"].values(),
            *({"devices": s} for s in made["stages"]["fed_meta_align"].values()),
        ]:
            entry["devices"][new] = entry["devices"].pop(old)
    made["methods"]["<b>$1|&"] = made["methods"].pop("fedavg")
    made["methods"]["<b>$1|&"]["rounds"] = made["methods"].pop("fedavg.global")["rounds"]
    found = texts(draw(made))
    assert ("a|b <x> & $1 $" in found) if draw is figures.stages else ("<b>$1|&" in found)


def test_those_with_data_are_written(tmp_path: Path) -> None:
    assert figures.write(comparison(), tmp_path) == ["accuracy.svg", "gains.svg", "rounds.svg", "stages.svg"]
    assert (tmp_path / "rounds.svg").read_text(encoding="utf-8") == figures.rounds(comparison())
    bare = comparison()
    del bare["methods"]["local_only"]
    bare["stages"] = {}
    folder = tmp_path / "bare"
    folder.mkdir()
    assert figures.write(bare, folder) == ["accuracy.svg", "rounds.svg"]
    assert sorted(path.name for path in folder.iterdir()) == ["accuracy.svg", "rounds.svg"]


def test_labels_are_moved_apart_as_little_as_it_takes() -> None:
    assert spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert spread([0.98, 0.99, 1.0], 0.1) == pytest.approx([0.8, 0.9, 1.0])
    assert spread([], 0.1) == []
