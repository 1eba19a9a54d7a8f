import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from comparison_file import against, comparison, interval, large, of_kinds, row
from markdown_it import MarkdownIt

from fedmetaalign import methods
from fedmetaalign.report.comparison import markdown
from fedmetaalign.report.comparison.findings import sentences
from fedmetaalign.report.comparison.formats import duration, learning_rate, numbered, probability, traffic
from fedmetaalign.report.comparison.names import label
from fedmetaalign.report.comparison.reading import foremost, gains, read, shown
from fedmetaalign.report.numbers import ABSENT, MINUS

Snapshot = Callable[[str, str], None]

HOSTILE = 'a|b <x> $1 *c* [l](http://x) `d` <!-- end --> & _e_ \\ "q"\n# f'


def line(table: str, name: str) -> str:
    found = next(each for each in table.splitlines() if each.startswith(f"| {name} |"))
    return found.replace("\u202f", " ").replace(ABSENT, "-")


def said(made: dict[str, Any]) -> list[str]:
    return [sentence.replace("\u202f", " ") for sentence in sentences(read(made))]


def with_unseen() -> dict[str, Any]:
    made = comparison()
    made["unseen"] = ["new"]
    for entry in made["methods"].values():
        entry["unseen"] = entry["fleet"]
    made["methods"]["fedavg"]["unseen"] = made["methods"]["fed_meta_align.global"]["fleet"]
    return made


def test_the_document(snapshot: Snapshot) -> None:
    told = markdown.document(with_unseen())
    snapshot("compare.md", told)
    # The best by hand: FedAvg over the fleet, Fed-Meta-Align where FedAvg has that of a global model.
    assert line(told, "**FedAvg**").startswith("| **FedAvg** | **94.5** [93.5, 95.5] |")
    assert line(told, "**Fed-Meta-Align**").startswith("| **Fed-Meta-Align** | **93.3** [")
    assert "took no part" not in markdown.document(comparison())


def test_the_document_of_several_kinds_ranked_by_macro_f1(snapshot: Snapshot) -> None:
    told = markdown.document(of_kinds())
    snapshot("compare-kinds.md", told)
    assert line(told, "**Local only**").startswith(
        "| **Local only** | 91.0 [90.0, 92.0] | **55.0** [54.0, 56.0] |"
    )
    assert line(told, "FedAvg").startswith("| FedAvg | **94.5** [")
    assert said(of_kinds())[0].startswith("Local only is best, with a mean macro-F1 of 55.0 % [54.0, 56.0]")
    swept = markdown.sweep_document({"1": of_kinds(), "2": of_kinds()}, "alpha")
    assert "| macro-F1 in % | 1 | 2 |" in swept and "![Macro-F1 against alpha]" in swept


def test_the_document_of_a_sweep(snapshot: Snapshot) -> None:
    other = with_unseen()
    other["methods"]["fed_meta_align"]["fleet"]["accuracy"] = interval(0.96, by=0.022)
    del other["methods"]["fedavg"]
    told = markdown.sweep_document({"0.1": with_unseen(), "1": other}, "fleet.partition.alpha")
    snapshot("sweep.md", told)
    assert "sweep-unseen.svg" not in markdown.sweep_document({"1": other, "2": comparison()}, "alpha")


def test_the_tables_stand_in_the_document_as_they_are_by_themselves() -> None:
    made = with_unseen()
    told = markdown.document(made)
    for part in (markdown.findings, markdown.overview, markdown.costs, markdown.devices, markdown.unseen):
        assert f"\n\n{part(made)}\n" in told
    assert f"\n\n{markdown.sweep({'1': made}, 'brier')}\n" in markdown.sweep_document({"1": made}, "alpha")


def test_the_worst_tenth_has_a_column_where_it_is_not_the_worst_device() -> None:
    made = comparison()
    made["methods"]["fedavg"]["fleet"]["worst_decile"] = interval(0.87)
    table = markdown.overview(made)
    assert "| worst device in % | worst tenth in % |" in table
    assert line(table, "**FedAvg**").endswith("| 85.0 | **87.0** |")


