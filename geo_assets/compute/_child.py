"""A worker process: runs tasks that come through a socket, one at a time, until the other end is gone."""

import os
import threading
from multiprocessing.connection import Connection

from geo_assets.compute._worker import answer


def main(tasks: int, life: int) -> None:
    """Serve.

    Args:
        tasks: Descriptor of the socket that tasks come through.
        life: Descriptor of a pipe whose other end the driver holds: once it is gone, so is this process.
    """
    os.set_inheritable(tasks, False)  # else what a task starts would keep them open after this process's end
    os.set_inheritable(life, False)
    threading.Thread(target=_die_with, args=(life,), daemon=True).start()
    connection = Connection(tasks)
    while True:
        try:
            blob = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(answer(blob))


def _die_with(life: int) -> None:
    """A task may take hours, and nobody would take what it returns."""
    os.read(life, 1)
    os._exit(1)
