"""Who belongs to a fleet: the server's certificate, and a key for each device.

The fleet folder is the operator's, on the server's machine:

    ca.crt, ca.key            the certificate authority
    server.crt, server.key    what the server shows to the devices
    devices/NAME.pub          the keys of the devices that may take part: this folder is the list
    revoked/NAME.pub          the keys of those that no longer may
    handout/NAME/             what is copied to a device: key, key.pub, ca.crt

A device knows the server by its certificate, and the server knows a device by its key: ECDSA in OpenSSH's
format, as `flower-supernode --auth-supernode-private-key` and `flwr supernode register` read it.
"""

import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509 import GeneralName

from fedmetaalign.fleet.tables import safe_name
from fedmetaalign.gateways.addresses import is_loopback
from fedmetaalign.gateways.certificates import (
    LONGEST,
    Authority,
    EnrolmentError,
    certify,
    fingerprint,
    new_authority,
    new_key,
    read_certificate,
    read_private_key,
    read_public_key,
    subject_of,
    subjects_of,
)
from fedmetaalign.system.writing import replace


@dataclass(frozen=True)
class Enrolment:
    """A fleet folder as a call of `enroll` left it.

    Attributes:
        folder: the fleet folder.
        created: this call made it.
        renewed: this call renewed the server's certificate.
        added: names of the devices that this call enrolled.
        addresses: IP addresses and host names that the server's certificate is good for.
        expires: until when it is.
        devices: name of each enrolled device to the fingerprint of its key.
        handouts: name of each enrolled device to its folder in handout/, where that is still there.
    """

    folder: Path
    created: bool
    renewed: bool
    added: tuple[str, ...]
    addresses: tuple[str, ...]
    expires: datetime
    devices: dict[str, str]
    handouts: dict[str, Path]

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        return {
            **asdict(self),
            "folder": str(self.folder),
            "expires": f"{self.expires:%Y-%m-%dT%H:%M:%SZ}",
            "handouts": {name: str(path) for name, path in self.handouts.items()},
        }


def enroll(
    folder: Path, addresses: Sequence[str], devices: Sequence[str], days: int | None, now: datetime
) -> Enrolment:
    """Makes a fleet folder, or adds devices to one and renews its server's certificate.

    A folder is made whole or not at all; a device is enrolled by the last file that is written for it. A
    renewed certificate is of the same authority and for the same key, so that devices need nothing new.
    Renewing needs ca.key, enrolling a device does not.

    Args:
        folder: the fleet folder; made if it does not exist.
        addresses: IP addresses and host names by which devices reach the server. For a folder that exists,
            they replace the earlier ones in a renewed certificate. Those of loopback are always in it.
        devices: names of the devices to enrol.
        days: how long the server's certificate is valid, 825 if None; given for a folder that exists, it is
            renewed.
        now: the time, in UTC.

    Raises:
        EnrolmentError: a name, an address or the days cannot be used, a device is enrolled already, or the
            folder is something else, and nothing has been changed; or a file cannot be read or written.
    """
    if days is not None and not 1 <= days <= LONGEST:
        raise EnrolmentError(f"A server's certificate can be valid for 1 to {LONGEST} days, not {days}.")
    subjects = [subject_of(address) for address in addresses]
    with _using(folder):
        created = not folder.exists()
        _check_new(devices, folder, [] if created else list(enrolled(folder)))
        renewed = not created and (bool(addresses) or days is not None)
        if created:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _whole(folder) as partial:
                _found(partial, subjects, days or LONGEST, now)
                _add(partial, devices)
        else:
            if renewed:
                _renew(folder, subjects, days or LONGEST, now)
            _add(folder, devices)
        return _state(folder, created, renewed, tuple(devices))


