"""The SuperLink, Flower's server: started, watched and stopped; and what is asked of one that runs.

Requests go through Flower's own client of its Control API, of which the `flwr` command is made: the command
takes over a second a call, and its list of SuperNodes leaves out their names and keys.
"""

import http.client
import ssl
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from fedmetaalign.errors import RunError
from fedmetaalign.gateways import addresses, processes
from fedmetaalign.system.locking import Lock

if TYPE_CHECKING:
    from flwr.supercore.control import ControlHttpClient

START_UP = 300.0
"""Seconds that a SuperLink has to answer; it takes two to four where the machine has nothing else to do."""

_RUNTIME = ("--isolation", "subprocess", "--disable-runtime-dependency-installation")


@dataclass(frozen=True)
class Certificates:
    """PEM files.

    Attributes:
        ca: the authority that signed the certificate.
        certificate: what the server shows.
        key: its private key.
    """

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Node:
    """A SuperNode in the SuperLink's register.

    Attributes:
        number: Flower's id of it.
        name: the device's name; empty if it was registered without one.
        key: the public key, PEM.
    """

    number: int
    name: str
    key: bytes


@dataclass(frozen=True)
class Status:
    """How a run stands.

    Attributes:
        state: "pending", "starting", "running" or "finished".
        outcome: "completed", "failed" or "stopped" when it is finished, else empty.
        details: what went wrong, or empty.
    """

    state: str
    outcome: str
    details: str


