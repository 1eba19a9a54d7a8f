import subprocess
import sys
from typing import Any

import pytest
from comparison_file import against, comparison, interval, large, row
from markdown_it import MarkdownIt

from fedmetaalign import methods
from fedmetaalign.report.comparison import markdown
from fedmetaalign.report.comparison.findings import sentences
from fedmetaalign.report.comparison.formats import duration, learning_rate, numbered, probability, traffic
from fedmetaalign.report.comparison.names import label
from fedmetaalign.report.comparison.reading import foremost, gains, read, shown
from fedmetaalign.report.numbers import ABSENT

HOSTILE = 'a|b <x> $1 *c* [l](http://x) `d` <!-- end --> & _e_ \\ "q"\n# f'


def line(table: str, name: str) -> str:
    found = next(each for each in table.splitlines() if each.startswith(f"| {name} |"))
    return found.replace("\u202f", " ").replace(ABSENT, "-")


def said(made: dict[str, Any]) -> list[str]:
    return [sentence.replace("\u202f", " ") for sentence in sentences(read(made))]


def test_the_table_of_the_fleet() -> None:
    table = markdown.overview(comparison())
    assert table.splitlines()[0] == (
        "|  | accuracy in % | F1 in % | MCC | balanced accuracy in % | PR-AUC in % | Brier score "
        "| gain over local only in points | devices worse off in % | worst device in % |"
    )
    assert line(table, "**FedAvg**") == (
        "| **FedAvg** | **94.5** [93.5, 95.5] | 90.0 | 0.800 | 90.0 | 90.0 | 0.050 "
        "| **+3.5** [+2.5, +4.5] | **0.0** | 85.0 |"
    )
    assert line(table, "FedAvg (global)") == (
        "| FedAvg (global) | 75.0 [74.0, 76.0] | 90.0 | 0.800 | 90.0 | 90.0 | 0.050 "
        "| \u221216.0 [\u221217.0, \u221215.0] | 25.0 | 85.0 |"
    )


def test_training_alone_is_not_set_beside_itself() -> None:
    assert line(markdown.overview(comparison()), "Local only").endswith("| 0.050 | - | - | 85.0 |")


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


def test_the_table_of_costs() -> None:
    table = markdown.costs(comparison()).replace("\u202f", " ")
    assert line(table, "FedAvg") == (
        "| FedAvg | 3e-4 (edge) | 24 000 | 2.5 MB | 7.5 s "
        "| +1.2 [+0.2, +2.2] | Fed-Meta-Align | 0.002 | < 0.001 |"
    )
    assert line(table, "Fed-Meta-Align") == (
        "| Fed-Meta-Align | 1e-5 | 24 000 | 2.5 MB | 12.6 min "
        "| \u22121.2 [\u22122.2, \u22120.2] | FedAvg | 0.34 | 0.34 |"
    )
    assert "\nedge: the rate chosen lies at an end of the grid" in table
    assert table.endswith("\nFed-Meta-Align diverged with seed 3; its means are over the others.")


def test_few_devices_are_columns() -> None:
    table = markdown.devices(comparison())
    assert table.splitlines()[0] == "| accuracy in % | feeder | machine |"
    assert line(table, "FedAvg") == "| FedAvg | **95.0** [94.0, 96.0] | **94.0** [93.0, 95.0] |"


def test_many_devices_are_rows_beside_the_papers_methods_and_the_best() -> None:
    table = markdown.devices(large(devices=30, methods=20))
    head = "| accuracy in % | Fed-Meta-Align | Local only | FedAvg | variant 19 | variant 18 | variant 17 |"
    assert table.splitlines()[0] == head
    assert line(table, "unit 03").startswith("| unit 03 | 80.8 [79.8, 81.8] |")
    assert table.count("\n| unit ") == 30
    assert table.endswith("\n6 of 25 rows; all are in compare.csv.")


def test_devices_that_took_no_part_have_a_table_of_their_own() -> None:
    made = comparison()
    assert "took no part" not in markdown.document(made)
    made["unseen"] = ["new"]
    for entry in made["methods"].values():
        entry["unseen"] = entry["fleet"]
    made["methods"]["fedavg"]["unseen"] = made["methods"]["fed_meta_align.global"]["fleet"]
    assert line(markdown.unseen(made), "**Fed-Meta-Align**").startswith("| **Fed-Meta-Align** | **93.3** [")
    assert "## Devices that took no part" in markdown.document(made)


