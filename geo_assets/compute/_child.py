"""A worker process: runs tasks that come through a socket, one at a time, until the other end is gone."""

import os
from multiprocessing.connection import Connection

from geo_assets.compute._life import end_with
from geo_assets.compute._worker import STARTED, answer


def main(tasks: int, life: int) -> None:
    """Serve.

    Args:
        tasks: Descriptor of the socket that tasks come through.
        life: Descriptor of a pipe whose other end the driver holds: once it is gone, so is this process; a task may take
            hours, and nobody would take what it returns.
    """
    os.set_inheritable(tasks, False)  # else what a task starts would keep it open after this process's end
    end_with(life)
    connection = Connection(tasks)
    while True:
        try:
            blob = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(STARTED)  # from here on its time counts: starting and importing took none of it
        connection.send_bytes(answer(blob))
