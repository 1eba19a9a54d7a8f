"""How a delta travels: literal bytes, exact fractions as the peer, bounds, nothing lost from round to round."""

import struct
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedmetaalign.federation.compression import LARGEST, Packed, pack, pack_weights, pack_with_feedback, unpack
from fedmetaalign.model.mlp import Network

FORMATS = ("float32", "float16", "int8")
PAPER = [rows * columns for rows, columns in Network(9, (256, 128, 64, 32, 16, 12, 8)).shapes]
LIMIT = float(np.float32(LARGEST))


def vector(*values):
    return np.array(values, np.float32)


def cut(values, blocks):
    """The values of each block."""
    return [values[i:j] for i, j in pairwise(accumulate(blocks, initial=0))]


@st.composite
def blocked(draw, count=1, limit=LIMIT):
    """So many vectors of the same blocks, and the blocks."""
    blocks = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    elements = st.floats(-limit, limit, width=32) | st.floats(-1, 1, width=32)
    return [draw(arrays(np.float32, sum(blocks), elements=elements)) for _ in range(count)], blocks


class TestFloat16:
    def test_the_largest_of_a_block_is_brought_to_2_14_or_more(self):
        # 1 = 2^14 * 2^-14, and 3 * 2^-20 = (1.5 * 2^14) * 2^-33: the second block is not dwarfed by the first.
        packed = pack(vector(1, -0.5, 2**-20, 3 * 2**-20), "float16", [2, 2])
        assert packed.scales.tolist() == [2**-14, 2**-33]
        assert packed.values.tolist() == [16384, -8192, 8192, 24576]

    @pytest.mark.parametrize("size", [1e-30, 1e-7, 1e-5, 1e-3, 1e30])
    def test_a_small_delta_keeps_as_many_bits_as_a_large_one(self, size):
        delta = (np.linspace(-1, 1, 1001) * size).astype(np.float32)
        error = np.abs(unpack(pack(delta, "float16", [1001]), [1001]) - delta.astype(np.float64))
        assert (error <= 2**-11 * np.abs(delta)).all()
        # As it is, a delta of 1e-7 would be a subnormal or nothing.
        if size == 1e-7:
            bare = np.abs(delta.astype(np.float16).astype(np.float64) - delta)
            assert (bare > 0.1 * np.abs(delta)).mean() > 0.5

    @given(blocked())
    @settings(max_examples=60, deadline=None)
    def test_the_values_are_those_of_the_standard_library(self, drawn):
        [delta], blocks = drawn
        packed = pack(delta, "float16", blocks)
        for v, scale, got in zip(cut(delta, blocks), packed.scales, cut(packed.values, blocks), strict=True):
            assert got.tobytes() == b"".join(struct.pack("<e", float(x) / float(scale)) for x in v)


class TestInt8:
    def test_ties_go_to_the_even_neighbour(self):
        # Scales 127/127 and 254/127.
        packed = pack(vector(127, -63.5, 0.5, 1.5, 2.5, -254, 1, 3, 0.9), "int8", [5, 4])
        assert packed.scales.tolist() == [1, 2]
        assert packed.values.tolist() == [127, -64, 0, 2, 2, -127, 0, 2, 0]
        assert unpack(packed, [5, 4]).tolist() == [127, -64, 0, 2, 2, -254, 0, 4, 0]

    def test_what_is_a_tie_in_float32_alone_goes_to_the_nearer_neighbour(self):
        # In units of the scale, float32's 1/127, these are 17.4999993 and 18.5000007.
        packed = pack(vector(1, 0.13779527, 0.14566930), "int8", [3])
        assert packed.values.tolist() == [127, 17, 19]

    @given(blocked())
    @settings(max_examples=60, deadline=None)
    def test_the_values_are_those_of_exact_fractions(self, drawn):
        [delta], blocks = drawn
        packed = pack(delta, "int8", blocks)
        for v, scale, got in zip(cut(delta, blocks), packed.scales, cut(packed.values, blocks), strict=True):
            largest = float(np.abs(v).max())
            assert scale == max(struct.unpack("<f", struct.pack("<f", largest / 127))[0], 2.0**-126)
            assert got.tolist() == [round(Fraction(float(x)) / Fraction(float(scale))) for x in v]
            if largest > 1e-36:
                assert np.abs(got.astype(int)).max() == 127