def revoke(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Takes devices off the list, and returns where the public key of each is from now on.

    What is still in handout/ for them is deleted.

    Raises:
        EnrolmentError: the folder is no fleet folder, or a device is not enrolled, and none has been revoked;
            or a key cannot be moved.
    """
    devices, revoked = folder / "devices", folder / "revoked"
    kept = {name: revoked / f"{name}.pub" for name in names}
    with _using(folder):
        for name in kept:
            _check_name(name)
        _check_folder(folder)
        for name, path in kept.items():
            if not (devices / f"{name}.pub").exists():
                why = "is revoked already" if path.exists() else "is not enrolled"
                raise EnrolmentError(
                    f"{name} {why} in {folder}: look into {devices} for those who are enrolled."
                )
        revoked.mkdir(exist_ok=True)
        for name, path in kept.items():
            (devices / f"{name}.pub").replace(path)
            _remove(folder / "handout" / name)
    return kept


def enrolled(folder: Path) -> dict[str, Path]:
    """Returns the public key file of every device that may take part, by name, sorted.

    Raises:
        EnrolmentError: the folder is no fleet folder, or a file in devices/ is no key, or has a name that no
            device can have.
    """
    with _using(folder):
        _check_folder(folder)
        keys = {path.name.removesuffix(".pub"): path for path in (folder / "devices").glob("*.pub")}
    for name, path in keys.items():
        _check_name(name)
        read_public_key(path)
    return dict(sorted(keys.items()))


def instructions(enrolment: Enrolment) -> str:
    """Says what is where, what to copy to which machine, and how to start there."""
    folder = shlex.quote(str(enrolment.folder))
    renewed = "renewed by the same authority, " if enrolment.renewed else ""
    addresses, expires = ", ".join(enrolment.addresses), f"{enrolment.expires:%Y-%m-%d}"
    first = enrolment.addresses[0]
    server = f"[{first}]:8000" if ":" in first else f"{first}:8000"
    everywhere = "[::]:8000" if ":" in first else "0.0.0.0:8000"
    listen = "" if is_loopback(first) else f" --address {everywhere}"  # whose default is loopback
    lines = [
        f"Fleet folder:          {folder}{', new' if enrolment.created else ''}",
        f"Devices enrolled:      {', '.join(enrolment.devices) or 'none'}",
        f"Server's certificate:  {renewed}for {addresses}, until {expires}",
    ]
    for name in enrolment.added:
        lines += [
            "",
            f"{name} ({enrolment.devices[name]})",
            f"  copy {folder}/handout/{name} to the device, as fleet-key/, then delete it here; start there:",
            f"  fedmetaalign device --name {name} --table TABLE.csv --server {server} --keys fleet-key",
        ]
    lines += ["", "On this machine start:", f"  fedmetaalign server RECIPE --fleet {folder}{listen}"]
    if enrolment.renewed:
        lines += ["  A server that is running shows the new certificate when it is started again."]
    if enrolment.created:
        lines += ["", f"Keep {folder}/ca.key offline: only renewing the server's certificate needs it."]
    if waiting := [name for name in enrolment.handouts if name not in enrolment.added]:
        lines += ["", f"Private keys to delete here once copied: {folder}/handout/ of {', '.join(waiting)}."]
    return "\n".join(lines) + "\n"


def _found(folder: Path, subjects: Sequence[GeneralName], days: int, now: datetime) -> None:
    """Fills a new fleet folder."""
    (folder / "devices").mkdir()
    (folder / "revoked").mkdir()
    authority, key = new_authority(now), new_key()
    certificate = certify(authority, key.public_key(), subjects, days, now)
    replace(folder / "ca.key", _private(authority.key, PrivateFormat.PKCS8), 0o600)
    replace(folder / "ca.crt", authority.certificate.public_bytes(Encoding.PEM))
    replace(folder / "server.key", _private(key, PrivateFormat.PKCS8), 0o600)
    replace(folder / "server.crt", certificate.public_bytes(Encoding.PEM))


def _renew(folder: Path, subjects: Sequence[GeneralName], days: int, now: datetime) -> None:
    """Replaces the server's certificate alone: one file, so that it always belongs to the key."""
    if not (path := folder / "ca.key").exists():
        raise EnrolmentError(f"{path} is not there: bring it back from where you keep it, and call again.")
    authority = Authority(read_certificate(folder / "ca.crt"), read_private_key(path))
    if authority.key.public_key() != authority.certificate.public_key():
        raise EnrolmentError(f"{path} is not the key of {folder / 'ca.crt'}: put back the one that is.")
    key = read_private_key(folder / "server.key").public_key()
    subjects = subjects or subjects_of(read_certificate(folder / "server.crt"))
    certificate = certify(authority, key, subjects, days, now)
    replace(folder / "server.crt", certificate.public_bytes(Encoding.PEM))


def _add(folder: Path, devices: Sequence[str]) -> None:
    """Makes each device's key, its handout, and last its place on the list."""
    (folder / "handout").mkdir(0o700, exist_ok=True)
    for name in devices:
        key = new_key()
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        with _whole(folder / "handout" / name) as partial:
            replace(partial / "key", _private(key, PrivateFormat.OpenSSH), 0o600)
            replace(partial / "key.pub", public + f" {name}\n".encode())
            replace(partial / "ca.crt", (folder / "ca.crt").read_bytes())
        replace(folder / "devices" / f"{name}.pub", public + f" {name}\n".encode())


def _state(folder: Path, created: bool, renewed: bool, added: tuple[str, ...]) -> Enrolment:
    certificate, keys = read_certificate(folder / "server.crt"), enrolled(folder)
    handouts = {name: folder / "handout" / name for name in keys}
    return Enrolment(
        folder,
        created,
        renewed,
        added,
        tuple(str(subject.value) for subject in subjects_of(certificate)),
        certificate.not_valid_after_utc,
        {name: fingerprint(path) for name, path in keys.items()},
        {name: handout for name, handout in handouts.items() if handout.is_dir()},
    )


def _check_new(devices: Sequence[str], folder: Path, taken: Sequence[str]) -> None:
    for place, name in enumerate(devices):
        _check_name(name)
        if name in taken:
            raise EnrolmentError(
                f"{name} is enrolled in {folder} already: choose another name, or --revoke that device first."
            )
        if name in devices[:place]:
            raise EnrolmentError(f"{name} is given twice: give each device a name of its own.")


def _check_name(name: str) -> None:
    if name != (safe := safe_name(name)):
        raise EnrolmentError(
            f"A device cannot be called {name!r}: take letters, digits, `.`, `_` and `-`, such as {safe!r}."
        )


def _check_folder(folder: Path) -> None:
    if not (folder / "ca.crt").is_file() or not (folder / "devices").is_dir():
        raise EnrolmentError(
            f"{folder} is not a fleet folder, which has ca.crt and devices/:"
            " `fedmetaalign enroll` makes one where nothing is yet."
        )


def _private(key: EllipticCurvePrivateKey, form: PrivateFormat) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


@contextmanager
def _using(folder: Path) -> Iterator[None]:
    """Turns what the system says of a failed read or write into a sentence."""
    try:
        yield
    except OSError as error:
        raise EnrolmentError(f"Cannot use {folder}: {error.strerror}; fix that and call again.") from None


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Makes a folder for its owner alone that takes its place, and an old one's, only when it is filled."""
    partial = folder.with_name(f".{folder.name}.partial")
    _remove(partial)
    partial.mkdir(0o700)
    try:
        yield partial
        _remove(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
