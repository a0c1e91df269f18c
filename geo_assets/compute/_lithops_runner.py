"""The interpreter that forks for every call on this machine: it imports once what each of them needs."""

import contextlib
import importlib
import sys

MAIN = "import sys; sys.path[:] = {path!r}; from geo_assets.compute._lithops_runner import main; main()"


def main() -> None:
    """Run a job of Lithops: the arguments are a module to import, ``run_job`` and the job's file."""
    with contextlib.suppress(ImportError):  # then each task says so itself
        importlib.import_module(sys.argv.pop(1))
    from lithops.localhost.v1 import runner

    runner.main()
