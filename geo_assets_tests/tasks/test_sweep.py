"""What killed processes left behind goes; what is at work or belongs to others stays."""

import os
import subprocess
import sys
import time

from geo_assets.model import path
from geo_assets.storage import Storage
from geo_assets.tasks.sweep import sweep_once, sweep_parts

OLD = time.time() - 2 * 86_400
KILLED_WHILE_WRITING = """
import os, signal, sys
from geo_assets.storage import Storage
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
Storage(sys.argv[1]).write("receipts/composite/a/b.json", b"half")
"""


def aged(file):
    os.utime(file, (OLD, OLD))
    return file


def test_sweep_parts_when_a_writer_was_killed_then_its_file_goes_after_a_day(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)], check=False)
    (part,) = tmp_path.rglob("*.part")
    storage = Storage(str(tmp_path))
    assert sweep_parts(storage) == 0
    aged(part)
    assert sweep_parts(storage) == 1
    assert list(tmp_path.rglob("*.part")) == []


def test_sweep_parts_when_files_are_of_others_then_they_stay(tmp_path):
    storage = Storage(str(tmp_path))
    storage.write("cells/a.parquet", b"done")
    foreign = [
        tmp_path / "cells" / "mine.part",
        tmp_path / "cells" / "a.parquet",
        tmp_path / "cube" / f"x.{'0' * 32}.part",
        tmp_path / "mine" / f"x.{'0' * 32}.part",
    ]
    for file in foreign:
        file.parent.mkdir(exist_ok=True)
        file.touch()
        aged(file)
    assert sweep_parts(storage) == 0
    assert all(file.exists() for file in foreign)


def test_sweep_once_when_a_process_asks_again_then_the_folders_are_not_walked_again(tmp_path, monkeypatch):
    storage, walks, walk = Storage(str(tmp_path)), [], os.walk
    monkeypatch.setattr(os, "walk", lambda top: [walks.append(top), *walk(top)][1:])
    for _ in range(3):
        sweep_once(storage)
    assert sorted(walks) == sorted(storage.uri(folder) for folder in path.FOLDERS)


def test_sweep_parts_when_a_file_cannot_be_removed_then_the_others_are(tmp_path, monkeypatch):
    (tmp_path / "cells").mkdir()
    names = [f"cells/{n}.json.{n * 32}.part" for n in "ab"]
    for name in names:
        (tmp_path / name).touch()
        aged(tmp_path / name)
    unlink = os.unlink

    def refusing(file):
        if "a.json" in str(file):
            raise OSError(30, "Read-only file system")
        unlink(file)

    monkeypatch.setattr(os, "unlink", refusing)
    assert sweep_parts(Storage(str(tmp_path))) == 1
    assert list((tmp_path / "cells").iterdir()) == [tmp_path / names[0]]


def test_sweep_parts_when_there_is_nothing_yet_or_no_disk_then_nothing_happens(tmp_path):
    assert sweep_parts(Storage(str(tmp_path / "none"))) == 0
    assert sweep_parts(Storage("memory://sweep")) == 0
