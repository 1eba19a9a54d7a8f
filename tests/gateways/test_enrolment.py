"""The fleet folder: certificates that devices trust, keys that Flower reads, and nothing half-done."""

import json
import os
import shutil
import socket
import ssl
import stat
import sys
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import verification
from flwr.cli.supernode.register import try_load_public_key
from flwr.supernode.cli.flower_supernode import _try_setup_client_authentication
from typer.testing import CliRunner

from fedmetaalign.cli import fleet as cli_fleet
from fedmetaalign.errors import ToolError
from fedmetaalign.gateways import enrolment as module
from fedmetaalign.gateways.certificates import EnrolmentError
from fedmetaalign.gateways.enrolment import enroll, enrolled, fingerprint, instructions, revoke

NOW = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A fleet folder with two devices; not to be changed."""
    folder = tmp_path_factory.mktemp("enrolment") / "fleet"
    enroll(folder, ["192.0.2.7", "Gateway.plant.example", "2001:db8::7"], ["pump", "mill-2"], None, NOW)
    return folder


@pytest.fixture
def fleet(made, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "fleet")


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def extension(path: Path, kind):
    return certificate(path).extensions.get_extension_for_class(kind)


def verify(folder: Path, name: x509.GeneralName, at: datetime) -> list[x509.Certificate]:
    """Checks the server's certificate as a browser would (RFC 5280 and the CA/Browser Forum's profile)."""
    store = verification.Store([certificate(folder / "ca.crt")])
    builder = verification.PolicyBuilder().store(store).time(at)
    return builder.build_server_verifier(name).verify(certificate(folder / "server.crt"), [])


# What is made


def test_the_folder_holds_what_the_operator_and_the_devices_need(made):
    assert sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()) == [
        "ca.crt",
        "ca.key",
        "devices/mill-2.pub",
        "devices/pump.pub",
        "handout/mill-2/ca.crt",
        "handout/mill-2/key",
        "handout/mill-2/key.pub",
        "handout/pump/ca.crt",
        "handout/pump/key",
        "handout/pump/key.pub",
        "server.crt",
        "server.key",
    ]
    for name in ("pump", "mill-2"):
        assert (made / "handout" / name / "ca.crt").read_bytes() == (made / "ca.crt").read_bytes()
        assert (made / "handout" / name / "key.pub").read_bytes() == (made / f"devices/{name}.pub").read_bytes()
    assert not list(made.parent.glob(".*"))


def test_secrets_are_the_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        folder = tmp_path / "fleet"
        enroll(folder, [], ["pump"], None, NOW)
        enroll(folder, ["192.0.2.8"], ["mill"], None, NOW)
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in [folder, *folder.rglob("*")]
    }
    secret = {name for name, mode in modes.items() if mode in (0o600, 0o700)}
    assert secret == {
        ".",
        "ca.key",
        "server.key",
        "handout",
        "handout/pump",
        "handout/pump/key",
        "handout/mill",
        "handout/mill/key",
    }
    assert {mode for name, mode in modes.items() if name.endswith((".pub", ".crt"))} == {0o644}


def test_private_files_are_private_before_they_have_content(tmp_path, monkeypatch):
    seen = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: (seen.append(stat.S_IMODE(os.fstat(file).st_mode)), real(file))
    )
    monkeypatch.delattr(os, "chmod")
    monkeypatch.delattr(os, "fchmod")
    enroll(tmp_path / "fleet", [], ["pump"], None, NOW)
    assert seen.count(0o600) == 3  # the authority's key, the server's, the device's


def test_the_authority_may_sign_servers_and_nothing_else(made):
    basic = extension(made / "ca.crt", x509.BasicConstraints)
    assert (basic.critical, basic.value) == (True, x509.BasicConstraints(ca=True, path_length=0))
    usage = extension(made / "ca.crt", x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    authority = certificate(made / "ca.crt")
    assert authority.not_valid_before_utc == datetime(2026, 5, 17, 11, 30, tzinfo=UTC)
    assert authority.not_valid_after_utc == datetime(2036, 5, 14, 11, 30, tzinfo=UTC)  # 3650 days: leap years
    authority.verify_directly_issued_by(authority)


def test_the_servers_certificate(made):
    server = certificate(made / "server.crt")
    server.verify_directly_issued_by(certificate(made / "ca.crt"))
    assert list(extension(made / "server.crt", x509.SubjectAlternativeName).value) == [
        x509.IPAddress(ip_address("192.0.2.7")),
        x509.DNSName("gateway.plant.example"),
        x509.IPAddress(ip_address("2001:db8::7")),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.IPAddress(ip_address("::1")),
        x509.DNSName("localhost"),
    ]
    purposes = list(extension(made / "server.crt", x509.ExtendedKeyUsage).value)
    assert [purpose.dotted_string for purpose in purposes] == ["1.3.6.1.5.5.7.3.1"]  # serverAuth
    assert not extension(made / "server.crt", x509.BasicConstraints).value.ca
    assert server.not_valid_after_utc - server.not_valid_before_utc == timedelta(days=825)


def test_every_key_is_on_p_384_and_belongs_to_its_certificate(made):
    keys = []
    for name in ("ca", "server"):
        key = load_pem_private_key((made / f"{name}.key").read_bytes(), None)
        assert key.public_key() == certificate(made / f"{name}.crt").public_key()
        assert isinstance(key.curve, ec.SECP384R1)
        keys.append(key)
    assert keys[0].public_key() != keys[1].public_key()


@pytest.mark.parametrize(
    "name",
    [x509.IPAddress(ip_address("192.0.2.7")), x509.DNSName("gateway.plant.example"), x509.DNSName("localhost")],
)
def test_the_chain_verifies(made, name):
    assert len(verify(made, name, NOW)) == 2


def test_the_chain_does_not_verify_elsewhere_or_later(made):
    for name, at in (
        (x509.DNSName("plant.example"), NOW),
        (x509.DNSName("localhost"), NOW + timedelta(days=825)),
    ):
        with pytest.raises(verification.VerificationError):
            verify(made, name, at)


def handshake(fleet: Path, authority: Path, host: str) -> str:
    """Lets a client that trusts `authority` shake hands with the fleet's server, and returns the protocol."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(fleet / "server.crt", fleet / "server.key")
    trusting = ssl.create_default_context(cafile=authority)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(30)

        def serve():
            raw, _ = listener.accept()
            with raw, serving.wrap_socket(raw, server_side=True) as connection:
                connection.sendall(b"hello")

        served = pool.submit(serve)
        try:
            with (
                socket.create_connection(listener.getsockname(), 30) as raw,
                trusting.wrap_socket(raw, server_hostname=host) as connection,
            ):
                assert connection.recv(5) == b"hello"
                return connection.version()
        finally:
            served.exception(30)


