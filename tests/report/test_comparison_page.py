"""A comparison's page carries the numbers of compare.json, the best row first, and names stay names."""

from pathlib import Path
from typing import Any

import pytest
from comparison_file import comparison, large
from pages import Outline, data_of

from fedmetaalign.report.comparison import page

HOSTILE = "</script><b>&"


def test_rows_stand_in_the_order_of_their_rank(tmp_path: Path) -> None:
    made = comparison() | {"unseen": ["new"]}
    made["methods"]["fedavg"]["unseen"] = made["methods"]["fed_meta_align"]["fleet"]
    data = data_of(page.document(made, tmp_path))
    assert [row[0] for row in data["rows"][:3]] == ["FedAvg", "Fed-Meta-Align", "Local only"]
    assert [metric[0] for metric in data["metrics"]][:2] == ["accuracy in %", "F1 in %"]
    first = data["rows"][0]
    assert first[2][0] == [0.945, 0.935, 0.955] and first[3] == [0.95, 0.94]
    assert (first[1], first[4:]) == (False, [24000, [2_500_000, "2.5\u202fMB"], [7.52, "7.5\u202fs"]])
    assert [(row[0], row[2][0][0]) for row in data["unseen"]] == [("FedAvg", 0.933)]


def test_its_words_and_figures_stand_without_a_script(tmp_path: Path) -> None:
    (tmp_path / "accuracy.svg").write_text("<svg/>", encoding="utf-8")
    outline = Outline(page.document(comparison(), tmp_path))
    assert outline.text.count("FedAvg is best, with a mean accuracy of 94.5") == 1
    assert outline.references == ["data:image/svg+xml;base64,PHN2Zy8+"]


def test_names_are_only_names(tmp_path: Path) -> None:
    made: dict[str, Any] = comparison() | {"recipe": HOSTILE, "devices": [HOSTILE]}
    made["methods"][HOSTILE] = made["methods"].pop("fedavg")
    made["methods"][HOSTILE]["devices"] = {HOSTILE: made["methods"][HOSTILE]["devices"]["feeder"]}
    written = page.document(made, tmp_path)
    assert Outline(written).tags.count("script") == 2 and HOSTILE in Outline(written).text
    assert data_of(written)["devices"] == [HOSTILE] and data_of(written)["rows"][0][:2] == [HOSTILE, False]


def test_devices_that_have_no_room_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = large(40, 5)
    assert data_of(page.document(made, tmp_path))["left_out"] == 0
    monkeypatch.setattr(page, "_MOST", 100)
    data = data_of(page.document(made, tmp_path))
    assert (len(data["devices"]), data["left_out"]) == (10, 30)


def test_a_sweep_links_to_its_comparisons(tmp_path: Path) -> None:
    swept = {"0.1": comparison(), "a b": comparison()}
    written = page.sweep_document(swept, "fleet.alpha", tmp_path, {"0.1": "0.1", "a b": "a_b"})
    assert Outline(written).references == ["0.1/compare.html", "a_b/compare.html"]
    data = data_of(written)
    assert [metric[0] for metric in data["metrics"]] == ["fleet.alpha = 0.1", "fleet.alpha = a b"]
    assert data["rows"][1][2] == [[0.945, 0.935, 0.955]] * 2
