"""What `processes.launch` starts: one of Flower's programs, which ends when its standard input does."""

import os
import signal
import sys
import threading
import time

from fedmetaalign.gateways import access_filter, processes, supernode


def main() -> None:
    """Runs the program that the command line names, for as long as standard input is open."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.argv = sys.argv[1:]
    programs = {"flower-superlink": access_filter.serve, "flower-supernode": supernode.serve}
    programs[sys.argv[0]]()


def _end_with_input() -> None:
    os.read(0, 1)
    # Not raise_signal, which would let the main thread finish a sleep of up to 20 seconds.
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(processes.GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
