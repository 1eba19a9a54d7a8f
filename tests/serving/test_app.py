"""The folder that `flwr run` takes: complete, and in step with the configuration of the ServerApp."""

import tomllib

import pytest
from flwr.cli.build import build_fab_from_disk
from flwr.common.config import get_metadata_from_config
from flwr.supercore.object_ref import load_app

from fedmetaalign.engine.flower.client_app import app as client_app
from fedmetaalign.serving.server import APP
from fedmetaalign.serving.server_app import Settings
from fedmetaalign.serving.server_app import app as server_app

PROJECT = tomllib.loads((APP / "pyproject.toml").read_text(encoding="utf-8"))


def test_it_holds_nothing_but_its_description():
    assert [path.name for path in APP.iterdir()] == ["pyproject.toml"]


def test_its_configuration_is_what_the_server_takes_with_the_same_defaults():
    assert PROJECT["tool"]["flwr"]["app"]["config"] == Settings().model_dump()


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # Flower's use of pathspec
def test_flower_builds_it_and_finds_both_ends():
    assert build_fab_from_disk(APP)
    assert get_metadata_from_config(PROJECT) == ("fedmetaalign/fedmetaalign-app", "1.0.0")
    components = PROJECT["tool"]["flwr"]["app"]["components"]
    for kind, app in (("serverapp", server_app), ("clientapp", client_app)):
        assert load_app(components[kind], ImportError, str(APP)) is app
