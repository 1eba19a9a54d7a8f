"""A fleet folder in tests: when it is made, and what its certificates say."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509 import verification

NOW = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def verify(folder: Path, name: x509.GeneralName, at: datetime) -> list[x509.Certificate]:
    """Checks the server's certificate as a browser would (RFC 5280 and the CA/Browser Forum's profile)."""
    store = verification.Store([certificate(folder / "ca.crt")])
    builder = verification.PolicyBuilder().store(store).time(at)
    return builder.build_server_verifier(name).verify(certificate(folder / "server.crt"), [])