def test_what_is_not_known_is_a_dash() -> None:
    made = comparison()
    made["methods"]["fedavg"]["fleet"]["f1"] = interval(None)
    made["methods"]["fedprox"] = row("fedprox", "final", {}, None, learning_rate=None)
    assert line(markdown.overview(made), "**FedAvg**").startswith("| **FedAvg** | **94.5** [93.5, 95.5] | - |")
    assert line(markdown.overview(made), "FedProx").startswith("| FedProx | - | ")
    assert line(markdown.costs(made), "FedProx").startswith("| FedProx | - | ")
    assert line(markdown.costs(made), "FedProx").endswith("| - | - | - | - |")
    assert line(markdown.devices(made), "FedProx") == "| FedProx | - | - |"


def test_it_says_who_is_best_and_where_fed_meta_align_stands() -> None:
    assert said(comparison()) == [
        "FedAvg is best, with a mean accuracy of 94.5 % [93.5, 95.5], 1.2 points ahead of Fed-Meta-Align; "
        "that lead is more than chance, Holm-corrected p < 0.001.",
        "Fed-Meta-Align takes place 2 of 3 with 93.3 %, 1.2 points behind FedAvg (that distance may be chance, "
        "Holm-corrected p = 0.34); it is 2.3 points above training alone [+1.3, +3.3] and leaves no device "
        "worse off.",
        "No device is worse off with FedAvg.",
    ]


def test_it_says_so_where_fed_meta_align_does_harm() -> None:
    made = comparison()
    made["methods"]["fed_meta_align"]["fleet"]["gain_over_local"] = interval(-0.02)
    made["methods"]["fed_meta_align"]["fleet"]["worse_off"] = interval(0.5)
    made["methods"]["fedavg"]["fleet"]["worse_off"] = interval(0.125)
    told = said(made)
    assert (
        "it is 2.0 points below training alone [\u22123.0, \u22121.0] and leaves 50.0 % of the devices"
        in told[1]
    )
    assert told[2] == "Devices worse off than alone: 12.5 % with FedAvg."


def test_where_training_alone_is_best_the_best_that_federates_is_told() -> None:
    made = comparison()
    made["methods"]["local_only"]["fleet"]["accuracy"] = interval(0.99)
    made["methods"]["local_only"]["against_best"] = against("fedavg", 0.045, 0.002, 0.006)
    assert said(made)[:2] == [
        "Local only is best, with a mean accuracy of 99.0 % [98.0, 100.0], 4.5 points ahead of FedAvg; "
        "that lead is more than chance, Holm-corrected p = 0.006.",
        "The best method that federates is FedAvg with 94.5 %.",
    ]
    assert not any(sentence.startswith("The best method") for sentence in said(comparison()))


def test_global_models_take_no_place() -> None:
    made = comparison()
    made["methods"]["fedavg.global"]["fleet"]["accuracy"] = interval(0.99)
    assert said(made) == said(comparison())


@pytest.mark.parametrize("method", ["pooled", "majority", "one_rule"])
@pytest.mark.parametrize("name", [None, "a variant of it"])
def test_controls_are_in_no_race_whatever_they_are_called(method: str, name: str | None) -> None:
    made = comparison()
    made["methods"][name or method] = row(method, "final", {}, 0.97)
    told = said(made)
    assert told[0] == said(comparison())[0]
    assert any("takes place 2 of 3 " in sentence for sentence in told)
    ceiling = [sentence for sentence in told if "all samples in one place" in sentence]
    assert ceiling == (
        [f"{label(name or method)}, all samples in one place, would give 97.0 %: more than FedAvg."]
        if method == "pooled"
        else []
    )


def test_pooled_data_that_gives_no_more_is_not_told_of() -> None:
    made = comparison()
    made["methods"]["pooled"] = row("pooled", "final", {}, 0.94)
    assert said(made) == said(comparison())


def test_a_row_is_ahead_of_its_rival_or_behind_by_the_sign() -> None:
    made = comparison()
    made["methods"]["fedavg"]["against_best"] = against("pooled", -0.02, 0.002, 0.004)
    made["methods"]["fed_meta_align"]["against_best"] = against("local_only", 0.023, 0.002, 0.004)
    told = said(made)
    assert "2.0 points behind Pooled data; that lead" in told[0]
    assert "with 93.3 %, 2.3 points ahead of Local only (" in told[1]


