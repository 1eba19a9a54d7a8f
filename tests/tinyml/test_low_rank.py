"""Layers in low rank: what a component is worth, and what the limits of size make of it."""

import itertools

import numpy as np
import pytest

from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml.calibration import activations
from fedmetaalign.tinyml.compress import scores
from fedmetaalign.tinyml.low_rank import Spectrum, StorageCost, factorise, spectra
from fedmetaalign.tinyml.network import check_layers
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.runtimes import scores as run
from fedmetaalign.tinyml.tflite import write

CORNERS = np.float32([[1, 1], [1, -1], [-1, 1], [-1, -1]])


def difference(found, layers, x):
    return float(np.sqrt(np.mean((found - scores(layers, x)) ** 2)))


def linear(first, last):
    """Two layers without a ReLU and without biases."""
    first, last = np.float32(first), np.float32(last)
    return [Dense(w, np.zeros(w.shape[1], np.float32), relu=False) for w in (first, last)]


@pytest.fixture(scope="module")
def components(trained):
    """Of the first half of the paper's network."""
    layers, x, _ = trained
    return spectra(layers, 4, x[:1000])


class TestCost:
    def test_it_adds_up_weights_outputs_and_layers(self, network):
        layers = network(0, (9, 8, 4, 1))  # 72 + 32 + 4 weights, 13 outputs
        assert StorageCost(weight=0.5, output=20, layer=100).of(layers) == 54 + 260 + 300

    def test_the_heads_weights_have_four_bytes(self, network):
        layers = network(0, (9, 8, 4, 1))
        assert StorageCost(weight=1.0, head=2).of(layers) - StorageCost(weight=1.0).of(layers) == 3 * (32 + 4)

    @pytest.mark.parametrize(("bits", "weight"), [(8, 1.0), (4, 0.5)])
    def test_it_tells_how_files_differ(self, network, samples, bits, weight):
        x, cost = samples(50), StorageCost(weight)
        widths = [(9, 96, 64, 32, 1), (9, 96, 24, 64, 32, 1), (9, 64, 64, 64, 32, 1)]
        nets = [network(0, each) for each in widths]
        files = [len(write(quantize(net, x, bits=bits))) for net in nets]
        for i, j in itertools.pairwise(range(3)):
            assert files[i] - files[j] == pytest.approx(cost.of(nets[i]) - cost.of(nets[j]), abs=64)


class TestSpectra:
    def test_energies_worked_out_by_hand(self):
        # On the corners the outputs are (2 a, b) with covariance C = diag(4, 1); the logit's slopes are (1, 1),
        # so that M = [[1.3, 1], [1, 1.3]]. M C = [[5.2, 1], [4, 1.3]] has trace 6.5 and determinant 2.76.
        (spectrum,) = spectra(linear([[2, 0], [0, 1]], [[1], [1]]), 1, CORNERS)
        root = np.sqrt(6.5**2 / 4 - 2.76)
        np.testing.assert_allclose(spectrum.energies, [3.25 + root, 3.25 - root], rtol=1e-9)

    def test_slopes_count_through_relus_that_are_active(self):
        # The second unit is active on one corner of four only, and the first unit's slope is 3.
        layers = [
            Dense(np.eye(2, dtype=np.float32), np.float32([5, -0.5]), relu=True),
            Dense(np.float32([[3], [1]]), np.zeros(1, np.float32), relu=False),
        ]
        x = np.float32([[1, 1], [1, -1], [-1, -2], [-1, -3]])
        (spectrum,) = spectra(layers, 1, x)
        # G = [[9, 3/4], [3/4, 1/4]]; the trace of (G + 0.3 * 4.625 I) C with C the covariance of x.
        covariance = np.cov(x.T, bias=True)
        m = np.array([[9, 0.75], [0.75, 0.25]]) + 0.3 * 4.625 * np.eye(2)
        assert spectrum.energies.sum() == pytest.approx(np.trace(m @ covariance), rel=1e-6)

    def test_all_components_together_are_the_layer(self, network, samples):
        layers = network(0, (9, 20, 12, 1))
        for spectrum, layer in zip(spectra(layers, 2, samples(300)), layers, strict=False):
            np.testing.assert_allclose(spectrum.down @ spectrum.up, layer.weights, atol=1e-6)
            assert (np.diff(spectrum.energies) <= 1e-12).all()

    def test_only_the_layers_asked_for_are_split(self, network, samples):
        layers = network(0, (9, 20, 12, 6, 1))
        found = spectra(layers, 2, samples(50))
        assert [spectrum.layer for spectrum in found] == layers[:2]

    def test_a_layer_behind_a_dead_one_stays_finite(self, samples):
        layers = [
            Dense(np.ones((9, 6), np.float32), np.full(6, -1000, np.float32), relu=True),
            Dense(np.ones((6, 5), np.float32), np.zeros(5, np.float32), relu=True),
            Dense(np.ones((5, 1), np.float32), np.zeros(1, np.float32), relu=False),
        ]
        found = spectra(layers, 2, samples(50))
        for rank in range(1, 5):
            check_layers([layers[0], *found[1].factors(rank), layers[2]])
            check_layers([*found[0].factors(rank), *layers[1:]])