def test_less_is_better_in_the_brier_score() -> None:
    made = comparison()
    made["methods"]["fedavg"]["fleet"]["brier"] = interval(0.04)
    assert "| **0.040** |" in line(markdown.overview(made), "**FedAvg**")


def test_many_devices_are_rows_beside_the_papers_methods_and_the_best() -> None:
    table = markdown.devices(large(devices=30, methods=20))
    head = "| accuracy in % | Fed-Meta-Align | Local only | FedAvg | variant 19 | variant 18 | variant 17 |"
    assert table.splitlines()[0] == head
    assert line(table, "unit 03").startswith("| unit 03 | 80.8 [79.8, 81.8] |")
    assert table.count("\n| unit ") == 30
    assert table.endswith("\n6 of 25 rows; all are in compare.csv.")


def test_what_is_not_known_is_a_dash() -> None:
    made = comparison()
    made["methods"]["fedavg"]["fleet"]["f1"] = interval(None)
    made["methods"]["fedprox"] = row("fedprox", "final", {}, None, learning_rate=None)
    assert line(markdown.overview(made), "**FedAvg**").startswith("| **FedAvg** | **94.5** [93.5, 95.5] | - |")
    assert line(markdown.overview(made), "FedProx").startswith("| FedProx | - | ")
    assert line(markdown.costs(made), "FedProx").startswith("| FedProx | - | ")
    assert line(markdown.costs(made), "FedProx").endswith("| - | - | - | - |")
    assert line(markdown.devices(made), "FedProx") == "| FedProx | - | - |"


def harmful() -> dict[str, Any]:
    made = comparison()
    made["methods"]["fed_meta_align"]["fleet"]["gain_over_local"] = interval(-0.02)
    made["methods"]["fed_meta_align"]["fleet"]["worse_off"] = interval(0.5)
    made["methods"]["fedavg"]["fleet"]["worse_off"] = interval(0.125)
    return made


def alone_best() -> dict[str, Any]:
    made = comparison()
    made["methods"]["local_only"]["fleet"]["accuracy"] = interval(0.99)
    made["methods"]["local_only"]["against_best"] = against("fedavg", 0.045, 0.002, 0.006)
    return made


def behind_rivals() -> dict[str, Any]:
    made = comparison()
    made["methods"]["fedavg"]["against_best"] = against("pooled", -0.02, 0.002, 0.004)
    made["methods"]["fed_meta_align"]["against_best"] = against("local_only", 0.023, 0.002, 0.004)
    return made


def diverged() -> dict[str, Any]:
    made = comparison()
    for entry in made["methods"].values():
        entry["fleet"]["accuracy"] = interval(None)
    return made


def of_seeds(count: int) -> dict[str, Any]:
    """No difference is clear, and with few seeds none could be."""
    made = comparison()
    made["seeds"] = list(range(count))
    for name, entry in made["methods"].items():
        raced = not name.endswith(".global")
        entry["against_best"] = against("fedavg", -0.01, 0.25, 0.5) if raced else None
    return made


def test_what_a_comparison_found(snapshot: Snapshot) -> None:
    cases = {
        "Fed-Meta-Align comes second": comparison(),
        "Fed-Meta-Align does harm": harmful(),
        "training alone is best": alone_best(),
        "a row is ahead of its rival or behind by the sign": behind_rivals(),
        "all diverged": diverged(),
        "three seeds": of_seeds(3),
    }
    told = [
        f"## {name}\n" + "".join(f"{sentence}\n" for sentence in said(made)) for name, made in cases.items()
    ]
    snapshot("comparison-findings.txt", "\n".join(told))
    assert "accuracy.svg" not in markdown.document(diverged())


def test_global_models_take_no_place() -> None:
    made = comparison()
    made["methods"]["fedavg.global"]["fleet"]["accuracy"] = interval(0.99)
    assert said(made) == said(comparison())


