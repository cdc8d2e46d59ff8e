"""The parent's end of a child: starts the process, asks, and waits for answers with patience."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LONGEST = 300.0  # seconds: who has not answered by then has failed
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Parent:
    """Starts `fastbp.bench.child` with a module and talks to it.

    Parameters
    ----------
    module : str
        Dotted name of the program's module.
    threads : int or None
        Threads it is given; None where it chooses.
    flush : bool
        Whether subnormal numbers are flushed for it.
    """

    def __init__(self, module: str, threads: int | None, flush: bool) -> None:
        arguments = [module, str(threads or 0), "flush" if flush else "as is"]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("child.py")), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=_environment(threads),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def tell(self, *request: Any) -> None:
        """Send a request."""
        with contextlib.suppress(BrokenPipeError):  # whose end shows in the answer
            print(json.dumps(request), file=self._requests, flush=True)

    def ask(self, *request: Any) -> dict[str, Any]:
        """Send a request and return its answer."""
        self.tell(*request)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Return the next answer, of status "failed" where none comes; the child is then ended."""
        readable, _, _ = select.select([self._answers], [], [], LONGEST)
        if not readable:
            self._process.kill()
            self._process.wait()
            return {"status": "failed", "note": f"no answer in {LONGEST:g} s"}
        line = self._answers.readline()
        return {"note": "", **json.loads(line)} if line else self._failure()

    def _failure(self) -> dict[str, Any]:
        code = self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip() or "no message").splitlines()[-1]
        return {"status": "failed", "note": f"ended with {code}: {last}"}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers, self._errors):
            with contextlib.suppress(BrokenPipeError):  # a request that it did not live to read
                stream.close()


def _environment(threads: int | None) -> dict[str, str]:
    """Return the environment of a child: the parent's import path, and the number of threads.

    Without a number it is the user's own, as for a program of his.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    if threads is not None:
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    return environment