class TestFeedback:
    def test_what_is_too_small_for_a_round_arrives_in_a_later_one(self):
        # The scale is 1 and 0.375 rounds to 0; 8 * 0.375 = 3 arrives all the same, and nothing is left over.
        residual, sent, kept = vector(0, 0), [], []
        for _ in range(8):
            packed, residual = pack_with_feedback(vector(127, 0.375), residual, "int8", [2])
            sent.append(int(packed.values[1]))
            kept.append(float(residual[1]))
        assert sent == [0, 1, 0, 0, 1, 0, 1, 0]
        assert kept == [0.375, -0.25, 0.125, 0.5, -0.125, 0.25, -0.375, 0]

    @pytest.mark.parametrize("format", FORMATS)
    @given(blocked(count=2, limit=2.0**125))
    @settings(max_examples=60, deadline=None)
    def test_what_arrives_and_what_is_kept_are_all_there_was(self, format, drawn):
        [delta, residual], blocks = drawn
        packed, kept = pack_with_feedback(delta, residual, format, blocks)
        whole = delta + residual
        # Float32 values as float64: the sum is exact, since it is a float32 value itself.
        assert (unpack(packed, blocks).astype(np.float64) + kept == whole).all()
        assert kept.dtype == np.float32
        assert packed.values.tobytes() == pack(whole, format, blocks).values.tobytes()
        if format == "float32":
            assert (kept == 0).all()

    @pytest.mark.parametrize("format", FORMATS)
    @given(blocked(count=6, limit=1.0))
    @settings(max_examples=60, deadline=None)
    def test_the_sum_of_all_rounds_is_that_of_the_deltas(self, format, drawn):
        deltas, blocks = drawn
        residual, arrived = np.zeros(sum(blocks), np.float32), np.zeros(sum(blocks))
        for delta in deltas:
            packed, residual = pack_with_feedback(delta, residual, format, blocks)
            arrived += unpack(packed, blocks)
        # All that is lost is float32's rounding of `delta + residual`, below 2 in size, once a round.
        assert arrived + residual == pytest.approx(np.sum(deltas, axis=0, dtype=np.float64), abs=6 * 2**-24)


def exact(v, scale):
    """Float32 loses nothing."""
    return 0 * v


def half(v, scale):
    """A float16 has 11 bits, and beside the largest of its block the smallest ones lie on a grid."""
    return np.maximum(2**-11 * v, 2**-39 * v.max())


def step(v, scale):
    """An int8 is at most half a scale away, and float32 rounds what it is multiplied to."""
    return float(scale) / 2 + 2**-24 * (v + float(scale))


