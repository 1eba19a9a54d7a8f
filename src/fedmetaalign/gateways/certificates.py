"""The X.509 certificates (RFC 5280) by which devices know their server, and the keys of both sides.

All keys are ECDSA on the curve P-384. The fleet has a certificate authority of its own, which signs the
server's certificates and nothing else.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_ssh_public_key,
    ssh_key_fingerprint,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedmetaalign.errors import FedMetaAlignError

LONGEST = 825
"""Days that a server's certificate may be valid: there are clients that refuse longer ones of any authority."""

LOOPBACK: tuple[x509.GeneralName, ...] = (
    x509.IPAddress(ip_address("127.0.0.1")),
    x509.IPAddress(ip_address("::1")),
    x509.DNSName("localhost"),
)
"""What every server's certificate is good for."""

_CA_DAYS = 3650
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
# A name of digits and dots alone is a mistyped IP address.
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(?![0-9.]+\Z){_LABEL}(\.{_LABEL})*", re.IGNORECASE)

_Content = TypeVar("_Content")


class EnrolmentError(FedMetaAlignError):
    """A fleet folder cannot be made, changed or read, or a device cannot be enrolled or revoked."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its own certificate, and the key that signs others."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def new_key() -> EllipticCurvePrivateKey:
    """Makes a key."""
    return generate_private_key(SECP384R1())


def new_authority(now: datetime) -> Authority:
    """Makes a certificate authority for ten years; `now` has a time zone."""
    key, name, begin = new_key(), _name("Fed-Meta-Align fleet CA"), _begin(now)
    builder = _certificate(name, key.public_key(), name, key.public_key(), authority=True)
    builder = builder.not_valid_before(begin).not_valid_after(begin + timedelta(_CA_DAYS))
    return Authority(builder.sign(key, hashes.SHA384()), key)


def certify(
    authority: Authority,
    key: EllipticCurvePublicKey,
    subjects: Sequence[x509.GeneralName],
    days: int,
    now: datetime,
) -> x509.Certificate:
    """Signs a certificate for a server.

    Args:
        authority: who signs.
        key: the server's.
        subjects: the addresses that it is good for, beside loopback.
        days: how long it is valid; not longer than the authority is.
        now: the time, with a time zone.

    Raises:
        EnrolmentError: the authority has expired.
    """
    last = authority.certificate.not_valid_after_utc
    if last <= now:
        raise EnrolmentError(
            f"The fleet's certificate authority, ca.crt, expired on {last:%Y-%m-%d}: make a new fleet folder."
        )
    subject, begin = _name("Fed-Meta-Align server"), _begin(now)
    builder = _certificate(subject, key, authority.certificate.subject, authority.key.public_key())
    builder = builder.not_valid_before(begin).not_valid_after(min(begin + timedelta(days), last))
    names = x509.SubjectAlternativeName(dict.fromkeys([*subjects, *LOOPBACK]))
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = builder.add_extension(names, critical=False).add_extension(purpose, critical=False)
    return builder.sign(authority.key, hashes.SHA384())


def subject_of(address: str) -> x509.GeneralName:
    """Reads an address as a certificate states it.

    Raises:
        EnrolmentError: it is neither an IP address nor the name of a host, or none that one connects to.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        if _HOST.fullmatch(address):
            return x509.DNSName(address.lower())
        raise EnrolmentError(
            f"{address!r} is neither an IP address nor the name of a host:"
            " give what devices connect to, without a port."
        ) from None
    if ip.is_unspecified:
        raise EnrolmentError(f"No device can connect to {address}: give the address that it connects to.")
    return x509.IPAddress(ip)


def subjects_of(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    """Returns the addresses that a server's certificate is good for."""
    return tuple(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def read_certificate(path: Path) -> x509.Certificate:
    """Reads a certificate; raises EnrolmentError where there is none."""
    return _read(path, x509.load_pem_x509_certificate, "a certificate")


def read_private_key(path: Path) -> EllipticCurvePrivateKey:
    """Reads the key of an authority or a server; raises EnrolmentError where there is none."""

    def parse(data: bytes) -> EllipticCurvePrivateKey:
        key = load_pem_private_key(data, None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise ValueError
        return key

    return _read(path, parse, "an ECDSA private key without a password")


def read_public_key(path: Path) -> EllipticCurvePublicKey:
    """Reads the public key of a device; raises EnrolmentError where there is none."""

    def parse(data: bytes) -> EllipticCurvePublicKey:
        key = load_ssh_public_key(data)
        if not isinstance(key, EllipticCurvePublicKey):
            raise ValueError
        return key

    return _read(path, parse, "an ECDSA public key in OpenSSH's format")


def fingerprint(path: Path) -> str:
    """Returns the fingerprint of a device's public key, "SHA256:..." as `ssh-keygen -lf` prints it.

    Raises:
        EnrolmentError: the file is no ECDSA key in OpenSSH's format.
    """
    digest = ssh_key_fingerprint(read_public_key(path), hashes.SHA256())
    return f"SHA256:{b64encode(digest).decode().rstrip('=')}"


def _certificate(
    subject: x509.Name,
    key: EllipticCurvePublicKey,
    issuer: x509.Name,
    signer: EllipticCurvePublicKey,
    authority: bool = False,
) -> x509.CertificateBuilder:
    """What certificates of an authority and of a server have in common."""
    usage = x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(authority, 0 if authority else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begin(now: datetime) -> datetime:
    """An hour ago, for devices whose clocks are slow."""
    return now - timedelta(hours=1)


def _read(path: Path, parse: Callable[[bytes], _Content], what: str) -> _Content:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise EnrolmentError(f"Cannot read {path}: {error.strerror}; fix that and call again.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise EnrolmentError(f"{path} is damaged, or is not {what}: put it back from your copy.") from None
