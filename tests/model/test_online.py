"""The training stream against Adam written out in float64, against optax, and against its own promises."""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from adam_reference import (
    PAPER,
    PAPER_12,
    SMALL,
    SMALL_12,
    adam_in_float64,
    adam_of_optax,
    loss,
    samples,
    samples_for,
    start,
    visits,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.model.mlp import Network
from fedmetaalign.model.objective import Objective
from fedmetaalign.model.online import BLOCK, Samples, _reciprocal, train

# What float32 may cost over n steps. Storing a weight in [1/2, 1) rounds it by at most 2^-25, which is a
# deviation of 2^-24/sqrt(12); n independent roundings add up to sqrt(n) of it. Five standard deviations leave
# room for the greatest of tens of thousands of weights; what gradients lose, about 1e-6 of a way of at most
# n * learning rate, is small beside it as long as n * learning rate stays below 0.1.
PER_ROOT_STEP = 5 * 2.0**-24 / np.sqrt(12)


def run(network, data, *, epochs=1, learning_rate=1e-4, seed=5, weights=None, **more):
    weights = start(network) if weights is None else weights
    random = np.random.default_rng(seed)
    return train(network, weights, data, learning_rate=learning_rate, epochs=epochs, random=random, **more)


class TestArithmetic:
    @pytest.mark.parametrize("network", [PAPER, PAPER_12])
    def test_a_thousand_steps_of_the_papers_network_equal_adam_in_float64(self, network):
        data, orders = samples_for(network, 1000), visits(1000, 1, 5)
        expected, losses, _ = adam_in_float64(network, start(network), data, orders, 1e-5)
        trained = run(network, data, learning_rate=1e-5)
        tolerance = PER_ROOT_STEP * np.sqrt(1000)  # 2.7e-6; the weights travel a thousand times as far
        assert np.abs(expected - start(network)).max() > 1000 * tolerance
        assert np.abs(trained.weights - expected).max() < tolerance
        assert trained.loss == pytest.approx(losses[0], rel=1e-5)  # a float32 sum of a block of losses

    def test_that_tolerance_would_notice_the_epsilon_of_keras(self):
        data, orders = samples(1000), visits(1000, 1, 5)
        keras, *_ = adam_in_float64(PAPER, start(PAPER), data, orders, 1e-5, epsilon=1e-7)
        trained = run(PAPER, data, learning_rate=1e-5)
        assert np.abs(trained.weights - keras).max() > 5 * PER_ROOT_STEP * np.sqrt(1000)

    @pytest.mark.parametrize("rows", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 88])
    def test_block_boundaries_and_epochs_change_nothing(self, rows):
        data = samples(rows, seed=rows)
        expected, losses, _ = adam_in_float64(SMALL, start(SMALL), data, visits(rows, 2, 5), 1e-4)
        trained = run(SMALL, data, epochs=2)
        np.testing.assert_allclose(trained.weights, expected, rtol=0, atol=PER_ROOT_STEP * np.sqrt(2 * rows))
        np.testing.assert_allclose(trained.losses, losses, rtol=1e-5)

    @pytest.mark.parametrize("network", [SMALL, SMALL_12])
    def test_it_is_optax_adam(self, network):
        data, orders = samples_for(network, 300), visits(300, 2, 5)
        expected, losses = adam_of_optax(network, start(network), data, orders, 1e-4)
        trained = run(network, data, epochs=2)
        tolerance = 2 * PER_ROOT_STEP * np.sqrt(600)  # both round
        np.testing.assert_allclose(trained.weights, expected, rtol=0, atol=tolerance)
        np.testing.assert_allclose(trained.losses, losses, rtol=1e-5)

    def test_the_first_step_moves_every_weight_with_a_gradient_by_the_learning_rate(self):
        # With moments from zero, m / sqrt(v) is the gradient's sign, whatever the gradient's size.
        step = run(SMALL, samples(1), learning_rate=1e-3).weights - start(SMALL)
        moved = step[step != 0]
        assert moved.size > SMALL.parameters / 2
        np.testing.assert_allclose(np.abs(moved), 1e-3, rtol=2e-3)

    def test_the_moments_live_on_from_one_epoch_to_the_next(self):
        data, random = samples(40), np.random.default_rng(5)
        once = train(SMALL, start(SMALL), data, learning_rate=1e-3, epochs=1, random=random).weights
        restarted = train(SMALL, once, data, learning_rate=1e-3, epochs=1, random=random).weights
        assert np.abs(run(SMALL, data, epochs=2, learning_rate=1e-3).weights - restarted).max() > 1e-3

    def test_the_loss_is_met_before_the_step_not_after(self):
        data = samples(1)
        before = loss(SMALL.layers(start(SMALL)), data.x[0], data.y[0])
        trained = run(SMALL, data, epochs=3, learning_rate=0.05)
        assert trained.losses[0] == pytest.approx(before, rel=1e-6)
        assert trained.losses[2] < trained.losses[1] < trained.losses[0]
        assert trained.loss == trained.losses[2]

    @pytest.mark.parametrize(
        ("network", "bias", "label", "expected"),
        [
            (SMALL, -1, 1, 0.0),
            (SMALL, -1, 0, 1000.0),
            (SMALL_12, -11, 1, 0.0),  # the bias of class 1
            (SMALL_12, -11, 0, 1000.0),
            (SMALL_12, -11, 11, 1000.0),
        ],
    )
    def test_the_loss_of_a_logit_of_a_thousand_is_finite(self, network, bias, label, expected):
        weights = np.zeros(network.parameters, np.float32)
        weights[bias] = 1000
        data = Samples(np.zeros((1, 9), np.float32), np.array([label], np.float32))
        trained = run(network, data, weights=weights)
        assert trained.loss == expected
        assert np.isfinite(trained.weights).all()


