"""From a recipe and files to a fleet: what each device may know, and what is refused."""

import hashlib
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.division.splits import split
from fedmetaalign.fleet.export import write_devices
from fedmetaalign.fleet.tables import Columns, read
from fedmetaalign.recipe import parse

PHASES = ("serial", "parallel", "personalize")


@pytest.fixture
def folder(tmp_path):
    """Writes tables of random samples, half of them faults: `folder("pump", features="ab", offset=3)`."""

    def write(name, features="abc", rows=120, offset=0.0, seed=0, x=None, y=None):
        if x is None:
            x = np.random.default_rng(seed).normal(offset, 2, (rows, len(features)))
        y = np.arange(len(x)) % 2 if y is None else y
        lines = [",".join([*features, "fault"])]
        lines += [",".join([*map(repr, row.tolist()), str(label)]) for row, label in zip(x, y, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
        return x

    write.path = tmp_path
    return write


def recipe(folder, devices, **sections):
    """The recipe of a fleet of tables: `{"pump": "abc"}` is pump.csv with features a, b and c."""
    scaling, unseen = sections.pop("scaling", "device"), sections.pop("unseen", {})
    sources = [
        {
            "name": name,
            "table": str(folder.path / f"{name}.csv"),
            "label": "fault",
            "features": list(features),
        }
        for name, features in devices.items()
    ]
    return parse({"fleet": {"devices": sources, "scaling": scaling, "unseen": unseen}, **sections}, "here")


def bits(samples):
    return samples.x.tobytes(), samples.y.tobytes()


def trained_on(fleet):
    return [
        (d.name, d.preparation, [(bits(p.support), bits(p.query)) for p in [d.own, *d.parts.values()]])
        for d in fleet.devices
    ]


class TestDevices:
    def test_they_are_sorted_and_whole(self, folder):
        folder("pump")
        folder("fan", seed=1)
        fleet = build(recipe(folder, {"pump": "abc", "fan": "abc"}))
        assert [device.name for device in fleet.devices] == ["fan", "pump"]
        for device in fleet.devices:
            assert set(device.parts) == set(PHASES)
            assert len(device.train) + len(fleet.test[device.name]) == 120
            sizes = [len(part.support) + len(part.query) for part in device.parts.values()]
            assert sum(sizes) == len(device.train)
            assert device.train.x.shape == (len(device.train), 9)
            assert device.train.x.dtype == device.train.y.dtype == np.float32
        assert fleet.public is None

    def test_the_order_of_the_recipe_changes_nothing(self, folder):
        folder("pump")
        folder("fan", seed=1)
        one = build(recipe(folder, {"pump": "abc", "fan": "abc"}))
        other = build(recipe(folder, {"fan": "abc", "pump": "abc"}))
        assert trained_on(one) == trained_on(other)

    def test_another_device_like_it_changes_nothing(self, folder):
        folder("pump")
        folder("fan", seed=1)
        alone = build(recipe(folder, {"pump": "abc"}))
        together = build(recipe(folder, {"pump": "abc", "fan": "abc"}))
        assert trained_on(alone)[0] == trained_on(together)[1]

    def test_every_sample_is_somewhere_and_keeps_its_label(self, folder):
        x = folder("pump", y=(np.arange(120) % 3 == 0).astype(int))
        fleet = build(recipe(folder, {"pump": "abc"}))
        device = fleet.devices[0]
        inputs = np.concatenate([device.train.x, fleet.test["pump"].x])
        y = np.concatenate([device.train.y, fleet.test["pump"].y])
        back = device.preparation.raw(inputs)
        order = [int(np.abs(x - row).sum(axis=1).argmin()) for row in back]
        assert sorted(order) == list(range(120))
        np.testing.assert_allclose(back, x[order], atol=1e-5)
        assert y.tolist() == [float(i % 3 == 0) for i in order]

    def test_the_training_inputs_of_a_device_have_mean_zero_and_deviation_one(self, folder):
        folder("pump", offset=1000)
        train = build(recipe(folder, {"pump": "abc"})).devices[0].train.x
        np.testing.assert_allclose(train[:, :3].mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(train[:, :3].std(axis=0), 1, rtol=1e-5)
        assert not train[:, 3:].any()

    def test_its_own_part_is_all_its_training_samples_validated_as_phase_three_is(self, folder):
        folder("pump")
        device = build(recipe(folder, {"pump": "abc"})).devices[0]
        validation = device.parts["personalize"].query
        assert bits(device.own.query) == bits(validation)
        others = [
            s for part in device.parts.values() for s in (part.support, part.query) if s is not validation
        ]
        expected = sorted(row.tobytes() for samples in others for row in samples.x)
        assert sorted(row.tobytes() for row in device.own.support.x) == expected

    def test_files_are_named_with_their_sha256(self, folder):
        folder("pump")
        path = folder.path / "pump.csv"
        fleet = build(recipe(folder, {"pump": "abc"}))
        assert dict(fleet.files) == {str(path): hashlib.sha256(path.read_bytes()).hexdigest()}


class TestNothingLeaks:
    @pytest.mark.parametrize("kind", ["rows", "blocks"])
    @pytest.mark.parametrize("reuse", [False, True])
    @pytest.mark.parametrize("scaling", ["device", "fleet"])
    def test_poisoned_test_rows_change_the_test_set_alone(self, folder, kind, reuse, scaling):
        splits = {"kind": kind, "reuse": reuse, "block": 3}
        x = folder("pump")
        folder("fan", seed=1)
        plan = recipe(folder, {"pump": "abc", "fan": "abc"}, splits=splits, scaling=scaling)
        clean = build(plan)

        whole = read(folder.path / "pump.csv", Columns("fault", ("a", "b", "c")), "pump")
        held_out = split(whole, plan.splits, plan.seed).test
        assert len(held_out) == pytest.approx(24, abs=3)
        x[held_out] *= 1e6
        folder("pump", x=x)
        poisoned = build(plan)

        assert trained_on(poisoned) == trained_on(clean)
        assert bits(poisoned.test["fan"]) == bits(clean.test["fan"])
        assert np.abs(poisoned.test["pump"].x).max() > 1e4 * np.abs(clean.test["pump"].x).max()

    def test_a_poisoned_training_row_does_change_the_preparation(self, folder):
        # The test above could not fail if nothing depended on the values.
        x = folder("pump")
        plan = recipe(folder, {"pump": "abc"})
        clean = build(plan)
        whole = read(folder.path / "pump.csv", Columns("fault", ("a", "b", "c")), "pump")
        x[split(whole, plan.splits, plan.seed).serial_query[0]] *= 1e6
        folder("pump", x=x)
        assert build(plan).devices[0].preparation != clean.devices[0].preparation

    def test_a_device_holds_no_test_sample(self, folder):
        folder("pump")
        fleet = build(recipe(folder, {"pump": "abc"}))
        device = fleet.devices[0]
        sets = [s for part in [device.own, *device.parts.values()] for s in (part.support, part.query)]
        seen = {row.tobytes() for samples in sets for row in samples.x}
        assert not seen & {row.tobytes() for row in fleet.test["pump"].x}

    def test_public_data_is_standardised_by_its_support_rows_alone(self, folder):
        folder("pump")
        folder("public", rows=100)
        source = {"table": str(folder.path / "public.csv"), "label": "fault", "features": list("abc")}
        public = build(recipe(folder, {"pump": "abc"}, foundation=source)).public
        assert len(public.support) == 80
        assert len(public.query) == 20
        np.testing.assert_allclose(public.support.x[:, :3].mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(public.support.x[:, :3].std(axis=0), 1, rtol=1e-6)
        assert np.abs(public.query.x[:, :3].mean(axis=0)).max() > 1e-3


class TestScaling:
    def test_own_moments_hide_what_the_pooled_ones_show(self, folder):
        folder("cold", offset=0)
        folder("hot", offset=100, seed=1)
        own = build(recipe(folder, {"cold": "abc", "hot": "abc"}))
        pooled = build(recipe(folder, {"cold": "abc", "hot": "abc"}, scaling="fleet"))
        assert [abs(d.train.x[:, 0].mean()) < 1e-5 for d in own.devices] == [True, True]
        # Between two clouds 100 apart the mean is 50 and the deviation 50: they stand at -1 and +1.
        assert [d.train.x[:, 0].mean() for d in pooled.devices] == pytest.approx([-1, 1], abs=0.02)
        assert pooled.devices[0].preparation.mean == pooled.devices[1].preparation.mean

    def test_a_feature_is_pooled_over_the_devices_that_have_it_wherever_it_stands(self, folder):
        folder("cold", offset=0)
        folder("hot", offset=100, seed=1)
        folder("turned", features="bac", offset=200, seed=2)
        folder("short", features="bd", offset=300, seed=3)
        devices = {"cold": "abc", "hot": "abc", "turned": "bac", "short": "bd"}
        pooled = {d.name: d.preparation for d in build(recipe(folder, devices, scaling="fleet")).devices}
        own = {d.name: d.preparation for d in build(recipe(folder, devices)).devices}
        assert pooled["cold"].mean == pooled["hot"].mean == pytest.approx([100, 150, 100], abs=1)
        a, b, c = pooled["cold"].mean
        assert pooled["turned"].mean == (b, a, c)
        assert pooled["short"].mean == (b, own["short"].mean[1])

    def test_the_pooled_moments_are_those_of_all_training_rows(self, folder):
        folder("cold", offset=0, rows=200)
        folder("hot", offset=5, seed=1)
        fleet = build(recipe(folder, {"cold": "abc", "hot": "abc"}, scaling="fleet"))
        train = np.concatenate([device.train.x[:, :3] for device in fleet.devices])
        np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(train.std(axis=0), 1, rtol=1e-6)

    def test_a_constant_feature_is_zero_everywhere(self, folder):
        x = np.random.default_rng(0).normal(size=(120, 3))
        x[:, 1] = 1e6
        folder("pump", x=x)
        fleet = build(recipe(folder, {"pump": "abc"}))
        assert fleet.devices[0].preparation.scale[1] == 1
        np.testing.assert_allclose(fleet.devices[0].train.x[:, 1], 0, atol=1e-6)


def test_without_a_share_phase_1_has_no_samples_and_nothing_is_lost(folder):
    folder("pump")
    splits = {"serial": 0, "parallel": 0.7, "personalize": 0.3}
    device = build(recipe(folder, {"pump": "abc"}, splits=splits, serial={"rounds": 0})).devices[0]
    tour = device.parts["serial"]
    for samples in (tour.support, tour.query):
        assert samples.x.shape == (0, 9)
        assert samples.y.shape == (0,)
        assert samples.x.dtype == samples.y.dtype == np.float32
    assert len(device.train) == 96
    assert len(device.own.support) == 96 - len(device.parts["personalize"].query)


class TestUnseenDevices:
    NAMES: ClassVar = {"a": "abc", "b": "abc", "c": "abc", "d": "abc"}

    @pytest.fixture
    def four(self, folder):
        """Four tables, the last of them far from the others."""
        for i, name in enumerate(self.NAMES):
            folder(name, seed=i, offset=100 if name == "d" else 0)
        return folder

    def test_the_last_devices_take_no_part_and_are_tested(self, four):
        fleet = build(recipe(four, self.NAMES, unseen={"count": 2, "samples": 10}), unseen_devices=True)
        assert [device.name for device in fleet.devices] == ["a", "b"]
        assert fleet.unseen == ("c", "d")
        assert set(fleet.test) == {"a", "b", "c", "d"}
        for device in fleet.unseen_devices:
            assert len(device.train) == 10
            assert len(device.own.support) == len(device.parts["personalize"].support) == 8
            assert len(device.own.query) == 2
            assert [len(device.parts[p].support) for p in ("serial", "parallel")] == [0, 0]
            assert set(device.train.y) == {0, 1}

    def test_they_change_nothing_for_the_federated_ones(self, four):
        plan = recipe(four, self.NAMES, unseen={"count": 1, "samples": 10}, scaling="fleet")
        with_it = build(plan, unseen_devices=True)
        without = build(recipe(four, dict.fromkeys("abc", "abc"), scaling="fleet"))
        assert trained_on(with_it) == trained_on(without)

    def test_they_have_the_test_set_that_they_would_have_in_the_federation(self, four):
        own = build(recipe(four, self.NAMES))
        held = build(recipe(four, self.NAMES, unseen={"count": 1}), unseen_devices=True)
        raw = [f.unseen_devices or f.devices[3:] for f in (own, held)]
        tests = [devices[0].preparation.raw(f.test["d"].x) for devices, f in zip(raw, (own, held), strict=True)]
        np.testing.assert_allclose(tests[0], tests[1], atol=1e-4)

    def test_they_are_given_the_federations_pooled_moments(self, four):
        plan = recipe(four, self.NAMES, unseen={"count": 1}, scaling="fleet")
        fleet = build(plan, unseen_devices=True)
        # What is missing is filled with what is the device's own.
        unseen, member = (d[0].preparation for d in (fleet.unseen_devices, fleet.devices))
        assert unseen.fill != member.fill
        assert replace(unseen, fill=member.fill) == member
        assert np.abs(fleet.devices[0].preparation.mean).max() < 1  # the unseen device at 100 is not in them

    @pytest.mark.parametrize("scaling", ["device", "fleet"])
    def test_without_federated_devices_alike_they_take_their_few_samples_moments(self, folder, scaling):
        folder("a")
        folder("b", features="de", seed=1)
        plan = recipe(folder, {"a": "abc", "b": "de"}, unseen={"count": 1, "samples": 10}, scaling=scaling)
        (device,) = build(plan, unseen_devices=True).unseen_devices
        np.testing.assert_allclose(device.train.x[:, :2].mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(device.train.x[:, :2].std(axis=0), 1, rtol=1e-6)

    def test_a_fleet_without_any_has_none(self, four):
        fleet = build(recipe(four, self.NAMES), unseen_devices=True)
        assert (fleet.unseen_devices, fleet.unseen) == ((), ())
        assert len(fleet.devices) == 4


class TestPlacement:
    def test_repeated_features_reach_the_inputs(self, folder):
        folder("pump")
        train = build(recipe(folder, {"pump": "abc"}, model={"padding": "repeat"})).devices[0].train.x
        assert (train[:, 3:6] == train[:, :3]).all()
        assert (train[:, 6:] == train[:, :3]).all()

    @pytest.mark.parametrize("scaling", ["device", "fleet"])
    @pytest.mark.parametrize("padding", ["zeros", "repeat"])
    def test_the_order_of_a_device_s_columns_changes_nothing(self, folder, scaling, padding):
        # Four devices with the same samples, two of which list ["vib", "temp"] instead of ["temp", "vib"].
        features = {"a": "tv", "b": "vt", "c": "tv", "d": "vt"}
        x = np.random.default_rng(0).normal([0, 50], [1, 9], (120, 2))
        for name in features:
            folder(name, "tv", x=x)
        more = {"scaling": scaling, "model": {"padding": padding}}
        turned = build(recipe(folder, features, **more))
        straight = build(recipe(folder, dict.fromkeys("abcd", "tv"), **more))
        for one, other in zip(turned.devices, straight.devices, strict=True):
            assert bits(one.train) == bits(other.train)
            assert bits(turned.test[one.name]) == bits(straight.test[one.name])
        assert turned.devices[1].preparation.features == ("v", "t")
        assert turned.devices[1].preparation.columns[:2] == (1, 0)
        (told,) = turned.notices
        assert (told,) == straight.notices and told.startswith(
            "a, b, c and d have the same samples: one trains"
        )

    def test_public_samples_take_the_inputs_of_the_fleet_s_features(self, folder):
        folder("pump", features="abc")
        folder("public", features="xcb")
        source = {"table": str(folder.path / "public.csv"), "label": "fault", "features": list("xcb")}
        public = build(recipe(folder, {"pump": "abc"}, foundation=source, model={"inputs": 4})).public
        at_home = build(recipe(folder, {"public": "bc"}, model={"inputs": 4})).devices[0].train.x
        x = public.support.x
        assert x.shape[1] == 4 and not x[:, 0].any()  # a, which the public table lacks; x comes last
        assert x[:, 1:].std(axis=0) == pytest.approx([1, 1, 1], rel=1e-5)
        close = [np.isclose(at_home[:, :2], row[1:3], atol=0.5).all(axis=1).any() for row in x]
        assert np.mean(close) > 0.5  # b and c in this order, but for the moments

    def test_an_unseen_device_moves_nobody(self, folder):
        for name in "abc":
            folder(name, "zxy" if name == "c" else "xy")
        plan = recipe(folder, {"a": "xy", "b": "yx", "c": "zxy"}, unseen={"count": 1, "samples": 10})
        fleet = build(plan, unseen_devices=True)
        assert trained_on(fleet) == trained_on(build(recipe(folder, {"a": "xy", "b": "yx"})))
        assert fleet.unseen_devices[0].preparation.columns[:3] == (1, 2, 0)

    def test_a_fleet_with_unlike_features_says_so(self, folder):
        for seed, name in enumerate("abc"):
            folder(name, "xyz", seed=seed)
        assert build(recipe(folder, {"a": "xy", "b": "yx", "c": "zx"})).notices == (
            "Some devices lack features of others, and have zeros in their place: 'y' on c.",
            "Some devices add features, whose inputs are zero on the others: 'z' on c.",
        )


class TestFoundation:
    @staticmethod
    def public(folder, **source):
        return {"label": "fault", "features": list("abc"), **source}

    def test_it_may_have_other_features_than_the_devices(self, folder):
        folder("pump", features="ab")
        folder("public", features="abcde")
        source = self.public(folder, table=str(folder.path / "public.csv"), features=list("abcde"))
        fleet = build(recipe(folder, {"pump": "ab"}, foundation=source))
        assert np.count_nonzero(fleet.public.support.x[0]) == 5
        assert len(fleet.public.support) + len(fleet.public.query) == 120

    def test_every_file_that_was_read_is_named(self, folder):
        folder("pump")
        folder("public-1", seed=1)
        folder("public-2", seed=2)
        source = self.public(folder, table=str(folder.path / "public-*.csv"))
        fleet = build(recipe(folder, {"pump": "abc"}, foundation=source))
        assert len(fleet.public.support) + len(fleet.public.query) == 240
        read_files = {path.rsplit("/", 1)[1] for path in fleet.files}
        assert read_files == {"pump.csv", "public-1.csv", "public-2.csv"}

    def test_the_devices_of_a_public_simulator_are_pooled(self, folder):
        folder("pump")
        foundation = {"simulator": "feeder", "count": 2, "samples": 50}
        public = build(recipe(folder, {"pump": "abc"}, foundation=foundation)).public
        assert (len(public.support), len(public.query)) == (80, 20)

    def test_a_foundation_that_is_not_enabled_is_not_read(self, folder):
        folder("pump")
        source = self.public(folder, table=str(folder.path / "missing.csv"), enabled=False)
        assert build(recipe(folder, {"pump": "abc"}, foundation=source)).public is None


def test_the_public_table_needs_no_column_for_the_units_of_the_fleet(tmp_path):
    write_devices("feeder", 1, 400, 0, tmp_path / "fleet")
    table = (tmp_path / "fleet/feeder-00.csv").read_text(encoding="utf-8")
    (tmp_path / "public.csv").write_text(table.replace(",event\n", ",other\n", 1), encoding="utf-8")
    source = {"label": "fault", "features": ["Ia", "Ib", "Ic", "Va", "Vb", "Vc"]}
    recipe = parse(
        {
            "fleet": {**source, "table": str(tmp_path / "fleet/feeder-00.csv")},
            "splits": {"kind": "units", "unit": "event"},
            "foundation": {**source, "table": str(tmp_path / "public.csv")},
        },
        "here",
    )
    assert len(build(recipe).public.support) == 320
