import math

import pytest
from run_folder import fleet_names, rounds

from fedmetaalign.report.numbers import (
    chance,
    count,
    decimal,
    interval,
    listing,
    percent,
    signed,
    whole,
)
from fedmetaalign.report.rounds import all_series


def test_wilsons_interval() -> None:
    # Published examples: 9 of 10 (0.5958, 0.9821), 0 of 10 (0, 0.2775).
    assert interval(0.9, 10) == pytest.approx((0.5958, 0.9821), abs=5e-5)
    assert interval(0.0, 10) == pytest.approx((0.0, 0.2775), abs=5e-5)
    assert interval(1.0, 10) == pytest.approx((1 - 0.2775, 1.0), abs=5e-5)
    assert interval(None, 10) is None
    assert interval(0.5, None) is None
    assert interval(0.5, 0) is None


def exact_sign_test(only_one: int, only_other: int) -> float:
    """Two-sided: the chance of a split at least so uneven where both are equally likely."""
    total = only_one + only_other
    tail = sum(math.comb(total, k) for k in range(max(only_one, only_other), total + 1))
    return min(1.0, 2 * tail / 2**total)


@pytest.mark.parametrize("samples", [5, 12, 40, 120])
def test_more_than_chance_holds_whichever_samples_the_two_models_err_on(samples: int) -> None:
    """No way to lay the errors of two models on the samples makes the exact test less sure than the page."""
    told = 0
    for errors in range(samples // 2 + 1):
        for fewer in range(errors):
            accuracy, other = 1 - fewer / samples, 1 - errors / samples
            if accuracy - other <= chance([(accuracy, other, samples)]):
                continue
            told += 1
            for common in range(max(0, errors + fewer - samples), fewer + 1):
                assert exact_sign_test(errors - common, fewer - common) <= 0.05
    assert told > 0 or samples == 5  # five samples never suffice


def test_chance_by_hand() -> None:
    # 10 and 26 errors in 100 samples: at most 36 samples on which one is right, 1.96 sqrt(36) + 1 = 12.76.
    assert chance([(0.9, 0.74, 100)]) == pytest.approx(0.1276, abs=1e-5)
    # Of two such devices the mean varies by 1 / sqrt 2 as much: (1.96 sqrt(72) + 1) / 200.
    assert chance([(0.9, 0.74, 100)] * 2) == pytest.approx(0.088155, abs=1e-5)
    # Two models that err on 90 of 100 samples each disagree on 20 at most.
    assert chance([(0.1, 0.1, 100)]) == pytest.approx(0.097652, abs=1e-5)


def test_how_numbers_look() -> None:
    assert percent(0.9312).replace("\u202f", " ") == "93.1 %"
    assert [signed(value) for value in (0.0123, -0.146, -0.0001, 0.0, None)] == [
        "+1.2",
        "\u221214.6",
        "0.0",
        "0.0",
        "\u2013",
    ]
    assert decimal(-0.25) == "\u22120.250"
    assert whole(12345).replace("\u202f", " ") == "12 345"
    assert {percent(None), decimal(None), whole(None)} == {"\u2013"}


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
    assert all_series(entries)[2, "weight"] == {"a": {1: 0.1, 2: 0.4}}
    assert list(all_series(entries)[2, "weight"]["a"]) == [1, 2]


def test_the_made_up_weights_sum_to_one() -> None:
    weights = all_series(rounds(fleet_names(5)))[2, "weight"]
    assert sum(weights[name][4] for name in weights) == pytest.approx(1)
