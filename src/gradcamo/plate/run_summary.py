"""Where a run over a plate stands, and what it came to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradcamo.errors import GradcamoError
from gradcamo.files.landing import landing, to_json
from gradcamo.files.seal import BLANK


@dataclass(frozen=True)
class PlateProgress:
    """Where a run stands: stacks ``done`` (failed ones too) of ``total``, and time left in s.

    ``stage`` says what goes on; ``seconds_left`` is None until a stack is done.
    """

    stage: str
    done: int
    total: int
    failed: int = 0
    cells: int = 0
    seconds_left: float | None = None


def counting(
    stage: str, progress: Callable[[PlateProgress], Any] | None
) -> Callable[[int, int], None]:
    """What tells ``progress`` of a stage as stacks are done, with the time that is left."""
    start = time.monotonic()

    def tell(done: int, total: int) -> None:
        if progress is not None:
            left = (time.monotonic() - start) * (total - done) / done
            progress(PlateProgress(stage, done, total, seconds_left=left))

    return tell


@dataclass(frozen=True)
class PlateSummary:
    """What a run came to.

    ``failed`` tells per stack why it failed; ``trouble`` what stopped the whole run, if anything
    did; ``computed`` is how many of the ``stacks`` were not there before; ``causal`` what causal
    attention came to, in words, where it was asked; ``mended`` files that were damaged and were
    made again; ``aside`` copies of tables that were changed since they were written.
    """

    out: Path
    stacks: int
    computed: int
    cells: int
    seconds: float
    failed: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    trouble: str = ""
    cautions: tuple[str, ...] = ()
    causal: str = ""
    mended: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """0: every stack is in the table; 1: some are not, none has a cell, or it was stopped."""
        return int(bool(self.failed or self.missing or self.trouble or not self.cells))

    def __str__(self) -> str:
        landed = self.stacks - len(self.failed) - len(self.missing)
        lines = [f"{landed} of {self.stacks} stacks, {self.cells:,} cells in {self.out}"]
        if earlier := landed - self.computed:
            lines[0] += f" ({earlier} stacks were there already)"
        lines += [f"damaged, and made again: {path}" for path in self.mended]
        lines += [f"a table was changed, by hand or by damage: kept as {a}" for a in self.aside]
        lines += [f"failed: {name}: {reason}" for name, reason in self.failed.items()]
        if self.trouble:
            lines.append(f"stopped: {self.trouble}")
        if self.missing:
            lines.append(f"not done: {', '.join(self.missing[:6])}{' …' * (len(self.missing) > 6)}")
        lines += self.causal.splitlines()
        return "\n".join(lines + [f"caution: {caution}" for caution in self.cautions])


def write_summary(summary: PlateSummary) -> None:
    """``summary.json`` for scripts and the report, if there is room for it."""
    described = {
        "stacks": summary.stacks,
        "computed": summary.computed,
        "cells": summary.cells,
        "seconds": round(summary.seconds, 1),
        "failed": summary.failed,
        "missing": summary.missing,
        "trouble": summary.trouble,
        "cautions": summary.cautions,
        "causal": summary.causal.splitlines(),
        "mended": summary.mended,
        "aside": summary.aside,
        "exit_status": summary.exit_status,
        "seal": BLANK,
    }
    # on a full disk the summary itself still says so
    with contextlib.suppress(GradcamoError), landing(summary.out / "summary.json") as scratch:
        scratch.write_text(to_json(described), encoding="utf-8")
