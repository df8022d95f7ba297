"""UMAP in a process of its own: it can be stopped at any moment, and no window waits for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np

from gradcamo.errors import GradcamoError

POLL_SECONDS = 0.1
_DONE, _FAILED = "done", "failed: "
_EPOCHS = re.compile(r"completed\s+(\d+)\s*/\s*(\d+)\s+epochs")
_STAGES = {
    "simplicial set": "looking for neighbours",
    "Nearest Neighbor": "looking for neighbours",
    "Construct embedding": "laying out",
}


class UmapProcess:
    """A helper that lays profiles out, started when it is first needed and used again.

    The first layout takes some seconds more: UMAP is compiled when it is first used.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lines: SimpleQueue[str] = SimpleQueue()

    def steps(
        self, profiles: np.ndarray, seed: int, stopped: Callable[[], bool]
    ) -> Iterator[str | np.ndarray]:
        """What is being done, in words, and at last the layout.

        Parameters
        ----------
        profiles : (N, d)
        seed : int
        stopped : asked ten times a second; once it says yes, the work ends there

        Yields
        ------
        str, and last (N, 2) float32 as `umap_layout` gives it

        Raises
        ------
        GradcamoError
            As `umap_layout`, or if the process cannot be started or dies.
        """
        if self._process is None:
            yield "starting UMAP (the first time takes longer)"
            self._start()
        with tempfile.TemporaryDirectory(prefix="gradcamo-umap-") as folder:
            given, made = Path(folder) / "profiles.npy", Path(folder) / "layout.npy"
            np.save(given, np.asarray(profiles, np.float32))
            self._ask({"profiles": str(given), "layout": str(made), "seed": seed})
            while True:
                if stopped():
                    self.close()
                    return
                line = self._next_line()
                if line == _DONE:
                    break
                if line.startswith(_FAILED):
                    raise GradcamoError(line.removeprefix(_FAILED))
                if line:
                    yield line
            yield np.load(made)

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> None:
        try:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise GradcamoError(f"a process for UMAP could not be started: {error}") from error
        self._process, self._lines = process, SimpleQueue()
        threading.Thread(target=_forward, args=(process, self._lines), daemon=True).start()

    def _ask(self, request: dict[str, str | int]) -> None:
        assert self._process is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except (OSError, ValueError) as error:
            self.close()
            raise GradcamoError("the process for UMAP is gone: try again") from error

    def _next_line(self) -> str:
        try:
            return self._lines.get(timeout=POLL_SECONDS)
        except Empty:
            if self._process is None or self._process.poll() is None:
                return ""
        self.close()
        raise GradcamoError(
            "the process for UMAP ended before its time (out of memory?): try fewer cells"
        )


def _forward(process: subprocess.Popen[str], lines: SimpleQueue[str]) -> None:
    try:
        for line in process.stdout or ():
            if words := _in_words(line.strip()):
                lines.put(words)
    except ValueError:  # closed while it was read
        pass


def _in_words(line: str) -> str:
    """What UMAP prints, in words for a window."""
    if line == _DONE or line.startswith(_FAILED):
        return line
    if epochs := _EPOCHS.search(line):
        return f"laying out: {100 * int(epochs[1]) // int(epochs[2])} %"
    return next((words for said, words in _STAGES.items() if said in line), "")


def serve() -> None:
    """Answer one request a line until the pipe is closed."""
    from gradcamo.profiles.embed import umap_layout

    for line in sys.stdin:
        request = json.loads(line)
        try:
            profiles = np.load(request["profiles"])
            np.save(request["layout"], umap_layout(profiles, request["seed"], verbose=True))
            print(_DONE)
        except Exception as error:  # told to whoever asked
            print(_FAILED + " ".join(str(error).split()))


if __name__ == "__main__":
    serve()