class TestFactors:
    def test_a_layer_of_low_rank_is_its_factors(self, samples):
        rng = np.random.default_rng(0)
        thin = (rng.normal(size=(9, 3)) @ rng.normal(size=(3, 20))).astype(np.float32)
        layers = [
            Dense(thin, rng.normal(size=20).astype(np.float32), relu=True),
            Dense(rng.normal(size=(20, 1)).astype(np.float32), np.zeros(1, np.float32), relu=False),
        ]
        (spectrum,) = spectra(layers, 1, samples(200))
        first, second = spectrum.factors(3)
        assert (first.weights.shape, second.weights.shape) == ((9, 3), (3, 20))
        assert (first.relu, second.relu) == (False, True)
        unseen = samples(100, seed=7)
        assert difference(scores([first, second, layers[1]], unseen), layers, unseen) < 1e-5

    def test_what_is_left_out_is_what_the_energies_say(self, samples):
        """Where the logit is linear and only its variance counts, to first order in the flat part."""
        rng = np.random.default_rng(1)
        layers = linear(rng.normal(size=(9, 8)), rng.normal(size=(8, 1)))
        x = samples(4000)
        (spectrum,) = spectra(layers, 1, x)
        *_, logits = activations(layers, x.astype(np.float64))
        for rank in (1, 2, 4):
            made = [*spectrum.factors(rank), layers[1]]
            *_, found = activations(made, x.astype(np.float64))
            assert np.mean((found - logits) ** 2) <= spectrum.energies[rank:].sum()

    def test_what_passes_between_them_is_centred_and_spread(self, trained, components):
        layers, x, _ = trained
        spectrum = components[1]
        first, second = spectrum.factors(16)
        inputs = list(activations(layers[:1], x[:1000].astype(np.float64)))[1]
        between = inputs @ first.weights + first.biases
        np.testing.assert_allclose(between.mean(axis=0), 0, atol=1e-4)
        deviations = between.std(axis=0)
        assert deviations.max() < 1.5 * deviations.mean()
        # Unspread, the first component alone would use most of the grid.
        plain = (inputs @ spectrum.down[:, :16]).std(axis=0)
        assert plain.max() > 2.5 * plain.mean()
        assert second.weights.shape == (16, 128)

    def test_the_library_s_choice_of_signs_does_not_reach_the_file(self, trained, monkeypatch):
        layers, x, _ = trained
        usual = spectra(layers, 1, x[:200])[0].factors(4)
        eigh = np.linalg.eigh

        def negated(matrix):
            values, vectors = eigh(matrix)
            return values, -vectors

        monkeypatch.setattr(np.linalg, "eigh", negated)
        other = spectra(layers, 1, x[:200])[0].factors(4)
        for one, two in zip(usual, other, strict=True):
            np.testing.assert_allclose(one.weights, two.weights, rtol=1e-4, atol=1e-6)

    def test_slopes_halve_what_the_outputs_alone_lose(self, trained, components):
        """Against the best factors for the layer's output, which know nothing of the logit."""
        layers, x, _ = trained
        ranks = {1: 8, 2: 6}
        aware, blind = list(layers), list(layers)
        values = list(activations(layers, x[:1000].astype(np.float64)))
        for number in sorted(ranks, reverse=True):
            layer, mean = layers[number], values[number].mean(axis=0)
            basis = np.linalg.svd((values[number] - mean) @ layer.weights, full_matrices=False)[2][
                : ranks[number]
            ]
            second = Dense(basis, layer.biases + mean @ layer.weights, relu=True)
            first = Dense(layer.weights @ basis.T, -(mean @ layer.weights @ basis.T), relu=False)
            blind[number : number + 1] = [first, second]
            aware[number : number + 1] = components[number].factors(ranks[number])
        unseen = x[2000:]
        assert difference(scores(aware, unseen), layers, unseen) < 0.5 * difference(
            scores(blind, unseen), layers, unseen
        )