W = np.random.default_rng(7).normal(0, 0.3, SMALL_12.parameters).astype(np.float32)


def all_at_once(w):
    return Objective(scale=0.3, offset=w, mu=0.7, linear=w, lookahead=0.05)


class TestObjectives:
    @pytest.mark.parametrize(
        ("network", "objective", "span"),
        [
            (SMALL_12, lambda w: Objective.proximal(w, 0.7), {}),
            (SMALL_12, lambda w: Objective.corrected(w), {"trainable": slice(-1)}),
            (SMALL_12, lambda w: Objective.mixed(0.3, w), {}),
            (SMALL_12, lambda w: Objective(lookahead=0.05), {"trainable": slice(1, None)}),
            (SMALL_12, all_at_once, {"trainable": slice(1, None)}),
            (SMALL, all_at_once, {}),
            (SMALL, all_at_once, {"trainable": slice(1, -1)}),
        ],
    )
    def test_each_equals_adam_in_float64(self, network, objective, span):
        data, o = samples_for(network, 60), objective(W[: network.parameters])
        expected, losses, gradient = adam_in_float64(
            network, start(network), data, visits(60, 2, 5), 1e-4, objective=o, **span
        )
        trained = run(network, data, epochs=2, objective=o, keep_gradient=True, **span)
        tolerance = PER_ROOT_STEP * np.sqrt(120)  # 9.4e-7; the weights travel a thousand times as far
        assert np.abs(expected - start(network)).max() > 1000 * tolerance
        np.testing.assert_allclose(trained.weights, expected, rtol=0, atol=tolerance)
        np.testing.assert_allclose(trained.losses, losses, rtol=1e-5)
        np.testing.assert_allclose(trained.gradient, gradient, rtol=0, atol=2e-6)


class TestLabels:
    def test_a_class_is_its_row_of_ones_and_zeros(self):
        data = samples_for(SMALL_12, 60)
        rows = Samples(data.x, np.eye(12, dtype=np.float32)[data.y.astype(int)])
        assert len(rows) == 60
        assert run(SMALL_12, rows).weights.tobytes() == run(SMALL_12, data).weights.tobytes()

    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 1000), st.booleans())
    def test_two_outputs_train_the_layers_below_as_one_does(self, seed, soft):
        # The logits (-z/2, z/2) have softmax (1 - sigmoid(z), sigmoid(z)), and the last layer keeps them.
        two = Network(9, (8, 6), 2)
        random = np.random.default_rng(seed)
        one_logit = start(SMALL, seed)
        body, last = one_logit[:-7], one_logit[-7:]
        two_logits = np.concatenate([body, np.stack([-last / 2, last / 2], axis=1).ravel()])
        x, y = samples(30, seed)
        if soft:
            y = random.uniform(size=30).astype(np.float32)
        expected = run(SMALL, Samples(x, y), weights=one_logit, trainable=slice(-1))
        found = run(two, Samples(x, np.stack([1 - y, y], axis=1)), weights=two_logits, trainable=slice(-1))
        assert np.abs(expected.weights[:-7] - body).max() > 1e-3
        np.testing.assert_allclose(found.weights[:-14], expected.weights[:-7], rtol=0, atol=2e-6)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)

    def test_the_ensembles_probabilities_are_where_training_on_them_ends(self):
        # One input that is always 1 and no hidden layer: the cross-entropy is least where softmax(z) = y.
        soft = np.array([0.1, 0.2, 0.7], np.float32)
        data = Samples(np.ones((2000, 1), np.float32), np.tile(soft, (2000, 1)))
        weights = run(Network(1, (), 3), data, learning_rate=1e-2, weights=np.zeros(6, np.float32)).weights
        z = weights.reshape(2, 3).sum(axis=0)
        np.testing.assert_allclose(np.exp(z) / np.exp(z).sum(), soft, atol=1e-4)

    @pytest.mark.parametrize("bad", [12, -1, 0.5, np.nan])
    def test_a_label_that_is_no_class_is_refused(self, bad):
        data = samples_for(SMALL_12, 5)
        data.y[3] = bad
        with pytest.raises(ValueError, match=f"knows the classes 0 to 11, and a label is {bad:g}"):
            run(SMALL_12, data)

    @pytest.mark.parametrize("network", [SMALL, SMALL_12])
    def test_rows_of_another_width_are_refused(self, network):
        data = Samples(samples(5).x, np.zeros((5, 3), np.float32))
        with pytest.raises(ValueError, match=rf"\(5, 3\) do not fit a network with {network.outputs} outputs"):
            run(network, data)