@pytest.mark.parametrize("method", ["pooled", "majority", "one_rule", "forest_pooled", "boosting_alone"])
@pytest.mark.parametrize("name", [None, "a variant of it"])
def test_controls_are_in_no_race_whatever_they_are_called(method: str, name: str | None) -> None:
    made = comparison()
    made["methods"][name or method] = row(method, "final", {}, 0.97)
    told = said(made)
    assert told[0] == said(comparison())[0]
    assert any("takes place 2 of 3 " in sentence for sentence in told)
    ceiling = [sentence for sentence in told if "would give" in sentence]
    how = "each device by itself" if method == "boosting_alone" else "all samples in one place"
    more = f"{label(name or method)}, {how}, would give 97.0 %: more than FedAvg."
    assert ceiling == ([] if method in ("majority", "one_rule") else [more])


def test_the_best_method_is_held_against_the_better_forest() -> None:
    made = comparison()
    for method, mean in (("forest_alone", 0.93), ("forest_pooled", 0.95)):
        made["methods"][method] = row(method, "final", {}, mean)
    for entry in made["methods"].values():
        entry["fleet"]["gain_over_forest"] = interval(entry["fleet"]["accuracy"]["mean"] - 0.95)
    forest = f"the better forest [{MINUS}1.5, +0.5] (Random forest, pooled data, 95.0 %)"
    assert f"FedAvg is 0.5 points behind {forest}." in said(made)
    overview = markdown.overview(made)
    assert "gain over the better forest in points" in overview
    # The forests are not held against themselves.
    assert "| **+4.0** [+3.0, +5.0] | - |" in line(overview, "**Random forest, pooled data**")
    assert "gain over the better forest" not in markdown.overview(comparison())


def test_pooled_data_that_gives_no_more_is_not_reported() -> None:
    made = comparison()
    made["methods"]["pooled"] = row("pooled", "final", {}, 0.94)
    assert said(made) == said(comparison())


def test_a_row_is_what_its_method_is_and_not_what_it_is_called() -> None:
    made = comparison()
    made["methods"]["alone, longer"] = row("local_only", "final", {"feeder": (0.9, 0.9)}, 0.92)
    made["methods"]["fedavg, longer"] = row("fedavg", "final", {"feeder": (0.95, 0.97)}, 0.95)
    of = read(made)
    assert {each.name: each.method for each in of.rows}["alone, longer"] == "local_only"
    assert list(gains(of)) == ["fedavg", "fed_meta_align", "fedavg, longer"]
    assert "alone, longer" not in " ".join(said(made))


def test_it_says_so_where_seeds_are_too_few_for_any_difference_to_be_more_than_chance() -> None:
    # Three methods are two pairs; the least p of the two-sided test of 3 signs is 2 / 2^3, of 6 signs 2 / 2^6.
    assert "no corrected p below 0.50" in said(of_seeds(3))[-1]
    assert "no corrected p below 0.062" in said(of_seeds(6))[-1]
    assert not said(of_seeds(7))[-1].startswith("With ")  # 2 * 2 / 2^7 = 0.031: seeds enough
    clear = comparison() | {"seeds": [0, 1, 2]}
    assert not any(sentence.startswith("With ") for sentence in said(clear))


def test_unequal_budgets_and_a_single_learning_rate_are_reported() -> None:
    made = comparison()
    made["methods"]["fedavg"]["steps"] = 30000
    made["learning_rates"] = [1e-5]
    told = markdown.document(made).replace("\u202f", " ")
    assert "The rows took between 24 000 and 30 000 gradient steps. Each method's" in told
    assert "learning rate is from the same grid (1e-5). Brackets" in told


def test_figures_without_data_are_left_out() -> None:
    made = comparison()
    del made["methods"]["local_only"]
    made["stages"] = {}
    for entry in made["methods"].values():
        entry.pop("rounds", None)
    assert list(shown(read(made))) == ["accuracy.svg"]
    assert "gains.svg" not in markdown.document(made)


