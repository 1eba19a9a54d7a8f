"""What enrolling makes: certificates that devices trust, keys that Flower reads, and secrets that stay so."""

import os
import socket
import ssl
import stat
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import verification
from fleet_folder import NOW, certificate, verify
from flwr.cli.supernode.register import try_load_public_key
from flwr.supernode.cli.flower_supernode import _try_setup_client_authentication

from fedmetaalign.gateways.enrolment import enroll, fingerprint


def extension(path: Path, kind):
    return certificate(path).extensions.get_extension_for_class(kind)


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