def test_a_row_is_what_its_method_is_and_not_what_it_is_called() -> None:
    made = comparison()
    made["methods"]["alone, longer"] = row("local_only", "final", {"feeder": (0.9, 0.9)}, 0.92)
    made["methods"]["fedavg, longer"] = row("fedavg", "final", {"feeder": (0.95, 0.97)}, 0.95)
    of = read(made)
    assert {each.name: each.method for each in of.rows}["alone, longer"] == "local_only"
    assert list(gains(of)) == ["fedavg", "fed_meta_align", "fedavg, longer"]
    assert "alone, longer" not in " ".join(said(made))


def test_it_says_so_where_seeds_are_too_few_for_any_difference_to_be_more_than_chance() -> None:
    made = comparison()
    for name, entry in made["methods"].items():
        raced = not name.endswith(".global")
        entry["against_best"] = against("fedavg", -0.01, 0.25, 0.5) if raced else None
    # Three methods are two pairs; the least p of the two-sided test of 3 signs is 2 / 2^3, of 6 signs 2 / 2^6.
    made["seeds"] = [0, 1, 2]
    assert said(made)[-1] == (
        "With 3 seeds and 3 methods compared, the clearest lead can come to no corrected p below 0.50; "
        "more seeds could tell it from chance."
    )
    made["seeds"] = list(range(6))
    assert (
        said(made)[-1].startswith("With 6 seeds and 3 methods compared, ") and "below 0.062" in said(made)[-1]
    )
    made["seeds"] = list(range(7))  # 2 * 2 / 2^7 = 0.031: seeds enough
    assert not said(made)[-1].startswith("With ")


def test_a_lead_that_is_clear_is_not_excused() -> None:
    made = comparison()
    made["seeds"] = [0, 1, 2]
    assert not any(sentence.startswith("With ") for sentence in said(made))


def test_nothing_is_claimed_where_all_diverged() -> None:
    made = comparison()
    for entry in made["methods"].values():
        entry["fleet"]["accuracy"] = interval(None)
    assert said(made) == ["No method came to a result: all of them diverged."]
    assert "accuracy.svg" not in markdown.document(made)


def test_the_document_says_how_it_was_done_and_shows_the_figures() -> None:
    told = markdown.document(comparison()).replace("\u202f", " ")
    assert told.startswith("# Comparison: paper\n\n5 rows ")
    assert "over 2 devices, with 10 seeds (0 to 9)" in told
    assert "The budget is equal: 24 000 gradient steps each." in told
    assert (
        "from the same grid (1e-5, 1e-4, 3e-4), chosen by the Brier score on validation data with seeds 0 to 2"
        in told
    )
    for name in ("accuracy", "gains", "rounds", "stages"):
        assert f"]({name}.svg)" in told
    assert told.endswith(")\n")


def test_unequal_budgets_are_told() -> None:
    made = comparison()
    made["methods"]["fedavg"]["steps"] = 30000
    assert "took between 24 000 and 30 000 gradient steps" in markdown.document(made).replace("\u202f", " ")


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


def test_a_sweep_is_a_table_of_methods_and_values() -> None:
    other = comparison()
    other["methods"]["fed_meta_align"]["fleet"]["accuracy"] = interval(0.96, by=0.022)
    table = markdown.sweep({"0.1": comparison(), "1": other})
    assert table.splitlines()[0] == "| accuracy in % | 0.1 | 1 |"
    assert line(table, "FedAvg") == "| FedAvg | **94.5** ± 1.0 | 94.5 ± 1.0 |"
    assert line(table, "Fed-Meta-Align") == "| Fed-Meta-Align | 93.3 ± 1.0 | **96.0** ± 2.2 |"


def test_a_sweep_of_gains_leaves_out_training_alone_and_marks_what_was_not_compared() -> None:
    other = comparison()
    del other["methods"]["fedavg"]
    table = markdown.sweep({"0.1": comparison(), "1": other}, "gain_over_local")
    assert "Local only" not in table
    assert line(table, "FedAvg") == "| FedAvg | **+3.5** ± 1.0 | - |"


def test_the_document_of_a_sweep() -> None:
    told = markdown.sweep_document({"0.1": comparison(), "1": comparison()}, "fleet.partition.alpha")
    assert told.startswith("# Comparison: paper, by fleet.partition.alpha\n")
    assert "](sweep.svg)" in told
    assert told.count("is best, with a mean accuracy") == 2
    assert "gain over local only in points" in told


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
