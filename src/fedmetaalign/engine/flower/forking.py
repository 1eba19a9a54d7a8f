"""What answers a device's messages: Flower's SuperExec and ClientApp, in processes that stay up between them.

Python that is started anew spends two to three seconds of a core on imports before it looks at its message, and
one more on what JAX compiles. This process imports, and forks another that answers one message after the other.
Should that die, or another run begin, the next message gets a new fork. Nothing is computed here that
would start threads of JAX or Polars, which do not outlive a fork.

A line on standard input says that there is a message. It ends when that does, and the fork with its pipe.
"""

import argparse
import gc
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import NoReturn

import httpx
from flwr.app import Context, Message
from flwr.app.error import Error
from flwr.cli.install import install_from_fab
from flwr.clientapp.utils import get_load_client_app_fn
from flwr.common.constant import ErrorCode, SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
from flwr.supercore.retry import RetryInvoker, make_simple_http_retry_invoker
from flwr.supercore.run import Run
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from fedmetaalign.engine.flower import (
    client_app,  # noqa: F401 - what every answer needs
    rehearsal,
)
from fedmetaalign.gateways.processes import GRACE

_LOOK = 60.0
"""Seconds after which it looks for a message that nobody has told it of."""

App = Callable[[Message, Context], Message]


class Answerer:
    """A fork that answers the messages of one run, for as long as this process lives.

    Attributes:
        run: Flower's id of it. The next one begins with none of what this one has left in memory.
    """

    def __init__(self, address: str, run: int) -> None:
        self.run = run
        tokens, self._tokens = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._tokens)
            _answer_all(address, tokens)
        os.close(tokens)

    @property
    def ended(self) -> bool:
        """Whether its process has ended; lets go of it."""
        if self._process:
            with suppress(ChildProcessError):
                if not os.waitpid(self._process, os.WNOHANG)[0]:
                    return False
            self._process = 0
        return True

    def answer(self, token: str) -> None:
        """Hands over a message to be answered."""
        with suppress(BrokenPipeError):  # Flower finds out that it has ended, and tells the server
            os.write(self._tokens, f"{token}\n".encode())

    def close(self) -> None:
        """Ends it."""
        os.close(self._tokens)
        if not self.ended:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)


def main() -> None:
    """Takes what there is to do whenever it is told so."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runtime-api-address", required=True)
    address = parser.parse_known_args()[0].runtime_api_address  # the rest is the SuperExec's
    client = _client(address, None, RuntimeVersionHttpInterceptor(component_name="SuperExec"))
    gc.freeze()  # or the first collection of each fork would copy what it shares
    answerer: Answerer | None = None
    while _told():
        try:
            found = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        except httpx.HTTPError:  # the SuperNode is busy, or ends: then standard input does, too
            continue
        if answerer and (answerer.ended or (found.token and found.task.run_id != answerer.run)):
            answerer.close()
            answerer = None
        if found.token:
            answerer = answerer or Answerer(address, found.task.run_id)
            answerer.answer(found.token)


def _told() -> bool:
    """Waits until there may be a message; False where there will be none any more."""
    ready = select.select([0], [], [], _LOOK)[0]
    return not ready or bool(os.read(0, 4096))


def _client(address: str, retries: RetryInvoker | None, *interceptors: object) -> RuntimeHttpClient:
    return RuntimeHttpClient.from_server_address(
        address,
        insecure=True,  # it is a loopback address
        root_certificates=None,
        interceptors=interceptors,  # type: ignore[arg-type]
        retry_invoker=retries,
    )


def _answer_all(address: str, tokens: int) -> NoReturn:
    """Answers each message whose token comes, until none can come any more; ends this process."""
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["flwr-clientapp"]
        waiting: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=_read, args=[tokens, waiting], daemon=True).start()
        loaded: list[App] = []
        while token := waiting.get():
            _answer(address, token, loaded)
            if waiting.empty():
                rehearsal.rehearse()
        status = 0
    except (KeyboardInterrupt, SystemExit):  # Flower's way to say that nobody wants the answer any more
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _read(tokens: int, waiting: "SimpleQueue[str]") -> None:
    """Puts tokens into the queue as they come, and in the end an empty one; ends this process soon after."""
    with os.fdopen(tokens, encoding="utf-8") as lines:
        for line in lines:
            waiting.put(line.strip())
    waiting.put("")
    threading.Event().wait(GRACE)  # for the answer that is being made
    os._exit(1)


def _answer(address: str, token: str, loaded: list[App]) -> None:
    """Does what `flwr-clientapp` does for one message.

    Args:
        address: of the SuperNode's Runtime API.
        token: the message's.
        loaded: the app, once it is.
    """
    version = RuntimeVersionHttpInterceptor(component_name="flwr-clientapp")
    retries = make_simple_http_retry_invoker()
    with _client(address, retries, version, RuntimeTokenHttpInterceptor(token)) as client:
        heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
        heartbeat.start()
        try:
            message, context, run, fab = pull_task_input(client)
            status, details = SubStatus.COMPLETED, ""
            try:
                loaded[:] = loaded or [_load(run, fab)]
                reply = loaded[0](message, context)
            except Exception as error:
                traceback.print_exc()
                status, details = SubStatus.FAILED, f"{type(error)}:<'{error}'>"
                reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, details), reply_to=message)
            push_message(client, reply, context)
            push_task_output(client, context, status, details)
        finally:
            heartbeat.stop()


def _load(run: Run, fab: Fab) -> App:
    """Loads the app that the server names."""
    install_from_fab(fab.content, skip_prompt=True)
    return get_load_client_app_fn("", None, multi_app=True)(run.fab_id, run.fab_version, fab.hash_str)


if __name__ == "__main__":
    main()