def test_a_client_with_the_handout_shakes_hands(tmp_path):
    enroll(tmp_path / "fleet", [], ["pump"], 1, datetime.now(UTC))
    trusted = tmp_path / "fleet/handout/pump/ca.crt"
    assert handshake(tmp_path / "fleet", trusted, "127.0.0.1") == "TLSv1.3"
    assert handshake(tmp_path / "fleet", trusted, "localhost") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(tmp_path / "fleet", trusted, "192.0.2.7")


def test_a_client_of_another_fleet_does_not(tmp_path):
    for name in ("fleet", "other"):
        enroll(tmp_path / name, [], [], None, datetime.now(UTC))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        handshake(tmp_path / "fleet", tmp_path / "other/ca.crt", "127.0.0.1")


def test_flower_reads_the_keys_of_a_device(made):
    arguments = Namespace(
        auth_supernode_private_key=str(made / "handout/pump/key"), auth_supernode_public_key=None
    )
    private, public = _try_setup_client_authentication(arguments)
    assert isinstance(private.curve, ec.SECP384R1)
    registered = try_load_public_key(made / "devices/pump.pub")
    assert registered == public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_fingerprint_is_that_of_ssh_keygen(tmp_path):
    path = tmp_path / "key.pub"
    path.write_text(
        "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBGgA3hG3EcVRKrGcEpiMV5CgC4X0A5"
        "R1UZHdBKWpSXqHiou/MAo15hc88v3wse0A+og90pLDDGK9mg+wJy95OkH85NHq+3y6hB67eXMf4UcebhkA4Nq/GcxTHwFW4sm8vg=="
        " feeder-00\n",
        encoding="utf-8",
    )
    assert fingerprint(path) == "SHA256:Dvj9LlYMgh4mT0jmrCi2Mn1F42RdmwrsLp38N+U99Gk"


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