def test_gains_are_paired_by_seed_and_leave_out_global_models() -> None:
    found = gains(read(comparison()))
    assert list(found) == ["fedavg", "fed_meta_align"]
    # (0.93 - 0.90 + 0.95 - 0.92) / 2 and (0.90 - 0.91 + 0.95 - 0.91) / 2
    assert found["fed_meta_align"] == pytest.approx({"feeder": 3.0, "machine": 1.5})


def test_names_of_others_are_text_and_nothing_else() -> None:
    made = comparison()
    made["recipe"] = HOSTILE
    made["devices"] = [HOSTILE, "machine"]
    for entry in made["methods"].values():
        entry["devices"][HOSTILE] = entry["devices"].pop("feeder")
    made["methods"][HOSTILE] = made["methods"].pop("fedavg")
    for told in (markdown.document(made), markdown.sweep_document({HOSTILE: made}, HOSTILE)):
        assert "<" not in told.replace("< 0.001", "")
        tokens = MarkdownIt().enable("table").parse(told)
        lengths = []
        for token in tokens:
            assert token.type != "html_block"
            if token.type == "tr_open":
                lengths.append(0)
            elif token.type in ("td_open", "th_open"):
                lengths[-1] += 1
        inline = [child for token in tokens for child in token.children or []]
        assert not {child.type for child in inline} & {"html_inline", "link_open", "code_inline", "em_open"}
        # The table parser itself takes away cells too many: all rows have those of their head in the source.
        assert all(
            each.replace("\\|", "").count("|") in {n + 1 for n in lengths}
            for each in told.splitlines()
            if each.startswith("| ")
        )
        shown_ = HOSTILE.replace("\n", " ")
        # The text of a cell comes in pieces.
        assert any(
            "".join(child.content for child in token.children or []) == shown_
            for token in tokens
            if token.children
        )


def test_names() -> None:
    assert label("fed_meta_align") == "Fed-Meta-Align"
    assert label("fedprox.global") == "FedProx (global)"
    assert label("c = 0.3") == "c = 0.3"
    assert label("c = 0.3.global") == "c = 0.3 (global)"
    assert label("two\nlines\x00") == "two lines"


@pytest.mark.parametrize("name", methods.names())
def test_every_method_has_a_proper_name(name: str) -> None:
    assert label(name) != name


def test_numbers() -> None:
    rates = (1e-5, 3e-4, 2.5e-3, 0.01, None)
    assert [learning_rate(rate) for rate in rates] == ["1e-5", "3e-4", "2.5e-3", "0.01", ABSENT]
    sizes = (0, 999, 45_500, 999_960, 2_500_000, 3.2e9)
    told = [traffic(size).replace("\u202f", " ") for size in sizes]
    assert told == ["0", "999 B", "45.5 kB", "1.0 MB", "2.5 MB", "3.2 GB"]
    times = [duration(time).replace("\u202f", " ") for time in (7.52, 9.97, 75.2, 754, 9000)]
    assert times == ["7.5 s", "10 s", "75 s", "12.6 min", "2.5 h"]
    assert traffic(None) == duration(None) == probability(None) == ABSENT
    assert [probability(p) for p in (1.0, 0.34, 0.0312, 0.0004)] == ["1.00", "0.34", "0.031", "< 0.001"]
    assert [numbered(seeds) for seeds in ((0, 1, 2), (0, 2, 7), (4,), ())] == ["0 to 2", "0, 2 and 7", "4", ""]


def test_the_papers_methods_come_first_then_the_best() -> None:
    rows = read(large(devices=5, methods=3)).rows
    names = [each.name for each in foremost(rows, 5)]
    assert names == ["fed_meta_align", "local_only", "fedavg", "variant 2", "variant 1"]


def test_markdown_needs_no_drawing_library() -> None:
    code = "import sys, fedmetaalign.report.comparison.markdown; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
