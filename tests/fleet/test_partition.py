"""One table cut into devices with unlike mixtures: no row twice, enough of both classes, as unlike as asked."""

import numpy as np
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.division.partition import dirichlet
from fedmetaalign.fleet.schema import Table
from fedmetaalign.recipe import Partition

KINDS = ("normal", "A-G", "B-C", "A-B-C")


def table(rows=4000, kinds=True):
    """A table whose only feature is the row's number; two rows of five are normal, three are unlike faults."""
    row = np.arange(rows)
    kind = np.array(KINDS)[np.array([0, 0, 1, 2, 3])[row % 5]]
    y = (kind != "normal").astype(np.int8)
    return Table("feeder", ("row",), row[:, None].astype(float), y, ("",), kinds=kind if kinds else None)


def cut(partition, seed=0, source=None, test_share=0.2):
    return dirichlet(source or table(), partition, test_share, seed).devices


def rows_of(device):
    return device.x[:, 0].astype(int).tolist()


def mixtures(devices):
    return np.array([[np.mean(device.kinds == kind) for kind in KINDS] for device in devices])


@pytest.mark.parametrize("alpha", [0.05, 0.3, 10.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_device_has_its_samples_and_no_row_goes_to_two(alpha, seed):
    devices = cut(Partition(count=12, samples=100, alpha=alpha, minimum=7), seed)
    assert [device.name for device in devices] == [f"feeder-{i:02d}" for i in range(12)]
    assert [len(device) for device in devices] == [100] * 12
    rows = [row for device in devices for row in rows_of(device)]
    assert len(set(rows)) == 1200
    for device in devices:
        assert 7 <= device.y.sum() <= 93
        assert device.reserved is None
        assert (device.y == table().y[rows_of(device)]).all()
        assert (device.kinds == table().kinds[rows_of(device)]).all()


def test_small_alpha_makes_devices_differ_more():
    def spread(alpha):
        fleets = [cut(Partition(count=10, samples=100, alpha=alpha, minimum=1), seed) for seed in range(5)]
        return np.mean([mixtures(devices).var(axis=0).sum() for devices in fleets])

    # Four classes, Dir(4 alpha p): the variances p(1-p)/(4 alpha + 1) sum to 0.72/(4 alpha + 1), to which the
    # draw of 100 samples adds at most 0.0072.
    assert spread(100.0) < 0.02
    assert 0.05 < spread(1.0) < 0.2
    assert spread(0.1) > 0.25


def test_large_alpha_gives_every_device_the_tables_mixture():
    devices = cut(Partition(count=10, samples=200, alpha=1e6))
    # Five deviations of a share drawn from 200 samples.
    np.testing.assert_allclose(mixtures(devices), [[0.4, 0.2, 0.2, 0.2]] * 10, atol=5 * (0.24 / 200) ** 0.5)


def test_without_kinds_the_labels_are_the_classes():
    devices = cut(Partition(count=10, samples=100, alpha=0.3), source=table(kinds=False))
    shares = [device.y.mean() for device in devices]
    assert min(shares) >= 0.1
    assert max(shares) <= 0.9
    assert max(shares) - min(shares) > 0.3


def test_a_device_depends_on_the_seed_and_the_devices_before_it():
    five = cut(Partition(count=5, samples=50))
    three = cut(Partition(count=3, samples=50))
    other = cut(Partition(count=3, samples=50), seed=1)
    assert [rows_of(d) for d in three] == [rows_of(d) for d in five[:3]]
    assert rows_of(other[0]) != rows_of(three[0])


def test_a_table_can_be_cut_up_to_its_last_row():
    devices = cut(Partition(count=10, samples=40, alpha=0.3, minimum=1), source=table(400))
    assert sorted(row for device in devices for row in rows_of(device)) == list(range(400))


class TestCommonTest:
    @pytest.fixture
    def devices(self):
        return cut(Partition(count=10, samples=200, alpha=0.1, minimum=5, test="all"))

    def test_a_fifth_of_each_device_is_reserved(self, devices):
        assert [len(device) for device in devices] == [200] * 10
        assert [int(device.reserved.sum()) for device in devices] == [40] * 10

    def test_the_reserved_rows_hold_every_class_alike(self, devices):
        for device in devices:
            assert [(device.kinds[device.reserved] == kind).sum() for kind in KINDS] == [10] * 4

    def test_no_reserved_row_of_any_device_is_trained_on_by_any(self, devices):
        reserved = {row for d in devices for row in np.array(rows_of(d))[d.reserved]}
        trained = [row for d in devices for row in np.array(rows_of(d))[~d.reserved]]
        assert not reserved & set(trained)
        assert len(trained) == len(set(trained)) == 1600

    def test_within_a_device_no_row_occurs_twice(self, devices):
        assert all(len(set(rows_of(device))) == 200 for device in devices)

    def test_devices_test_on_draws_of_their_own(self, devices):
        assert len({tuple(np.array(rows_of(d))[d.reserved]) for d in devices}) == 10

    def test_a_class_too_rare_for_its_share_of_the_test_is_refused_or_still_alike(self):
        # 20 faults in 400 rows: the common pool holds 4 of them, and a balanced test of 12 asks for 6.
        y = (np.arange(400) % 20 == 0).astype(np.int8)
        source = Table("feeder", ("row",), np.arange(400.0)[:, None], y, ("",))
        try:
            devices = cut(Partition(count=3, samples=60, alpha=100, minimum=1, test="all"), source=source)
        except DataError:
            return
        for device in devices:
            assert device.y[device.reserved].mean() == pytest.approx(0.5, abs=0.05)


def test_a_class_that_holds_normal_and_faulty_samples_is_no_obstacle():
    # Two sites, every other sample of each a fault: any mixture gives a device about half of either.
    y = np.tile([0, 1], 200).astype(np.int8)
    kinds = np.repeat(["east", "west"], 200)
    source = Table("feeder", ("row",), np.arange(400.0)[:, None], y, ("",), kinds=kinds)
    for seed in range(4):
        for device in cut(Partition(count=3, samples=60, alpha=100, minimum=10), seed, source):
            assert 10 <= device.y.sum() <= 50


class TestGain:
    @pytest.fixture
    def source(self):
        x = np.random.default_rng(0).normal(5, 1, (4000, 3))
        whole = table()
        return Table("feeder", ("a", "b", "c"), x, whole.y, ("",) * 3, kinds=whole.kinds)

    @staticmethod
    def factors(source, gain, seed=0, **more):
        """Each device's factors, (devices, rows, features)."""
        plain = cut(Partition(count=20, samples=100, **more), seed, source)
        shifted = cut(Partition(count=20, samples=100, gain=gain, **more), seed, source)
        assert all((a.y == b.y).all() for a, b in zip(plain, shifted, strict=True))
        return np.array([b.x / a.x for a, b in zip(plain, shifted, strict=True)])

    @pytest.mark.parametrize("test", ["own", "all"])
    def test_a_device_has_a_factor_of_its_own_for_each_feature_in_training_and_test(self, source, test):
        factors = self.factors(source, 0.2, test=test)
        np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1], factors.shape), rtol=1e-12)
        assert len(np.unique(factors[:, 0].round(9))) == 60

    def test_they_are_spread_evenly_within_the_gain(self, source):
        factors = self.factors(source, 0.2)[:, 0]
        assert ((factors >= 0.8) & (factors <= 1.2)).all()
        # 60 draws from a uniform distribution of deviation 0.4 / sqrt(12) = 0.115
        assert factors.mean() == pytest.approx(1, abs=4 * 0.115 / 60**0.5)
        assert factors.std() == pytest.approx(0.115, abs=0.03)

    def test_no_gain_leaves_every_bit(self, source):
        for device in cut(Partition(count=3, samples=100), source=source):
            assert {row.tobytes() for row in device.x} <= {row.tobytes() for row in source.x}

    def test_the_seed_and_the_device_decide(self, source):
        assert (self.factors(source, 0.2) == self.factors(source, 0.2)).all()
        assert (self.factors(source, 0.2, 1)[:, 0] != self.factors(source, 0.2)[:, 0]).all()


