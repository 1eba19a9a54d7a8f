"""Streams by address: the same on every platform and in every order of use."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedmetaalign.randomness import generator

part = st.one_of(st.text(max_size=8), st.integers(0, 9))


def first(*address):
    return generator(*address).bit_generator.random_raw(2).tolist()


def test_an_address_gives_these_numbers_on_every_platform():
    # The SHA-256 of "(0, 'order', 'serial', 3)" begins c4296e3f30e56bc3d2510cfb79346773; read from the
    # little end, its first sixteen bytes are the key of a Philox.
    key = int.from_bytes(bytes.fromhex("c4296e3f30e56bc3d2510cfb79346773"), "little")
    assert key == 0x73673479FB0C51D2C36BE5303F6E29C4
    stream = generator(0, "order", "serial", 3).bit_generator
    assert stream.state["state"]["key"].tolist() == [key % 2**64, key // 2**64]
    assert stream.random_raw(3).tolist() == [
        4152247300779298217,
        12704702797136709227,
        4916373341492620100,
    ]


def test_a_number_and_its_text_are_different_addresses():
    assert first(0, "round", 1) != first(0, "round", "1")


def test_where_a_word_ends_matters():
    assert first(0, "ab", "c") != first(0, "a", "bc")
    assert first(0, "a", "b") != first(0, "a, b")
    assert first(0, "a', 'b") != first(0, "a", "b")


@given(st.lists(st.tuples(st.integers(0, 3), part, part), min_size=2, max_size=20, unique=True))
def test_different_addresses_give_different_streams(addresses):
    assert len({tuple(first(*address)) for address in addresses}) == len(addresses)


@given(st.permutations(range(6)))
def test_the_order_of_use_changes_nothing(order):
    alone = [generator(7, "device", i).random(3).tolist() for i in range(6)]
    streams = {i: generator(7, "device", i) for i in range(6)}
    assert {i: streams[i].random(3).tolist() for i in order} == dict(enumerate(alone))


def test_neighbouring_addresses_are_not_correlated():
    draws = np.array([generator(0, "stream", i).random(2000) for i in range(20)])
    correlation = np.corrcoef(draws) - np.eye(20)
    assert np.abs(correlation).max() < 5 / 2000**0.5  # five standard deviations


def test_numpys_global_stream_is_left_alone():
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002 - it is what must not move
    generator(0, "x").permutation(100)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002
