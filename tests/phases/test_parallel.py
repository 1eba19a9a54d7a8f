"""A round of the parallel phase (Algorithm 3) with numbers worked out by hand, and the device's step."""

import json

import numpy as np
import pytest
from fake_engine import FakeEngine, client_of, recipe_of, server_of, update
from two_classes import losses

from fedmetaalign.aggregation import Aggregate, stacked
from fedmetaalign.aggregation.fltrust import fltrust
from fedmetaalign.aggregation.mean import mean
from fedmetaalign.aggregation.similarity import similarity
from fedmetaalign.federation.engine import Replies
from fedmetaalign.federation.messages import Train
from fedmetaalign.federation.records import RoundError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Part
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.online import Samples, ignore_steps
from fedmetaalign.phases.parallel import fl_round, local_update, root_delta, root_size
from fedmetaalign.phases.server import Server, State, cohort
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import parse

NAMES = ("a", "b", "c")
KEYS = (
    "phase",
    "round",
    "device",
    "support_loss",
    "query_loss",
    "score",
    "alignment",
    "weight",
    "delta_norm",
    "accuracy",
)


def one_round(updates, rule=similarity, names=NAMES, number=1, seed=0, weights=(10, 20), **settings):
    engine = FakeEngine(names, updates)
    stepped, records = round_of(engine, weights, number, rule, seed, **settings)
    return engine, stepped, records


def round_of(engine, weights, number, rule, seed=0, **settings):
    start = np.array(weights, np.float32)
    state, records = fl_round(server_of(engine, seed, parallel=settings), State(start), number, stacked(rule))
    assert start.tolist() == list(weights)  # the global weights handed in are not written to
    return state.weights, records


