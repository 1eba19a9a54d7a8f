"""Rounded transport: both ends see the same numbers, and a round asked for again is answered as before."""

import numpy as np
import pytest
from safetensors.numpy import save

from fedmetaalign.errors import RunError
from fedmetaalign.federation.compression import pack_with_feedback, unpack
from fedmetaalign.federation.memory import Memory
from fedmetaalign.federation.messages import Train, Update, Visit
from fedmetaalign.federation.transport import packed_request, packed_update, sent_bytes
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.recipe import Transport, load
from fedmetaalign.run import run

NETWORK = Network(3, (4, 2))
BLOCKS = (16, 10, 3)


def delta(seed):
    return np.random.default_rng(seed).normal(0, 1e-3, NETWORK.parameters).astype(np.float32)


def answer(number, memory, send="int8"):
    update = Update(delta(number), 0.5, 10, 10, 0.6, 1.0, 0.9)
    return packed_update(update, Transport(send=send), BLOCKS, number, memory)


def asked(weights, number, **settings):
    return packed_request(Train(weights, number, 2), Transport(**settings), BLOCKS)


def test_as_it_is_nothing_is_packed_and_nothing_is_kept(tmp_path):
    update = answer(1, Memory(tmp_path / "r"), "float32")
    assert update.packed is None
    assert update.delta.tobytes() == delta(1).tobytes()
    assert not (tmp_path / "r").exists()
    weights = initialize(NETWORK, np.random.default_rng(0))
    assert asked(weights, 3).weights is weights


@pytest.mark.parametrize(("send", "up"), [("float32", 4 * 29), ("float16", 2 * 29 + 12), ("int8", 29 + 12)])
@pytest.mark.parametrize(("receive", "down"), [("float32", 4 * 29), ("float16", 2 * 29 + 12)])
def test_both_ends_see_what_arrives_and_its_bytes_are_counted(receive, down, send, up):
    weights = initialize(NETWORK, np.random.default_rng(0))
    request, sent = asked(weights, 3, receive=receive), answer(1, Memory(), send)
    assert (request.number, sent_bytes(request), sent_bytes(sent)) == (3, down, up)
    for packed, seen, was in (
        (request.packed, request.weights, weights),
        (sent.packed, sent.delta, delta(1)),
    ):
        assert seen.tobytes() == (was if packed is None else unpack(packed, BLOCKS)).tobytes()
        assert (np.abs(seen - was).max() == 0) == (packed is None)
        assert np.abs(seen - was).max() <= 1e-2 * np.abs(was).max()


def test_the_bytes_of_a_methods_own_vectors_and_of_a_part_of_the_weights_are_counted():
    weights = np.zeros(29, np.float32)
    request = Train(weights, 1, 2, {"control": weights})
    assert sent_bytes(request) == 2 * 4 * 29
    assert sent_bytes(request, 10) == 4 * 10 + 4 * 29
    assert sent_bytes(Visit(weights, 1, 2, 1), 10) == 40


@pytest.mark.parametrize("folder", [None, "state"])
@pytest.mark.parametrize("send", ["float16", "int8"])
def test_what_a_round_loses_is_sent_in_the_next(folder, send, tmp_path):
    memory = Memory(folder and tmp_path / folder)
    first, second = (answer(number, memory, send) for number in (1, 2))
    alone, lost = pack_with_feedback(delta(1), np.zeros(29, np.float32), send, BLOCKS)
    after, _ = pack_with_feedback(delta(2), lost, send, BLOCKS)
    assert first.delta.tobytes() == unpack(alone, BLOCKS).tobytes()
    assert second.delta.tobytes() == unpack(after, BLOCKS).tobytes()
    assert second.packed.values.tobytes() == after.values.tobytes()


@pytest.mark.parametrize("send", ["float16", "int8"])
@pytest.mark.parametrize("folder", [None, "state"])
def test_a_round_that_is_asked_for_again_is_answered_as_before(folder, send, tmp_path):
    memory = Memory(folder and tmp_path / folder)
    said = {number: answer(number, memory, send).delta.tobytes() for number in (1, 3, 4)}
    for _ in range(2):
        if folder:
            memory = Memory(tmp_path / folder)  # the device was started again, too
        assert answer(4, memory, send).delta.tobytes() == said[4]


def test_only_the_last_two_rounds_are_kept(tmp_path):
    for number in (1, 2, 3, 4):
        answer(number, Memory(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "residual-3.safetensors",
        "residual-4.safetensors",
    ]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_round_older_than_what_is_kept_is_no_fresh_start(on_disk, tmp_path):
    memory = Memory(tmp_path if on_disk else None)
    for number in (1, 2, 4):
        memory.keep("residual", number, np.full(29, number, np.float32))
    assert memory.before("residual", 4).tolist() == [2.0] * 29
    with pytest.raises(RunError, match=r"kept \(residual\) before round 2 is not there any more: start"):
        memory.before("residual", 2)
    assert memory.before("residual").tolist() == [4.0] * 29
    assert memory.before("head", 7) is memory.before("head") is Memory().before("residual", 7) is None


def damaged_bytes(data):
    return [b"", data[:-1], data[:-1] + bytes([data[-1] ^ 1]), save({"kept": np.zeros(29, np.float32)})]


@pytest.mark.parametrize("how", range(4))
def test_what_a_device_kept_and_the_disk_has_changed_is_reported(tmp_path, how):
    Memory(tmp_path).keep("residual", 1, np.ones(29, np.float32))
    path = tmp_path / "residual-1.safetensors"
    path.write_bytes(damaged_bytes(path.read_bytes())[how])
    with pytest.raises(RunError, match=r"residual-1\.safetensors is damaged \(.+\): start the run again"):
        answer(2, Memory(tmp_path))


@pytest.mark.parametrize("send", ["float16", "int8"])
def test_weights_that_ran_away_travel_as_they_are_and_are_reported_elsewhere(send):
    weights = np.full(29, np.nan, np.float32)
    assert asked(weights, 1, receive="float16").packed is None
    update = Update(weights, 0.5, 10, 10, 0.6, 1.0, 0.9)
    assert packed_update(update, Transport(send=send), BLOCKS, 1, Memory()) is update


@pytest.mark.usefixtures("no_report")
def test_a_run_that_rounds_is_resumed_to_the_same_bytes(finished, deterministic, tmp_path, monkeypatch):
    recipe = load(
        str(finished.folder / "recipe.toml"),
        ["transport.send=int8", "transport.receive=float16", "parallel.rounds=3"],
    )
    run(recipe, tmp_path / "whole")
    assert (tmp_path / "whole/checkpoint.safetensors").read_bytes() != (
        finished.folder / "checkpoint.safetensors"
    ).read_bytes()

    class Stopped(Exception):  # noqa: N818
        pass

    def stopped(*_, **__):
        raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        # The devices have answered the second round, and the server stops before it has noted that.
        rounds = iter(range(10))
        checkpoint = "fedmetaalign.run_folder.RunFolder.checkpoint"
        from fedmetaalign.run_folder import RunFolder

        whole = RunFolder.checkpoint
        patched.setattr(checkpoint, lambda *a: stopped() if next(rounds) == 1 + 2 + 1 else whole(*a))
        run(recipe, tmp_path / "run")
    run(recipe, tmp_path / "run", resume=True)
    assert deterministic(tmp_path / "run") == deterministic(tmp_path / "whole")
