"""The lock of a local cube, whose file a look at an empty storage takes away again."""

import threading
import time
from pathlib import Path

from geo_assets.doors.doctor.outputs import remove_lock
from geo_assets.stores.icechunk import _lock


def test_lock_when_its_file_is_removed_by_who_held_it_then_two_never_hold_it(tmp_path):
    uri, holders, most = str(tmp_path / "cube"), [], []
    entered, leave = threading.Event(), threading.Event()

    def hold(first):
        with _lock(uri):
            holders.append(1)
            most.append(len(holders))
            if first:
                entered.set()
                leave.wait(10)
                holders.pop()  # from here on it does not matter to it
                Path(uri + ".lock").unlink()
            else:
                time.sleep(0.3)
                holders.pop()

    threads = [threading.Thread(target=hold, args=(n == 0,)) for n in range(3)]
    threads[0].start()
    entered.wait(10)
    threads[1].start()  # waits for the file that is there
    time.sleep(0.2)
    leave.set()
    while Path(uri + ".lock").exists() and threads[0].is_alive():
        pass
    threads[2].start()  # finds none, or the one that the second made
    for thread in threads:
        thread.join(10)
    assert most == [1, 1, 1]


def test_remove_lock_when_somebody_holds_it_then_it_stays(tmp_path):
    file = tmp_path / "cube.lock"
    with _lock(str(tmp_path / "cube")):
        remove_lock(file)
        assert file.exists()
    remove_lock(file)
    assert not file.exists()
    remove_lock(file)
