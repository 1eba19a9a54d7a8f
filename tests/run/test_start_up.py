"""What a run imports before it trains: each of these takes longer than many a training."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["fedmetaalign.run", "fedmetaalign.methods.fleet"])
def test_a_run_starts_without_what_it_needs_only_in_the_end_or_never(module):
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)  # noqa: S603
    loaded = done.stdout.split()
    assert "jax" in loaded
    assert not {"matplotlib", "jinja2", "scipy.stats", "scipy.signal", "sklearn"}.intersection(loaded)
