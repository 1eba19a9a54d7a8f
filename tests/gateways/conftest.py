"""A fleet folder that the tests of keys and certificates share."""

import shutil
from pathlib import Path

import pytest
from fleet_folder import NOW

from fedmetaalign.gateways.enrolment import enroll


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A fleet folder with two devices; not to be changed."""
    folder = tmp_path_factory.mktemp("enrolment") / "fleet"
    enroll(folder, ["192.0.2.7", "Gateway.plant.example", "2001:db8::7"], ["pump", "mill-2"], None, NOW)
    return folder


@pytest.fixture
def fleet(made, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "fleet")
