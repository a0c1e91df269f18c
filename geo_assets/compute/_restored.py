"""What a library changes of this process while it is used, and has no right to keep."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def restored(taken: signal.Signals) -> Iterator[None]:
    """Put back the environment, and what a signal does, afterwards."""
    before, handler = dict(os.environ), signal.getsignal(taken)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(taken, handler)
