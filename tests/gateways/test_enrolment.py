"""Later calls that change the fleet folder, calls that stop in the middle, and what is refused."""

import json
import shutil
import stat
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from fleet_folder import NOW, certificate, verify
from typer.testing import CliRunner

from fedmetaalign.cli import fleet as cli_fleet
from fedmetaalign.errors import ToolError
from fedmetaalign.gateways import enrolment as module
from fedmetaalign.gateways.certificates import EnrolmentError
from fedmetaalign.gateways.enrolment import enroll, enrolled, fingerprint, instructions, revoke

# Later calls


def test_a_device_is_added_without_the_authoritys_key(fleet, contents):
    (fleet / "ca.key").unlink()
    before = contents(fleet)
    state = enroll(fleet, [], ["press"], None, NOW)
    after = contents(fleet)
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == [
        "devices/press.pub",
        "handout/press",
        "handout/press/ca.crt",
        "handout/press/key",
        "handout/press/key.pub",
    ]
    assert (state.created, state.renewed, state.added) == (False, False, ("press",))
    assert list(state.devices) == ["mill-2", "press", "pump"]


def test_a_device_is_added_after_handout_is_deleted(fleet):
    shutil.rmtree(fleet / "handout")
    state = enroll(fleet, [], ["press"], None, NOW)
    assert state.handouts == {"press": fleet / "handout/press"}
    assert stat.S_IMODE((fleet / "handout").stat().st_mode) == 0o700


def test_addresses_renew_the_servers_certificate_alone(fleet, contents):
    before = contents(fleet)
    state = enroll(fleet, ["192.0.2.99"], [], None, NOW + timedelta(days=800))
    after = contents(fleet)
    assert {name for name in after if after[name] != before.get(name)} == {"server.crt"}
    assert (state.renewed, state.addresses) == (True, ("192.0.2.99", "127.0.0.1", "::1", "localhost"))
    verify(fleet, x509.IPAddress(ip_address("192.0.2.99")), NOW + timedelta(days=1600))


def test_days_renew_it_for_the_addresses_that_it_has(fleet):
    state = enroll(fleet, [], [], 30, NOW + timedelta(days=800))
    assert state.addresses == (
        "192.0.2.7",
        "gateway.plant.example",
        "2001:db8::7",
        "127.0.0.1",
        "::1",
        "localhost",
    )
    assert state.expires == datetime(2028, 8, 24, 11, 30, tzinfo=UTC)  # 830 days after NOW, less the hour


def test_a_certificate_does_not_outlive_its_authority(fleet):
    state = enroll(fleet, [], [], 825, NOW + timedelta(days=3600))
    assert state.expires == certificate(fleet / "ca.crt").not_valid_after_utc
    with pytest.raises(EnrolmentError, match=r"expired on 2036-05-14: make a new fleet folder"):
        enroll(fleet, [], [], 825, NOW + timedelta(days=3650))


def test_a_call_with_nothing_to_do_changes_nothing(fleet, contents):
    before = contents(fleet)
    state = enroll(fleet, [], [], None, NOW)
    assert contents(fleet) == before
    assert (state.created, state.renewed, state.added) == (False, False, ())
    assert state.devices == {name: fingerprint(path) for name, path in enrolled(fleet).items()}


def test_a_device_that_is_revoked_and_enrolled_again_has_a_new_key(fleet):
    old = (fleet / "devices/pump.pub").read_bytes()
    assert revoke(fleet, ["pump"]) == {"pump": fleet / "revoked/pump.pub"}
    assert list(enrolled(fleet)) == ["mill-2"]
    assert (fleet / "revoked/pump.pub").read_bytes() == old
    assert not (fleet / "handout/pump").exists()
    enroll(fleet, [], ["pump"], None, NOW)
    assert enrolled(fleet) == {name: fleet / f"devices/{name}.pub" for name in ("mill-2", "pump")}
    assert (fleet / "devices/pump.pub").read_bytes() != old


def test_a_device_can_be_revoked_whose_key_is_damaged(fleet):
    (fleet / "devices/pump.pub").write_text("rubbish", encoding="utf-8")
    revoke(fleet, ["pump"])
    assert list(enrolled(fleet)) == ["mill-2"]


# Calls that stop in the middle


@pytest.mark.parametrize("stop", range(9))
def test_a_folder_is_made_whole_or_not_at_all(tmp_path, monkeypatch, stop):
    """Eight files are written, one after another: a new call makes the folder wherever the first stopped."""
    written = []
    real = module.replace

    def write(path, *rest):
        if len(written) == stop:
            raise KeyboardInterrupt
        real(path, *rest)
        written.append(path.name)

    monkeypatch.setattr(module, "replace", write)
    folder = tmp_path / "fleet"
    if stop < 8:
        with pytest.raises(KeyboardInterrupt):
            enroll(folder, [], ["pump"], None, NOW)
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(module, "replace", real)
    assert list(enroll(folder, [], ["pump"], None, NOW).devices) == ["pump"]


def test_what_a_killed_call_left_is_in_nobodys_way(fleet, tmp_path):
    for left in (tmp_path / ".other.partial", fleet / "handout/.press.partial"):
        left.mkdir()
        (left / "key").touch()
    (fleet / "devices/.press.pub.partial").touch()
    assert list(enrolled(fleet)) == ["mill-2", "pump"]
    enroll(fleet, [], ["press"], None, NOW)
    enroll(tmp_path / "other", [], [], None, NOW)
    assert not list(tmp_path.rglob(".*"))