class TestRound:
    # Deltas (4,3), (4,-3), (-2,0) with scores 1, 1/2, 1/2: alignments 4/5, 4/5, -1, raised to 0.1 by the
    # floor; 0.8, 0.4 and 0.05 of 1.25 are 0.64, 0.32 and 0.04; the step is (3.76, 0.96).
    UPDATES = {  # noqa: RUF012
        "a": update(4, 3, query_score=1.0),
        "b": update(4, -3, query_score=0.5),
        "c": update(-2, 0, query_score=0.5),
    }

    def test_the_new_weights_are_the_old_ones_plus_the_weighted_deltas(self):
        _, stepped, _ = one_round(self.UPDATES)
        assert stepped.dtype == np.float32
        np.testing.assert_allclose(stepped, [13.76, 20.96], rtol=1e-7)

    def test_the_server_learning_rate_scales_the_step(self):
        _, stepped, _ = one_round(self.UPDATES, server_learning_rate=0.5)
        np.testing.assert_allclose(stepped, [11.88, 20.48], rtol=1e-7)

    def test_another_rule_is_followed(self):
        updates = {"a": update(4, 0, samples=30), "b": update(0, 4, samples=10), "c": update(0, 0, samples=40)}
        _, stepped, records = one_round(updates, rule=mean)
        assert stepped.tolist() == [11.5, 20.5]  # 30/80 of 4 and 10/80 of 4
        assert [r["alignment"] for r in records] == [None] * 3

    def test_the_round_goes_on_with_those_that_answer(self):
        engine = FakeEngine(NAMES, self.UPDATES, deaf=("b",))
        stepped, records = round_of(engine, (10, 20), 7, mean, minimum_devices=2)
        others = FakeEngine(("a", "c"), self.UPDATES)
        assert stepped.tolist() == round_of(others, (10, 20), 7, mean)[0].tolist()
        assert records[-1] == {"phase": 2, "round": 7, "device": "b", "absent": "it is deaf"}
        sentence = (
            r"In parallel round 7 2 of 3 devices gave a sound answer, and parallel.minimum_devices is 3"
            r" \(b: it is deaf\): see to them, then use --resume."
        )
        with pytest.raises(RoundError, match=sentence) as ended:
            round_of(engine, (10, 20), 7, mean, minimum_devices=3)
        assert ended.value.records == [records[-1]]

    def test_all_devices_are_asked_once_with_the_global_weights(self):
        engine, _, _ = one_round(self.UPDATES, number=7)
        assert engine.trained == [(NAMES, 7, [10, 20])]

    def test_records_hold_what_the_contract_names(self):
        _, _, records = one_round(self.UPDATES, number=7)
        assert [r["device"] for r in records] == ["a", "b", "c"]
        for r in records:
            assert set(KEYS) <= set(r)
            assert (r["phase"], r["round"], r["accuracy"], r["support_loss"]) == (2, 7, 0.9, 0.6)
        assert [r["weight"] for r in records] == pytest.approx([0.64, 0.32, 0.04])
        assert [r["alignment"] for r in records] == pytest.approx([0.8, 0.8, -1])
        assert [r["score"] for r in records] == [1.0, 0.5, 0.5]
        assert [r["query_loss"] for r in records] == [0, 1, 1]
        assert [r["delta_norm"] for r in records] == [5, 5, 2]
        json.dumps(records)  # plain numbers, fit for rounds.jsonl

    def test_the_order_of_the_answers_changes_no_bit(self):
        class Backwards(FakeEngine):
            def exchange(self, names, request, patience=0.0):
                replies = super().exchange(names, request, patience)
                return Replies(dict(reversed(replies.answers.items())), replies.failed)

        random = np.random.default_rng(0)
        updates = {name: update(*random.normal(size=50), query_score=random.uniform()) for name in NAMES}
        start = [0.0] * 50
        one, records = round_of(FakeEngine(NAMES, updates), start, 1, similarity)
        other, same = round_of(Backwards(NAMES, updates), start, 1, similarity)
        assert one.tobytes() == other.tobytes()
        assert records == same

    def test_devices_that_do_not_answer_are_left_out(self):
        # Without c the mean of a and b lies along (1, 0): 4/5 each, so scores 1 and 1/2 give 2/3 and 1/3.
        answered = {name: u for name, u in self.UPDATES.items() if name != "c"}
        _, stepped, records = one_round(answered)
        assert [r["device"] for r in records] == ["a", "b"]
        np.testing.assert_allclose(stepped, [14, 21], rtol=1e-7)

    def test_the_rule_knows_who_sent_what_after_how_many_steps(self):
        told = []

        def curious(sent):
            told.append(sent)
            return Aggregate(sent.deltas[0].astype(np.float64), np.array([1.0, 0, 0]))

        sent = (("c", 5), ("a", 3), ("b", 4))
        updates = {name: update(1, 2, samples=samples, steps=2 * samples) for name, samples in sent}
        one_round(updates, rule=curious)
        assert told[0].names == NAMES
        assert told[0].samples.tolist() == [3, 4, 5]
        assert told[0].steps.tolist() == [6, 8, 10]
        assert told[0].root is None

    def test_what_a_rule_remembers_comes_back_to_it(self):
        def counting(sent):
            count = sent.memory.get("rounds", np.zeros(1)) + 1
            return Aggregate(count * sent.deltas[0], np.array([1.0, 0, 0]), memory={"rounds": count})

        server = server_of(FakeEngine(NAMES, self.UPDATES))
        state = State(np.zeros(2, np.float32))
        for number in (1, 2, 3):
            state, _ = fl_round(server, state, number, stacked(counting))
        assert state.memory["rounds"].tolist() == [3]
        assert state.weights.tolist() == [4 * (1 + 2 + 3), 3 * (1 + 2 + 3)]

    def test_the_server_trains_the_same_weights_beside_the_devices(self, monkeypatch):
        # The root (0, 2): cosines 3/5, -3/5 and 0, so that only a is trusted, at the root's length.
        asked = []

        def root(server, weights, number, updates):
            asked.append((weights.tolist(), number, [each.samples for each in updates.values()]))
            return np.array([0, 2], np.float32)

        monkeypatch.setattr("fedmetaalign.phases.parallel.root_delta", root)

        deltas = {"a": (4, 3), "b": (4, -3), "c": (-2, 0)}
        updates = {name: update(*deltas[name], samples=n) for name, n in (("a", 10), ("b", 11), ("c", 15))}
        server = server_of(
            FakeEngine(NAMES, updates), parallel={"aggregation": "fltrust"}, foundation={"simulator": "milling"}
        )
        state, records = fl_round(server, State(np.array([10, 20], np.float32)), 7, stacked(fltrust))
        stepped = state.weights
        assert asked == [([10, 20], 7, [10, 11, 15])]
        np.testing.assert_allclose(stepped, [11.6, 21.2], rtol=1e-7)
        assert [r["weight"] for r in records] == [1, 0, 0]
        assert [r["alignment"] for r in records] == pytest.approx([0.6, -0.6, 0])


class TestRoot:
    network = Network(9, (8, 6))

    @pytest.fixture
    def step(self):
        """The public samples, and the server's own delta beside devices that have so many samples each."""
        sources = (("fleet", "feeder"), ("foundation", "milling"))
        recipe = {section: {"simulator": simulator, "count": 1} for section, simulator in sources}
        public = build(parse(recipe, "here")).public
        weights = initialize(self.network, np.random.default_rng(0))

        def root(number, *samples, public=public, on_steps=ignore_steps):
            learner = NetworkLearner(self.network, 1e-3, 0, on_steps=on_steps)
            server = Server(recipe_of(parallel={"epochs": 2}), FakeEngine(), learner, public)
            updates = {str(i): update(0, samples=each) for i, each in enumerate(samples)}
            return root_delta(server, weights, number, updates)

        return public, root

    @pytest.mark.parametrize(("samples", "size"), [([7], 7), ([10, 11], 10), ([10, 12], 11), ([1, 1, 100], 34)])
    def test_it_trains_on_as_many_samples_as_the_mean_device(self, step, samples, size):
        assert root_size(samples) == size
        _, root = step
        told = []
        root(1, *samples, on_steps=told.append)
        assert sum(told) == 2 * size

    def test_it_takes_a_step_on_every_sample_drawn_in_every_epoch(self, step):
        public, root = step
        for size, taken in ((20, 40), (10**6, 2 * len(public.support))):
            told = []
            root(1, size, on_steps=told.append)
            assert sum(told) == taken

    def test_it_repeats_bit_for_bit_and_rounds_draw_unlike_samples(self, step):
        _, root = step
        assert root(1, 20).tobytes() == root(1, 20).tobytes()
        assert root(1, 20).tobytes() != root(2, 20).tobytes()

    def test_its_delta_is_as_long_as_adams_steps_make_it(self, step):
        _, root = step
        delta = root(1, 20)
        assert delta.dtype == np.float32
        assert 1e-3 < np.abs(delta).max() < 40e-3

    def test_samples_that_were_not_drawn_are_of_no_matter(self, step):
        public, root = step
        support = public.support
        drawn = generator(0, "stream", "root", 1).permutation(len(support))[:20]
        spoilt = Samples(np.full_like(support.x, 99.0), 1 - support.y)
        for mine, theirs in zip(spoilt, support, strict=True):
            mine[drawn] = theirs[drawn]
        assert root(1, 20, public=Part(spoilt, public.query)).tobytes() == root(1, 20).tobytes()

    def test_without_public_samples_there_is_none(self, step):
        _, root = step
        with pytest.raises(ValueError, match="there are no public samples"):
            root(1, 20, public=None)