class TestFactorise:
    COST = StorageCost(weight=1.0)

    def test_what_fits_stays_as_it_is(self, network, samples):
        layers = network(0, (9, 40, 30, 1))
        found = factorise(layers, spectra(layers, 2, samples(99)), self.COST, self.COST.of(layers))
        assert all(one is other for one, other in zip(found, layers, strict=True))

    def test_it_costs_at_most_so_much_and_loses_more_the_less_it_may(self, trained, components):
        layers, x, _ = trained
        lost = []
        for most in (40_000, 30_000, 20_000, 15_000, 12_000, 10_000):
            found = factorise(layers, components, self.COST, most)
            check_layers(found)
            assert self.COST.of(found) <= most
            assert all(one is other for one, other in zip(found[-4:], layers[-4:], strict=True))
            lost.append(difference(scores(found, x[2000:]), layers, x[2000:]))
        assert lost == sorted(lost)
        assert lost[0] < 0.005

    def test_no_other_ranks_lose_less_for_so_little(self, network, samples):
        """Against all that there are for two layers."""
        layers = network(0, (9, 24, 20, 1))
        components = spectra(layers, 2, samples(500))
        options = [spectrum.options(self.COST) for spectrum in components]
        rest = self.COST.of(layers[2:])
        for most in np.linspace(1200, self.COST.of(layers) - 1, 12):
            found = factorise(layers, components, self.COST, most)
            spent = self.COST.of(found)
            if spent > most:
                continue
            best = min(
                options[0].lost[i] + options[1].lost[j]
                for i in range(len(options[0].ranks))
                for j in range(len(options[1].ranks))
                if rest + options[0].costs[i] + options[1].costs[j] <= spent
            )
            assert _lost(found, components) == pytest.approx(best, rel=1e-9, abs=1e-12)

    def test_less_than_rank_one_costs_there_is_not(self, network, samples):
        layers = network(0, (9, 40, 30, 1))
        found = factorise(layers, spectra(layers, 2, samples(99)), self.COST, 1.0)
        assert [layer.weights.shape for layer in found] == [(9, 1), (1, 40), (40, 1), (1, 30), (30, 1)]


def _lost(found, components: list[Spectrum]) -> float:
    """The energies that a factorised network leaves out."""
    lost, rest = 0.0, list(found)
    for spectrum in components:
        layer = rest.pop(0)
        if layer is not spectrum.layer:
            lost += float(spectrum.energies[len(layer.biases) :].sum())
            rest.pop(0)
    return lost


def test_the_papers_network_in_the_papers_size(trained, components):
    """22.79 KB, where 8-bit weights alone take 45.5 KiB: as many samples right, in a third of the products."""
    layers, x, y = trained
    made = factorise(layers, components, StorageCost(weight=1.0), 22_790 - 1_000)
    model = write(quantize(made, x[:2000]))
    assert 20_000 < len(model) <= 22_790
    assert sum(layer.weights.size for layer in made) <= 17_500
    whole, small = run(write(quantize(layers, x[:2000])), x[2000:]), run(model, x[2000:])
    right = [np.mean((found > 0.5) == y[2000:]) for found in (whole, small)]
    assert right[1] >= right[0] - 0.005
    assert difference(small, layers, x[2000:]) < difference(whole, layers, x[2000:]) + 0.01
    assert (run(model, x[2000:], "tflm") == small).all()
    assert np.mean(run(model, x[2000:], "litert") == small) > 0.97