class TestEveryFormat:
    @pytest.mark.parametrize(("format", "bound"), [("float32", exact), ("float16", half), ("int8", step)])
    @given(blocked())
    @settings(max_examples=60, deadline=None)
    def test_the_error_is_bounded(self, format, bound, drawn):
        [delta], blocks = drawn
        packed = pack(delta, format, blocks)
        error = np.abs(unpack(packed, blocks) - delta.astype(np.float64))
        scales = packed.scales if format != "float32" else np.ones(len(blocks))
        for e, v, scale in zip(cut(error, blocks), cut(np.abs(delta), blocks), scales, strict=True):
            assert (e <= bound(v.astype(np.float64), scale)).all()

    @pytest.mark.parametrize(
        ("format", "values", "body", "scales"),
        [
            ("float32", (1, -0.5), "0000803f 000000bf", ""),
            # 16384 = 2^14 has the exponent 14 + 15 = 0b11101, and the scale 2^-14 has -14 + 127 = 0x71.
            ("float16", (1, -0.5), "0074 00f0", "00008038"),
            ("int8", (127, -64), "7fc0", "0000803f"),
        ],
    )
    def test_the_bytes_are_little_endian(self, format, values, body, scales):
        packed = pack(vector(*values), format, [2])
        assert packed.values.tobytes() == bytes.fromhex(body)
        assert packed.scales.tobytes() == bytes.fromhex(scales)

    @pytest.mark.parametrize(("format", "size"), [("float32", 186_548), ("float16", 93_306), ("int8", 46_669)])
    def test_bytes_of_the_papers_network(self, format, size):
        # 46,637 parameters of 4, 2 and 1 bytes, and 8 scales of 4 bytes where there are scales.
        delta = np.linspace(-1e-5, 1e-5, 46_637, dtype=np.float32)
        packed = pack(delta, format, PAPER)
        assert packed.nbytes == len(packed.values.tobytes()) + len(packed.scales.tobytes()) == size
        assert (pack_weights(delta, PAPER).values.tobytes() == packed.values.tobytes()) is (format == "float16")

    @pytest.mark.parametrize("format", FORMATS)
    def test_what_is_packed_is_a_copy_and_nothing_is_written_to(self, format):
        delta, residual = vector(1, 2), vector(0, 0.001)
        for array in (delta, residual):
            array.flags.writeable = False
        pack_with_feedback(delta, residual, format, [2])
        delta.flags.writeable = True
        packed = pack(delta, format, [2])
        before, unpacked = packed.values.tolist(), unpack(packed, [2])
        delta[0] = unpacked[1] = 7
        assert packed.values.tolist() == before

    @pytest.mark.parametrize("format", FORMATS)
    def test_no_change_stays_none(self, format):
        packed, residual = pack_with_feedback(vector(0, 0, 0), vector(0, 0, 0), format, [1, 2])
        assert (packed.scales > 0).all()
        assert unpack(packed, [1, 2]).tolist() == residual.tolist() == [0, 0, 0]

    @pytest.mark.parametrize("format", FORMATS)
    def test_neither_memory_layout_nor_the_company_of_blocks_changes_a_byte(self, format):
        delta = np.sin(np.arange(60, dtype=np.float32)) * np.float32(1e-5)
        packed = pack(delta, format, [20, 40])
        spread = np.repeat(delta, 2)[::2]
        assert not spread.flags.c_contiguous
        assert pack(spread, format, [20, 40]).values.tobytes() == packed.values.tobytes()
        assert pack(delta[20:], format, [40]).values.tobytes() == packed.values[20:].tobytes()
        assert pack(delta[20:], format, [40]).scales.tobytes() == packed.scales[1:].tobytes()

    @pytest.mark.parametrize("format", ["float16", "int8"])
    def test_half_the_delta_is_the_same_values_at_half_the_scale(self, format):
        delta = np.sin(np.arange(60, dtype=np.float32))
        one, half = pack(delta, format, [20, 40]), pack(delta / 2, format, [20, 40])
        assert half.values.tobytes() == one.values.tobytes()
        assert half.scales.tolist() == (one.scales / 2).tolist()

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("value", [LIMIT, 1e-45, -0.0])
    def test_the_ends_of_the_range_pass(self, format, value):
        got = unpack(pack(vector(value, -value), format, [2]), [2])
        assert got.tolist() == pytest.approx([value, -value], rel=2**-11, abs=1e-44)


class TestRefused:
    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize(
        ("value", "text"),
        [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (3e38, "3e"), (-1.01e38, "-1.01")],
    )
    def test_a_diverged_delta(self, format, value, text):
        with pytest.raises(ValueError, match=rf"index 1 of 3 is {text}.*diverged"):
            pack(vector(0, value, 0), format, [3])

    @pytest.mark.parametrize("format", FORMATS)
    def test_a_diverged_residual_or_sum(self, format):
        with pytest.raises(ValueError, match="index 0 of 2 is nan"):
            pack_with_feedback(vector(1, 1), vector(np.nan, 0), format, [2])
        with pytest.raises(ValueError, match=r"index 1 of 2 is 1\.8e"):
            pack_with_feedback(vector(1, 9e37), vector(1, 9e37), format, [2])

    @pytest.mark.parametrize(
        "wrong", [vector(1, 2, 3), vector(1), vector(1, 2)[None], np.zeros(2), np.zeros(2, np.int32)]
    )
    def test_what_is_no_vector_of_these_blocks(self, wrong):
        with pytest.raises(ValueError, match="2 float32 values; to be packed is a vector of shape"):
            pack(wrong, "int8", [1, 1])
        # A residual of one value would otherwise be added to all.
        with pytest.raises(ValueError, match="2 float32 values; to be packed is a vector of shape"):
            pack_with_feedback(vector(1, 2), wrong, "int8", [1, 1])

    @pytest.mark.parametrize("blocks", [[], [0, 2], [3, -1]])
    def test_blocks_of_nothing(self, blocks):
        with pytest.raises(ValueError, match="at least one value"):
            pack(vector(1, 2), "int8", blocks)
        with pytest.raises(ValueError, match="at least one value"):
            unpack(pack(vector(1, 2), "int8", [2]), blocks)

    def test_an_unknown_format(self):
        with pytest.raises(ValueError, match="'int4', not one of float32, float16, int8"):
            pack(vector(1), "int4", [1])
        with pytest.raises(ValueError, match="'int4', not one of float32, float16, int8"):
            unpack(Packed("int4", vector(1), vector(1)), [1])