def test_a_device_is_enrolled_by_the_last_file(fleet, monkeypatch):
    real = module.replace

    def write(path, *rest):
        if path.parent.name == "devices":
            raise OSError(28, "No space left on device")
        real(path, *rest)

    monkeypatch.setattr(module, "replace", write)
    with pytest.raises(EnrolmentError, match=r"Cannot use .*fleet: No space left on device; fix that"):
        enroll(fleet, [], ["press"], None, NOW)
    assert list(enrolled(fleet)) == ["mill-2", "pump"]
    monkeypatch.undo()
    enroll(fleet, [], ["press"], None, NOW)
    assert (fleet / "handout/press/key.pub").read_bytes() == (fleet / "devices/press.pub").read_bytes()


# What is refused


@pytest.mark.parametrize("days", [-1, 0, 826])
def test_days_out_of_range(tmp_path, days):
    with pytest.raises(EnrolmentError, match=f"1 to 825 days, not {days}"):
        enroll(tmp_path / "fleet", [], [], days, NOW)


def encrypted(fleet):
    key = ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


def of_another_kind(fleet):
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "damage",
    [lambda fleet: b"", lambda fleet: (fleet / "ca.key").read_bytes()[:150], encrypted, of_another_kind],
    ids=["empty", "cut", "encrypted", "ed25519"],
)
def test_a_damaged_key_of_the_authority(fleet, contents, damage):
    (fleet / "ca.key").write_bytes(damage(fleet))
    before = contents(fleet)
    with pytest.raises(
        EnrolmentError, match=r"ca\.key is damaged, or is not an ECDSA .*: put it back from your copy"
    ):
        enroll(fleet, ["192.0.2.9"], ["press"], None, NOW)
    assert contents(fleet) == before


def test_a_key_of_another_authority(fleet):
    shutil.copy(fleet / "server.key", fleet / "ca.key")
    with pytest.raises(EnrolmentError, match=r"ca\.key is not the key of .*ca\.crt"):
        enroll(fleet, ["192.0.2.9"], [], None, NOW)


def test_a_folder_that_cannot_be_written(fleet, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnrolmentError, match=r"Cannot use .*file/fleet: .*; fix that and call again"):
        enroll(tmp_path / "file/fleet", [], [], None, NOW)
    shutil.rmtree(fleet / "handout")
    (fleet / "handout").touch()
    with pytest.raises(EnrolmentError, match=r"Cannot use .*fleet: .*; fix that and call again"):
        enroll(fleet, [], ["press"], None, NOW)
    assert list(enrolled(fleet)) == ["mill-2", "pump"]


# What the operator reads


def test_the_instructions_say_what_goes_where(tmp_path):
    folder = tmp_path / "my fleet"
    text = instructions(enroll(folder, ["192.0.2.7"], ["pump"], 10, NOW))
    quoted = f"'{folder}'"
    assert f"copy {quoted}/handout/pump to the device, as fleet-key/, then delete it here" in text
    assert (
        "fedmetaalign device --name pump --table TABLE.csv --server 192.0.2.7:8000 --keys fleet-key\n" in text
    )
    assert f"fedmetaalign server RECIPE --fleet {quoted} --address 0.0.0.0:8000\n" in text
    assert f"Keep {quoted}/ca.key offline" in text
    assert "for 192.0.2.7, 127.0.0.1, ::1, localhost, until 2026-05-27" in text
    again = instructions(enroll(folder, ["192.0.2.8"], [], None, NOW))
    assert "renewed by the same authority, for 192.0.2.8" in again
    assert f"to delete here once copied: {quoted}/handout/ of pump" in again
    here = instructions(enroll(tmp_path / "here", [], ["pump"], None, NOW))
    assert "--server 127.0.0.1:8000 --keys" in here
    assert f"fedmetaalign server RECIPE --fleet {tmp_path / 'here'}\n" in here


@pytest.fixture
def call(here):
    """Calls the command by itself."""
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(cli_fleet.enroll)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_the_command(call, here):
    made = call("fleet", "--address", "192.0.2.7", "--device", "pump", "--device", "mill", "--days", "397")
    assert made.exit_code == 0
    assert made.stdout.startswith("Fleet folder:          fleet, new\nDevices enrolled:      mill, pump\n")
    result = json.loads(call("fleet", "--device", "press", "--json").stdout)
    assert result["added"] == ["press"]
    assert result["handouts"]["press"] == "fleet/handout/press"
    assert result["devices"]["press"] == fingerprint(here / "fleet/devices/press.pub")
    assert "mill is revoked: its key is now fleet/revoked/mill.pub" in call("fleet", "--revoke", "mill").stdout
    gone = json.loads(call("fleet", "--revoke", "pump", "--json").stdout)
    assert gone == {"folder": "fleet", "revoked": {"pump": "fleet/revoked/pump.pub"}}
    assert list(enrolled(here / "fleet")) == ["press"]


@pytest.mark.parametrize(
    "arguments", [("--days", "826"), ("--days", "0"), ("--revoke", "a", "--device", "a"), ()]
)
def test_the_command_called_wrongly(call, here, arguments):
    assert call(*(["fleet"] if arguments else []), *arguments).exit_code == 2
    assert list(here.iterdir()) == []


def test_the_command_without_the_extra(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    failed = call("fleet")
    assert isinstance(failed.exception, ToolError)
    sentence = "cryptography is not installed: call pip install 'fedmetaalign[flower]'."
    assert str(failed.exception) == sentence
