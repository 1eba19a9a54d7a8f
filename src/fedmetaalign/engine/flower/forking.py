"""What starts the process of each answer on a device: Flower's SuperExec, here with forks.

Python that is started anew spends two to three seconds of a core on imports before it looks at its message. A
fork has them from this process, and shares their memory. Nothing is computed here that would start threads of
JAX or Polars, which do not outlive a fork.
"""

import gc
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

from flwr.supercore.cli.flower_superexec import flower_superexec
from flwr.supercore.constant import TaskType
from flwr.supercore.superexec import run_superexec
from flwr.supercore.superexec.executor.subprocess_executor import SubprocessExecutor
from flwr.supercore.superexec.executor.types import ExecutionSpec, LaunchResult
from flwr.supercore.tls import validate_and_resolve_root_certificates
from flwr.supernode.runtime.run_clientapp import run_clientapp

from fedmetaalign.engine.flower import client_app  # noqa: F401 - what every answer needs


class Forking(SubprocessExecutor):
    """Starts the processes of a device's app as forks of this one."""

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        """Starts the process of one answer."""
        if spec.task_type != TaskType.CLIENT_APP:
            return super().launch(spec)
        if os.fork() == 0:
            _answer(spec)
        return LaunchResult.accepted()

    def reconcile(self) -> None:
        """Lets go of those that have ended; Flower calls this before each look for work."""
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _answer(spec: ExecutionSpec) -> NoReturn:
    """Does what `flwr-clientapp` does, and ends this process."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        sys.argv = ["flwr-clientapp", "--parent-pid", str(spec.parent_pid)]
        run_clientapp(
            runtime_api_address=spec.runtime_api_address,
            token=spec.token,
            insecure=spec.insecure,
            certificates=validate_and_resolve_root_certificates(spec.root_certificates_path, spec.insecure),
            parent_pid=spec.parent_pid,
            runtime_dependency_install=spec.runtime_dependency_install,
        )
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Runs `flower-superexec` with forks."""
    run_superexec.get_executor = lambda *_, **__: Forking()  # type: ignore[attr-defined]
    gc.freeze()  # or the first collection of each fork would copy what it shares
    flower_superexec()


if __name__ == "__main__":
    main()