class TestDamaged:
    GOOD = pack(vector(1, 2, 4), "int8", [1, 2])
    HALF, WHOLE = pack(vector(1, 2, 4), "float16", [1, 2]), pack(vector(1, 2, 4), "float32", [1, 2])

    @pytest.mark.parametrize(
        ("damage", "text"),
        [
            ({"format": "float16"}, r"values .* dtype int8; expected are \(3,\) and float16"),
            ({"format": "float32"}, r"values .* dtype int8; expected are \(3,\) and float32"),
            ({"values": GOOD.values[:2]}, r"values .* shape \(2,\) .* expected are \(3,\) and int8"),
            ({"values": GOOD.values[None]}, r"values .* shape \(1, 3\)"),
            ({"values": GOOD.values.astype(np.uint8)}, r"values .* dtype uint8"),
            ({"values": np.array([127, -128, 0], np.int8)}, "-128"),
            ({"scales": GOOD.scales[:1]}, r"scales .* shape \(1,\) .* expected are \(2,\) and float32"),
            ({"scales": GOOD.scales[:0]}, r"scales .* shape \(0,\)"),
            ({"scales": GOOD.scales.astype(np.float64)}, r"scales .* dtype float64"),
            ({"scales": GOOD.scales.astype(">f4")}, r"scales .* dtype >f4"),
            ({"scales": vector(1, np.nan)}, "scale that is not a positive, finite number"),
            ({"scales": vector(np.inf, 1)}, "scale that is not a positive, finite number"),
            ({"scales": vector(1, 0)}, "scale that is not a positive, finite number"),
            ({"scales": vector(-1, 1)}, "scale that is not a positive, finite number"),
            ({"scales": vector(3e38, 1)}, "leaves the range of float32"),
            (vars(HALF) | {"values": np.array([1, np.nan, 2], np.float16)}, "float16 value that is not finite"),
            (vars(HALF) | {"values": np.array([1, 2, np.inf], np.float16)}, "float16 value that is not finite"),
            (vars(WHOLE) | {"values": vector(np.nan, 1, 2)}, "float32 value that is not finite"),
            (vars(WHOLE) | {"values": vector(1, -np.inf, 2)}, "float32 value that is not finite"),
            (vars(WHOLE) | {"scales": vector(1)}, r"scales .* expected are \(0,\)"),
        ],
    )
    def test_a_damaged_one_says_what_is_wrong(self, damage, text):
        with pytest.raises(ValueError, match=text):
            unpack(replace(self.GOOD, **damage), [1, 2])

    @given(blocked(), st.sampled_from(FORMATS), st.data())
    @settings(max_examples=60, deadline=None)
    def test_flipped_bits_are_refused_or_give_finite_values(self, drawn, format, data):
        [delta], blocks = drawn
        packed = pack(delta, format, blocks)
        body = bytearray(packed.values.tobytes() + packed.scales.tobytes())
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
        damaged = Packed(
            format,
            np.frombuffer(bytes(body[: packed.values.nbytes]), packed.values.dtype),
            np.frombuffer(bytes(body[packed.values.nbytes :]), packed.scales.dtype),
        )
        try:
            assert np.isfinite(unpack(damaged, blocks)).all()
        except ValueError as error:
            assert str(error).startswith("A packed vector has ")
