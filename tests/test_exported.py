"""What a program that imports the package meets."""

import importlib.metadata
import subprocess
import sys

import pytest

import fedmetaalign


def loaded_by(statement):
    """The heavy packages that a statement imports in a fresh interpreter."""
    heavy = ("jax", "optax", "polars", "matplotlib", "sklearn", "ai_edge_litert", "pydantic")
    script = f"{statement}; import sys; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.split()


def test_importing_the_package_imports_nothing_heavy():
    assert loaded_by("import fedmetaalign") == []


def test_reading_recipes_needs_no_training_library():
    assert loaded_by("import fedmetaalign.recipe") == ["pydantic"]


def test_the_report_is_made_without_the_training_library():
    assert not {"jax", "optax", "ai_edge_litert"} & set(loaded_by("import fedmetaalign.report.page"))


def test_a_prediction_loads_no_training_library():
    statement = "import fedmetaalign.tinyml.bundle, fedmetaalign.fleet.tables"
    assert not {"jax", "optax", "matplotlib"} & set(loaded_by(statement))


def test_the_public_interface_is_this_and_no_more():
    assert sorted(fedmetaalign.__all__) == [
        "BundleError",
        "DataError",
        "FedMetaAlignError",
        "RecipeError",
        "RunError",
        "ToolError",
        "audit_files",
        "build_fleet",
        "load_recipe",
        "read_bundle",
        "run_recipe",
        "write_report",
    ]


def test_every_public_name_is_there_and_documented():
    for name in fedmetaalign.__all__:
        assert getattr(fedmetaalign, name).__doc__


def test_it_says_its_version_and_lists_its_names():
    assert fedmetaalign.__version__ == importlib.metadata.version("fedmetaalign")
    assert dir(fedmetaalign) == sorted([*fedmetaalign.__all__, "__version__"])


def test_paths_may_be_texts(tmp_path):
    missing = str(tmp_path / "nothing")
    for call in (fedmetaalign.read_bundle, fedmetaalign.write_report):
        with pytest.raises(fedmetaalign.FedMetaAlignError, match="nothing"):
            call(missing)
    with pytest.raises(fedmetaalign.DataError, match="nothing"):
        fedmetaalign.audit_files([missing])
    recipe = fedmetaalign.load_recipe("demo", data=str(tmp_path))
    (tmp_path / "full").write_text("")
    with pytest.raises(fedmetaalign.RunError, match="full"):
        fedmetaalign.run_recipe(recipe, str(tmp_path / "full"))


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        _ = fedmetaalign.train


def test_every_error_is_a_fedmetaalign_error():
    for name in ("BundleError", "DataError", "RecipeError", "RunError"):
        assert issubclass(getattr(fedmetaalign, name), fedmetaalign.FedMetaAlignError)
