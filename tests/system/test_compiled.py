import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fedmetaalign.system import compiled
from fedmetaalign.system.compiled import Store

KEY = "jit__train_block-5f"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def put_at(store, key, seconds):
    """Puts ten bytes that were last used at a time."""
    store.put(key, b"0123456789")
    os.utime(store._entry(key), (seconds, seconds))


def test_of_a_writer_that_is_killed_nothing_is_read_and_nothing_stays(store, tmp_path):
    # It dies when the bytes are written, and the file has still another name.
    program = (
        "import os, sys; from pathlib import Path; from fedmetaalign.system.compiled import Store;"
        "Path.replace = lambda *_: os._exit(9); Store(Path(sys.argv[1])).put(sys.argv[2], b'half')"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path, KEY])  # noqa: S603
    assert killed.returncode == 9
    (left,) = tmp_path.iterdir()
    assert store.get(KEY) is None

    store.put(KEY, b"whole")
    assert store.get(KEY) == b"whole"
    assert left.exists()  # its writer may be alive
    os.utime(left, (0, 0))
    store.put(KEY, b"whole")
    assert [path.read_bytes()[32:] for path in tmp_path.iterdir()] == [b"whole"]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:40] + b"?" + b[41:]])
def test_a_damaged_entry_is_none_until_it_is_put_again(store, damage):
    store.put(KEY, b"what the compiler made")
    entry = store._entry(KEY)
    entry.write_bytes(damage(entry.read_bytes()))
    assert store.get(KEY) is None
    store.put(KEY, b"what the compiler made")
    assert store.get(KEY) == b"what the compiler made"


def test_another_processor_finds_none_of_it(store, monkeypatch):
    store.put(KEY, b"of this one")
    monkeypatch.setattr(compiled, "_processor", lambda: "x86_64 avx512f")
    assert store.get(KEY) is None


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_where_nothing_can_be_written_what_is_there_is_read(store, monkeypatch, code):
    store.put(KEY, b"there")

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    store.put("another", b"not kept")
    assert (store.get(KEY), store.get("another")) == (b"there", None)


def test_a_folder_that_has_vanished_is_an_empty_one(tmp_path):
    store = Store(tmp_path / "gone")
    store.put(KEY, b"nowhere")
    assert store.get(KEY) is None


def test_those_least_recently_used_make_room(tmp_path):
    store = Store(tmp_path, most=130)  # three entries of 10 bytes and a digest of 32
    for seconds, key in enumerate("abc", 1):
        put_at(store, key, seconds)
    assert store.get("a")  # which is used now, in the year that it is
    store.put("d", b"0123456789")
    assert [key for key in "abcd" if store.get(key)] == ["a", "c", "d"]


class TestFolder:
    def test_it_is_below_the_users_cache_and_nobody_elses(self, tmp_path, monkeypatch):
        monkeypatch.delenv(compiled.VARIABLE, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert compiled.folder() == tmp_path / "fedmetaalign" / "compiled"
        assert compiled.folder().stat().st_mode & 0o777 == 0o700

    def test_the_environment_names_another(self, tmp_path, monkeypatch):
        monkeypatch.setenv(compiled.VARIABLE, str(tmp_path / "here"))
        assert compiled.folder() == tmp_path / "here" / "compiled"

    def test_there_is_none_where_it_is_off_or_cannot_be(self, tmp_path, monkeypatch):
        monkeypatch.setenv(compiled.VARIABLE, "off")
        assert compiled.folder() is None
        file = tmp_path / "file"
        file.touch()
        monkeypatch.setenv(compiled.VARIABLE, str(file))
        assert compiled.folder() is None

    @pytest.mark.skipif(os.name != "posix", reason="there are no modes")
    def test_one_that_others_write_to_is_not_taken(self, tmp_path, monkeypatch):
        (tmp_path / "compiled").mkdir()
        (tmp_path / "compiled").chmod(0o777)  # they could have us run what they like
        monkeypatch.setenv(compiled.VARIABLE, str(tmp_path))
        assert compiled.folder() is None


PROGRAM = """
import json, sys
from hashlib import sha256
from pathlib import Path
import jax
from fedmetaalign.engine.device_runner import learner_of
from fedmetaalign.model.online import Samples
from fedmetaalign.recipe import load
import numpy as np

hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name.endswith("cache_hits")))
rng = np.random.default_rng(0)
samples = Samples(rng.normal(size=(40, 9)).astype(np.float32), (rng.random(40) > 0.5).astype(np.float32))

def trained():
    jax.clear_caches()
    hits.clear()
    learner = learner_of(load("mixed", ["model.hidden=[5]"]))
    weights = learner.train(learner.initial(), samples, epochs=2).weights
    said = learner.probabilities(weights, samples.x)
    return sha256(weights.tobytes() + said.tobytes()).hexdigest(), sum(hits)

seen = [trained(), trained()]
for entry in Path(sys.argv[1]).rglob("*"):
    if entry.is_file():
        entry.write_bytes(entry.read_bytes()[:-9])
seen += [trained(), trained()]
print(json.dumps(seen))
"""


def test_code_from_the_cache_gives_the_same_bits_and_damage_goes_unnoticed(tmp_path):
    """Warnings are errors in it: JAX would give one of an entry that it cannot read."""
    environment = os.environ | {compiled.VARIABLE: str(tmp_path)}
    command = [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    (first, none), (second, all_of_it), (third, no_more), (fourth, again) = json.loads(done.stdout)
    assert (none, no_more) == (0, 0)
    assert all_of_it == again >= 2
    assert {first, second, third, fourth} == {first}
    assert all(path.parent.name == "compiled" for path in Path(tmp_path).rglob("*") if path.is_file())