class TestCohort:
    @pytest.mark.parametrize(
        ("devices", "share", "size"), [(10, 1.0, 10), (10, 0.3, 3), (3, 0.1, 1), (1, 0.01, 1), (7, 0.99, 7)]
    )
    def test_its_size_is_the_share_and_at_least_one(self, devices, share, size):
        names = tuple(f"device-{i:02d}" for i in range(devices))
        drawn = cohort(names, 1, share, 0)
        assert len(drawn) == size
        assert list(drawn) == sorted(set(drawn))
        assert set(drawn) <= set(names)

    def test_it_depends_on_seed_and_round(self):
        names = tuple("abcdefghij")
        assert cohort(names, 1, 0.5, 0) == cohort(names, 1, 0.5, 0)
        assert len({cohort(names, number, 0.5, 0) for number in range(1, 11)}) > 5
        assert len({cohort(names, 1, 0.5, seed) for seed in range(10)}) > 5

    def test_over_many_rounds_every_device_takes_part_alike(self):
        names = tuple("abcdefghij")
        drawn = [name for number in range(1, 1001) for name in cohort(names, number, 0.3, 0)]
        counts = [drawn.count(name) for name in names]
        assert sum(counts) == 3000
        assert max(abs(count - 300) for count in counts) < 5 * (1000 * 0.3 * 0.7) ** 0.5

    def test_only_the_cohort_is_asked(self):
        names = tuple("abcdefghij")
        updates = {name: update(1, 1) for name in names}
        engine, _, records = one_round(updates, names=names, number=2, cohort=0.3)
        asked = engine.trained[0][0]
        assert asked == cohort(names, 2, 0.3, 0)
        assert [r["device"] for r in records] == list(asked)


class TestLocalUpdate:
    network = Network(9, (8, 6))

    @pytest.fixture
    def device(self):
        return build(parse({"fleet": {"simulator": "feeder", "count": 1, "samples": 100}}, "here")).devices[0]

    @pytest.fixture
    def step(self, device):
        weights = initialize(self.network, np.random.default_rng(0))
        client = client_of(device, optimizer={"learning_rate": 1e-3}, parallel={"epochs": 2})
        return weights, lambda weights, number: local_update(client, Train(weights, number, 1))

    def test_the_delta_leads_to_weights_whose_query_loss_gives_the_score(self, device, step):
        weights, update_of = step
        sent = update_of(weights, 1)
        query = device.parts["parallel"].query
        loss = losses(self.network, weights + sent.delta, query.x, query.y).mean()
        # weights + delta rounds once more in float32
        assert sent.query_loss == pytest.approx(loss, rel=1e-5)
        assert sent.query_score == pytest.approx(1 / (1 + loss), rel=1e-5)
        assert sent.steps == 2 * 32
        assert sent.samples == len(device.parts["parallel"].support) == 32
        assert sent.delta.dtype == np.float32
        # Two epochs of 32 steps of about the learning rate each.
        assert 1e-3 < np.abs(sent.delta).max() < 64e-3

    def test_a_round_repeats_bit_for_bit_so_no_moment_is_carried_over(self, step):
        weights, update_of = step
        first = update_of(weights, 1)
        update_of(weights, 2)
        again = update_of(weights, 1)
        assert first.delta.tobytes() == again.delta.tobytes()
        assert first.query_score == again.query_score

    def test_rounds_and_devices_take_their_samples_in_unlike_orders(self, step):
        weights, update_of = step
        assert update_of(weights, 1).delta.tobytes() != update_of(weights, 2).delta.tobytes()

    def test_the_global_weights_are_not_written_to(self, step):
        weights, update_of = step
        before = weights.tobytes()
        update_of(weights, 1)
        assert weights.tobytes() == before