class TestImpossible:
    @pytest.mark.parametrize(
        ("partition", "rows"),
        [
            (Partition(count=5, samples=81), 400),
            (Partition(count=1000, samples=100), 4000),
            (Partition(count=5, samples=81, test="all"), 400),
        ],
    )
    def test_more_rows_than_the_table_has(self, partition, rows):
        with pytest.raises(DataError, match=r"^feeder: \d+ devices of \d+ samples need \d+ rows") as caught:
            cut(partition, source=table(rows))
        assert "\n" not in str(caught.value)

    def test_more_of_both_classes_than_samples(self):
        with pytest.raises(DataError, match=r"feeder: a device of 11 samples .* 6 normal and 6 faulty ones"):
            cut(Partition(count=2, samples=11, minimum=6))

    def test_a_class_that_runs_out_before_the_last_device(self):
        # 20 faults for five devices that each need five.
        y = (np.arange(400) % 20 == 0).astype(np.int8)
        source = Table("feeder", ("row",), np.arange(400.0)[:, None], y, ("",))
        with pytest.raises(DataError) as caught:
            cut(Partition(count=5, samples=60, minimum=5), source=source)
        assert str(caught.value) == (
            "feeder: 5 devices with 5 faulty samples each need 25, and the table has 20 to give: lower"
            " partition.minimum to 4 or partition.count to 4."
        )


class TestNearest:
    """Where draws leave a device without enough of both, it takes what is nearest to them."""

    @staticmethod
    def scarce(rows=1000):
        """A fifth of the rows are faults, of seven kinds."""
        row = np.arange(rows)
        kind = np.where(row % 5 > 0, "normal", np.array([f"fault {i}" for i in range(7)])[row // 5 % 7])
        y = (kind != "normal").astype(np.int8)
        return Table("plant", ("row",), row[:, None].astype(float), y, ("",), kinds=kind)

    @pytest.mark.parametrize(
        ("count", "samples", "minimum"), [(10, 100, 20), (10, 100, 19), (20, 50, 10), (4, 250, 50)]
    )
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_every_device_has_enough_of_both_and_no_row_goes_to_two(self, count, samples, minimum, seed):
        partition = Partition(count=count, samples=samples, minimum=minimum, alpha=0.05)
        found = dirichlet(self.scarce(), partition, 0.2, seed)
        assert "plant has too few samples of some class for partition.alpha = 0.05: " in found.notice
        assert [len(device) for device in found.devices] == [samples] * count
        assert all(minimum <= device.y.sum() <= samples - minimum for device in found.devices)
        rows = [row for device in found.devices for row in rows_of(device)]
        assert len(set(rows)) == count * samples

    def test_as_little_is_moved_as_may_be(self):
        # 200 faults for ten devices that need 20 each: all have exactly these, whatever was drawn.
        found = dirichlet(self.scarce(), Partition(count=10, samples=100, minimum=20, alpha=0.05), 0.2, 0)
        assert [int(device.y.sum()) for device in found.devices] == [20] * 10
        kinds = [len(set(device.kinds[device.y == 1])) for device in found.devices]
        assert min(kinds) < 7  # and they are still of unlike kinds

    def test_what_draws_can_do_is_left_to_them(self):
        assert dirichlet(table(), Partition(count=10, samples=100, alpha=0.3), 0.2, 0).notice == ""