@dataclass(frozen=True)
class SuperLink:
    """A SuperLink, whether we started it or not.

    Attributes:
        address: HOST:PORT where it is reached.
        ca: the authority that its certificate is checked against, PEM; None without TLS.
    """

    address: str
    ca: Path | None

    def answers(self) -> bool:
        """Tells whether it is there.

        With TLS, whoever hangs up is not: it is ending, or passes connections on to one that is not there.

        Raises:
            RunError: what answers is something else.
        """
        host, port = addresses.split_address(self.address)
        connection = http.client.HTTPConnection(host, port, timeout=5)
        if self.ca is not None:
            try:
                context = ssl.create_default_context(cafile=self.ca)
            except OSError as error:  # which an ssl.SSLError is, too
                raise RunError(
                    f"{self.ca} cannot be read as a certificate ({error.strerror or error}): copy the file that"
                    " `fedmetaalign enroll` made."
                ) from None
            connection = http.client.HTTPSConnection(host, port, timeout=5, context=context)
        try:
            connection.request("GET", "/health")
            healthy = connection.getresponse().status == http.client.OK
        except ssl.SSLCertVerificationError as error:
            raise RunError(
                f"What answers at {self.address} is not the server that {self.ca} vouches for"
                f" ({error.verify_message}): check the address, and the certificate of the server."
            ) from None
        except (ssl.SSLEOFError, ConnectionError) as error:
            # A server with TLS hangs up on whoever speaks without.
            if self.ca is not None or not isinstance(error, http.client.RemoteDisconnected):
                return False
            healthy = False
        except (ssl.SSLError, http.client.HTTPException):
            healthy = False
        except OSError:
            return False
        finally:
            connection.close()
        if not healthy:
            raise RunError(
                f"What answers at {self.address} is no server of a fleet"
                f"{' without TLS' if self.ca is None else ''}: stop it, or give another address."
            )
        return True

    def sync(self, keys: Mapping[str, Path]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Makes the register of SuperNodes equal a list of devices.

        A device whose key was renewed is unregistered and registered again; it gets another node id.

        Args:
            keys: name of each device that may take part to its public key file in OpenSSH's format.

        Returns:
            Names of those registered and of those unregistered, sorted.
        """
        from flwr.supercore.primitives.asymmetric import public_key_to_bytes

        from fedmetaalign.gateways.certificates import read_public_key

        wanted = {name: public_key_to_bytes(read_public_key(path)) for name, path in sorted(keys.items())}
        nodes = self.registered()
        removed = [node for node in nodes if wanted.get(node.name) != node.key]
        for node in removed:
            self.unregister(node.number)
        kept = {node.name for node in nodes} - {node.name for node in removed}
        added = [name for name in wanted if name not in kept]
        for name in added:
            self.register(name, wanted[name])
        return tuple(added), tuple(node.name for node in removed)

    def submit(self, app: Path, config: Mapping[str, str | int | float | bool]) -> int:
        """Starts a run of an app, and returns the run's id.

        Args:
            app: its folder, which holds a pyproject.toml.
            config: replaces values of the app's own run configuration; it has to have these keys.
        """
        from flwr.cli.build import build_fab_from_disk
        from flwr.common.serde import fab_to_proto, user_config_to_proto
        from flwr.proto.control_pb2 import StartRunRequest
        from flwr.supercore.fab import Fab

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what Flower itself uses
            content = build_fab_from_disk(app)
        request = StartRunRequest(
            fab=fab_to_proto(Fab(sha256(content).hexdigest(), content, {})),
            override_config=user_config_to_proto(dict(config)),
        )
        with self._control() as control:
            return int(control.StartRun(request).run_id)

    def status(self, run: int) -> Status:
        """Tells how a run stands."""
        from flwr.proto.control_pb2 import ListRunsRequest

        with self._control() as control:
            status = control.ListRuns(ListRunsRequest(run_id=run)).run_dict[run].status
        return Status(status.status, status.sub_status, status.details)

    def stop_run(self, run: int) -> None:
        """Stops a run, unless it has ended meanwhile, as one does whose server was killed."""
        import httpx
        from flwr.proto.control_pb2 import StopRunRequest
        from flwr.supercore.error import ApiErrorCode, FlowerError

        with self._control() as control:
            try:
                control.StopRun(StopRunRequest(run_id=run))
            except httpx.HTTPStatusError as error:
                said = FlowerError.from_json(error.response.text)
                if said is None or said.code != ApiErrorCode.RUN_ALREADY_FINISHED:
                    raise

    def unfinished(self) -> dict[int, str]:
        """Returns the id of each run that is not finished, and the `out` that it was given, "" if none."""
        from flwr.proto.control_pb2 import ListRunsRequest

        with self._control() as control:
            runs = control.ListRuns(ListRunsRequest()).run_dict
        return {
            run: about.override_config["out"].string if "out" in about.override_config else ""
            for run, about in runs.items()
            if about.status.status != "finished"
        }

    def registered(self) -> tuple[Node, ...]:
        """Returns the SuperNodes that may take part, sorted by name."""
        from flwr.proto.control_pb2 import ListNodesRequest

        with self._control() as control:
            nodes = control.ListNodes(ListNodesRequest()).nodes_info
        present = [node for node in nodes if node.status != "unregistered"]
        return tuple(
            Node(node.node_id, node.name, node.public_key)
            for node in sorted(present, key=lambda node: (node.name, node.node_id))
        )

    def register(self, name: str, key: bytes) -> int:
        """Lets a device take part, and returns its node's id.

        Args:
            name: of the device.
            key: public, as PEM.
        """
        from flwr.proto.control_pb2 import RegisterNodeRequest

        with self._control() as control:
            return int(control.RegisterNode(RegisterNodeRequest(public_key=key, name=name)).node_id)

    def unregister(self, node: int) -> None:
        """Takes a node's right to take part away, also from one that is connected."""
        from flwr.proto.control_pb2 import UnregisterNodeRequest

        with self._control() as control:
            control.UnregisterNode(UnregisterNodeRequest(node_id=node))

    @contextmanager
    def _control(self) -> "Iterator[ControlHttpClient]":
        """A client of the Control API; what goes wrong with it becomes a sentence."""
        import httpx
        from flwr.supercore.control import ControlHttpClient
        from flwr.supercore.error import ApiErrorCode, FlowerError
        from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

        try:
            with ControlHttpClient.from_server_address(
                self.address,
                insecure=self.ca is None,
                root_certificates=None if self.ca is None else self.ca.read_bytes(),
                interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
            ) as control:
                yield control
        except httpx.HTTPStatusError as error:
            said = FlowerError.from_json(error.response.text)
            reason = said.message.rstrip(".") if said else f"HTTP {error.response.status_code}"
            if said and said.code == ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:
                reason = "the key was registered before, and none comes back; revoke the device, enrol it again"
            raise RunError(f"The SuperLink at {self.address} refuses: {reason}.") from None
        except httpx.HTTPError as error:
            raise RunError(f"The SuperLink at {self.address} cannot be reached: {error}.") from None


def here(address: str, certificates: Certificates | None) -> SuperLink:
    """Returns the SuperLink that listens at an address, or could, as it is reached from its own machine.

    Raises:
        RunError: it would do without TLS where other machines reach it.
    """
    host, port = addresses.split_address(address)
    if certificates is None and not addresses.is_loopback(host):
        raise RunError(f"Without TLS a server listens on loopback only, not on {host}: use a fleet folder.")
    with suppress(ValueError):  # a name
        if (ip := ip_address(host)).is_unspecified:
            address = f"127.0.0.1:{port}" if ip.version == 4 else f"[::1]:{port}"
    return SuperLink(address, certificates.ca if certificates else None)


@contextmanager
def started(address: str, folder: Path, certificates: Certificates | None, *locks: Lock) -> Iterator[SuperLink]:
    """Runs a SuperLink for as long as the context lasts.

    Only SuperNodes with a registered key may take part, unless there is no TLS.

    Args:
        address: HOST:PORT to listen on.
        folder: for its database, its log and Flower's own files; made if need be.
        certificates: for TLS; None to do without, on loopback only.
        *locks: are held by it, too.

    Raises:
        RunError: it cannot be started.
    """
    superlink = here(address, certificates)
    host, port = addresses.split_address(address)
    if superlink.answers():
        raise RunError(f"A SuperLink runs at {address} already: stop it, or give another port.")
    secured = ["--insecure"]
    if certificates:
        secured = ["--enable-supernode-auth", "--ssl-ca-certfile", str(certificates.ca)]
        secured += ["--ssl-certfile", str(certificates.certificate), "--ssl-keyfile", str(certificates.key)]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "superlink.log"
    with log.open("wb") as output:
        process = processes.launch(
            "flower-superlink",
            ["--host", host, "--port", str(port), "--database", str(folder / "state.db"), *secured, *_RUNTIME],
            folder / "flower",
            output,
            *locks,
        )
    try:
        deadline = time.monotonic() + START_UP
        while process.poll() is None and not superlink.answers():
            if time.monotonic() > deadline:
                raise RunError(f"The SuperLink at {address} does not answer: look into {log}.")
            time.sleep(0.05)
        if process.returncode is not None:
            with log.open("rb") as lines:
                raise RunError(f"The SuperLink at {address} ended: {processes.last_words(lines)}; see {log}.")
        for run in superlink.unfinished():
            # A run does not outlast its SuperLink, but devices would still do what it asked them last.
            superlink.stop_run(run)
        yield superlink
    finally:
        processes.stop(process)