class TestWhatStays:
    @pytest.mark.parametrize(
        ("network", "first", "end"), [(SMALL, 1, 3), (SMALL, 2, 3), (SMALL_12, 1, 3), (SMALL_12, 1, 2)]
    )
    def test_frozen_layers_keep_their_bits_and_the_others_move(self, network, first, end):
        before, data = start(network), samples_for(network, 50)
        after = run(network, data, trainable=slice(first, end), learning_rate=1e-3).weights
        for k, (old, new) in enumerate(zip(network.layers(before), network.layers(after), strict=True)):
            if first <= k < end:
                assert (old != new).mean() > 0.5
            else:
                assert old.tobytes() == new.tobytes()

    def test_the_weights_of_an_input_that_is_always_zero_keep_their_bits(self):
        before = SMALL.layers(start(SMALL))[0]
        after = SMALL.layers(run(SMALL, samples(100, features=6), epochs=2, learning_rate=1e-2).weights)[0]
        assert before[6:9].tobytes() == after[6:9].tobytes()
        assert (before[:6] != after[:6]).mean() > 0.5
        assert (before[9] != after[9]).any()  # the biases, which are the last row, are trained

    def test_the_arguments_are_not_written_to(self):
        data, weights = samples(300), start(SMALL)
        copies = data.x.copy(), data.y.copy(), weights.copy()
        run(SMALL, data, weights=weights)
        for array, copy in zip((data.x, data.y, weights), copies, strict=True):
            assert array.tobytes() == copy.tobytes()

    def test_the_result_is_an_array_of_its_own(self):
        first = run(SMALL, samples(10))
        kept = first.weights.copy()
        run(SMALL, samples(10, seed=1))
        assert first.weights.tobytes() == kept.tobytes()
        assert first.weights.dtype == np.float32
        assert first.weights.shape == (SMALL.parameters,)


class TestRunning:
    def test_the_order_is_all_that_the_generator_decides(self):
        data = samples(60)
        again, other = run(SMALL, data, seed=5), run(SMALL, data, seed=6)
        assert run(SMALL, data, seed=5).weights.tobytes() == again.weights.tobytes()
        assert again.weights.tobytes() != other.weights.tobytes()

    def test_every_epoch_has_a_fresh_order(self):
        # Two samples, forty epochs: with one fixed order the losses of the epochs would be those of a
        # reference that repeats it; the first order that is drawn occurs about half of the time.
        orders = visits(2, 40, 5)
        assert len({tuple(order) for order in orders}) == 2
        expected, *_ = adam_in_float64(SMALL, start(SMALL), samples(2), orders, 1e-3)
        repeated, *_ = adam_in_float64(SMALL, start(SMALL), samples(2), orders[:1] * 40, 1e-3)
        trained = run(SMALL, samples(2), epochs=40, learning_rate=1e-3).weights
        assert np.abs(trained - expected).max() < np.abs(trained - repeated).max() / 10

    def test_threads_at_once_give_the_bits_of_one_after_another(self):
        jobs = [samples(rows, seed=rows) for rows in (600, 300, 257, 40)] * 2
        expected = [run(PAPER, data).weights.tobytes() for data in jobs]
        with ThreadPoolExecutor(4) as pool:
            together = [trained.weights.tobytes() for trained in pool.map(lambda d: run(PAPER, d), jobs)]
        assert together == expected

    def test_thirty_sizes_of_data_compile_once(self):
        fresh = Network(9, (3,))  # a network that no other test uses
        compiled = []

        def listen(event, seconds, **about):
            if event.endswith("backend_compile_duration") and "_train_block" in str(about.get("fun_name")):
                compiled.append(event)

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            for rows in range(1, 2 * BLOCK, 70):
                run(fresh, samples(rows), epochs=2)
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)
        assert len(compiled) == 1

    def test_progress_adds_up_to_rows_times_epochs(self):
        told = []
        run(SMALL, samples(2 * BLOCK + 88), epochs=3, on_steps=told.append)
        assert told == 3 * [BLOCK, BLOCK, 88]


class TestReciprocal:
    def test_it_is_division_to_two_units_in_the_last_place_wherever_adam_divides(self):
        # sqrt(v) + epsilon lies between 1e-8 and the largest gradients; 2 units of 2^-23.
        x = np.geomspace(1e-8, 1e6, 200_001, dtype=np.float32)
        ours = np.asarray(jax.jit(_reciprocal)(x), np.float64)
        assert np.abs(ours * x.astype(np.float64) - 1).max() < 2 * 2**-23
