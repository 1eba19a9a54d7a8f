import pytest
from run_folder import fleet_names, rounds

from fedmetaalign.report.figures import series
from fedmetaalign.report.numbers import count, decimal, interval, kibibytes, listing, percent, whole


def test_wilsons_interval() -> None:
    # Published examples: 9 of 10 (0.5958, 0.9821), 0 of 10 (0, 0.2775).
    assert interval(0.9, 10) == pytest.approx((0.5958, 0.9821), abs=5e-5)
    assert interval(0.0, 10) == pytest.approx((0.0, 0.2775), abs=5e-5)
    assert interval(1.0, 10) == pytest.approx((1 - 0.2775, 1.0), abs=5e-5)
    assert interval(None, 10) is None
    assert interval(0.5, None) is None
    assert interval(0.5, 0) is None


def test_how_numbers_look() -> None:
    assert percent(0.9312).replace("\u202f", " ") == "93.1 %"
    assert decimal(-0.25) == "\u22120.250"
    assert whole(12345).replace("\u202f", " ") == "12 345"
    assert kibibytes(23552).replace("\u202f", " ") == "23.0 KiB"
    assert {percent(None), decimal(None), whole(None), kibibytes(None)} == {"\u2013"}


def test_how_lists_read() -> None:
    assert [count(1, "device"), count(0, "device")] == ["1 device", "0 devices"]
    assert listing([]) == ""
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(list("abcdefg"), most=3) == "a, b and 5 more"


def test_a_round_that_was_run_again_counts_once() -> None:
    entries = [
        {"phase": 2, "round": 2, "device": "a", "weight": 0.3},
        {"phase": 2, "round": 1, "device": "a", "weight": 0.1},
        {"phase": 2, "round": 2, "device": "a", "weight": 0.4},
        {"phase": 2, "round": 3, "device": "a", "weight": None},
        {"phase": 1, "round": 1, "device": "a", "weight": 0.9},
        {"phase": 2, "device": "a", "weight": 0.9},
    ]
    assert series(entries, 2, "weight") == {"a": {1: 0.1, 2: 0.4}}
    assert list(series(entries, 2, "weight")["a"]) == [1, 2]


def test_the_made_up_weights_sum_to_one() -> None:
    weights = series(rounds(fleet_names(5)), 2, "weight")
    assert sum(weights[name][4] for name in weights) == pytest.approx(1)
