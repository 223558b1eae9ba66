"""Each scheme: packing is exact, rounding is close, and degenerate weights are handled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.precision import SCHEMES
from core.precision.base import Codes
from core.precision.rounding import Levels, output_error, round_nearest, round_second_order
from core.precision.schemes.registry import scheme

RANGES = {8: (-127, 127), 4: (-8, 7), 3: (-4, 3), 2: (-2, 1)}
shapes = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)


@given(shape=shapes, bits=st.sampled_from(sorted(RANGES)), seed=st.integers(0, 99))
def test_unpack_gives_the_codes_that_were_packed(shape, bits, seed):
    low, high = RANGES[bits]
    codes = np.random.default_rng(seed).integers(low, high + 1, shape).astype(np.int8)
    packed = SCHEMES[bits].pack(codes)
    assert packed.dtype == np.uint8
    assert packed.size <= -(-codes.size // 8) * bits
    again = SCHEMES[bits].unpack(packed, shape)
    assert again.dtype == np.int8
    assert np.array_equal(again, codes)


@given(shape=shapes, seed=st.integers(0, 99))
def test_float16_is_packed_as_it_is(shape, seed):
    codes = np.random.default_rng(seed).normal(size=shape).astype(np.float16)
    assert np.array_equal(SCHEMES[16].unpack(SCHEMES[16].pack(codes), shape), codes)


def test_the_first_code_of_a_byte_lies_in_its_lowest_bits():
    assert SCHEMES[4].pack(np.array([1, -1])).tolist() == [0xF1]
    assert SCHEMES[2].pack(np.array([1, 0, 0, -2])).tolist() == [0b10000001]
    assert SCHEMES[3].pack(np.array([1, 2, -4])).tolist() == [0b001, 0b010, 0b100]


@given(
    rows=st.integers(1, 6), columns=st.integers(1, 12), bits=st.sampled_from(sorted(SCHEMES)), seed=st.integers(0, 9)
)
def test_rounding_stays_within_half_a_step_or_the_clipped_range(rows, columns, bits, seed):
    weight = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    restored = SCHEMES[bits].dequantize(SCHEMES[bits].quantize(weight, None))
    assert restored.dtype == np.float32
    largest = np.abs(weight).max(1, keepdims=True)
    step = {16: 2**-10, 8: 1 / 127, 4: 1 / 7, 3: 1 / 3, 2: 1 / 1.5}[bits]
    assert (np.abs(restored - weight) <= largest * (0.66 if bits < 8 else step / 2 + 1e-6)).all()


@given(columns=st.integers(1, 20), bits=st.sampled_from([2, 3, 4]), seed=st.integers(0, 99))
def test_second_order_is_never_worse_than_the_nearest_on_the_calibration_rows(columns, bits, seed):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(5, columns)).astype(np.float32)
    x = rng.normal(size=(30, columns)) @ rng.normal(size=(columns, columns))
    moments = x.T @ x / 30
    levels = Levels(*RANGES[bits], SCHEMES[bits].offset)
    error = [
        output_error(SCHEMES[bits].dequantize(codes).astype(np.float64) - weight, moments)
        for codes in (round_second_order(weight, moments[None], levels), round_nearest(weight, levels))
    ]
    assert (error[0] <= error[1] * (1 + 1e-5) + 1e-9).all()


def test_second_order_is_much_better_where_inputs_are_correlated(moments):
    weight, h = np.random.default_rng(1).normal(size=(16, 40)).astype(np.float32), moments(40)
    levels = Levels(-4, 3)
    codes = round_second_order(weight, h, levels), round_nearest(weight, levels)
    ours, nearest = (output_error(SCHEMES[3].dequantize(c).astype(np.float64) - weight, h[0]).sum() for c in codes)
    assert ours < 0.5 * nearest


@pytest.mark.parametrize("bits", sorted(SCHEMES))
@pytest.mark.parametrize("value", [0.0, 1e-44, 1e-20, 3.0, 6e4])
def test_rows_of_zeros_and_of_one_value_are_stored(bits, value, moments):
    weight = np.full((3, 9), value, np.float32)
    weight[1] = 0
    restored = SCHEMES[bits].dequantize(SCHEMES[bits].quantize(weight, moments(9)))
    assert np.isfinite(restored).all()
    assert np.array_equal(restored[1], np.zeros(9))
    assert np.abs(restored - weight).max() <= 0.15 * value + 1e-7


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_inputs_that_never_vary_or_are_always_zero_are_no_obstacle(bits):
    weight = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    for moments in (np.zeros((1, 6, 6)), np.ones((1, 6, 6)), np.diag([1.0, 0, 0, 0, 0, 0])[None]):
        restored = SCHEMES[bits].dequantize(SCHEMES[bits].quantize(weight, moments))
        assert np.isfinite(restored).all()


def test_each_group_of_rows_has_its_own_inputs(moments):
    weight = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    h = np.concatenate([moments(6, 0), moments(6, 1)])
    both = SCHEMES[3].quantize(weight, h)
    for group in (0, 1):
        alone = SCHEMES[3].quantize(weight[2 * group : 2 * group + 2], h[group : group + 1])
        assert np.array_equal(both.codes[2 * group : 2 * group + 2], alone.codes)


def test_refusals():
    with pytest.raises(UserError, match=r"^bits is 5; choose one of 16, 8, 4, 3, 2, or none for float32$"):
        scheme(5)
    with pytest.raises(UserError, match="bits is True"):
        scheme(True)
    with pytest.raises(UserError, match=r"^a weight is 7e\+04 large and float16 reaches 65,504; choose 8 bits$"):
        SCHEMES[16].quantize(np.full((2, 2), 7e4, np.float32), None)


def test_levels_at_two_bits_lie_around_zero():
    codes = Codes(codes=np.array([[-2, -1, 0, 1]], np.int8), scale=np.array([2], np.float32))
    assert SCHEMES[2].dequantize(codes).tolist() == [[-3, -1, 1, 3]]
