"""Shared rows are found in whichever order and wherever they stand, and are told from mere coincidence."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedmetaalign.fleet.audit.overlap import Overlap, comparable, overlaps
from fedmetaalign.fleet.files.loading import load


@pytest.fixture
def random():
    return np.random.default_rng(5)


@pytest.fixture
def write(tmp_path):
    """Writes columns as a .csv file of some name and returns its path."""

    def to_file(name, **columns):
        path = tmp_path / f"{name}.csv"
        pl.DataFrame(columns).write_csv(path)
        return path

    return to_file


def contained(paths):
    return overlaps([(path, comparable(load(path))) for path in paths])


def test_part_of_another(write, random):
    x = random.normal(size=(60, 2))
    y = [0, 1] * 30
    whole = write("whole", a=x[:, 0], b=x[:, 1], fault=y)
    part = write("part", b=x[9:39, 1], fault=y[9:39], a=x[9:39, 0])
    other = write("other", a=random.normal(size=60), b=x[:, 1], fault=y)
    (overlap,) = contained([whole, part, other])
    assert overlap == Overlap(part, whole, ("b", "a"), shared=30, rows=30)


@pytest.mark.parametrize(("shared", "found"), [(9, 0), (10, 1)])
def test_a_handful_is_no_overlap(write, random, shared, found):
    x, other = random.normal(size=(50, 2)), random.normal(size=(50, 2))
    other[:shared] = x[:shared]
    shares = contained([write("x", a=x[:, 0], b=x[:, 1]), write("other", a=other[:, 0], b=other[:, 1])])
    assert len(shares) == found


def test_the_sign_of_zero_is_no_difference(write, random):
    a, b = random.normal(size=30), np.zeros(30)
    b[:2] = 1, 2
    assert contained([write("x", a=a, b=b), write("y", a=a, b=np.where(b == 0, -0.0, b))])[0].shared == 30


def test_few_possible_values_are_no_evidence(write, random):
    paths = [write(name, a=random.integers(0, 3, 500), b=random.integers(0, 3, 500)) for name in "xy"]
    assert contained(paths) == ()


def test_row_numbers_and_a_single_column_are_no_evidence(write, random):
    a = random.normal(size=30)
    assert contained([write(name, a=a, number=range(30)) for name in "xy"]) == ()


def test_sentence():
    overlap = Overlap(Path("x.csv"), Path("y.csv"), ("a", "b"), shared=10, rows=1200)
    assert overlap.sentence == (
        "10 of 1,200 rows of x.csv are also in y.csv (the same a, b); keep the two files on one side of every "
        "split."
    )


def test_electrical_files(real_data):
    (overlap,) = contained(
        [real_data / "detect_dataset.csv", real_data / "classData.csv", real_data / "ai4i2020.csv"]
    )
    assert overlap.first.name == "classData.csv"
    assert (overlap.shared, overlap.rows) == (7861, 7861)
