"""The files of a training: checkpoint, report and donors, and the state that it goes on from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradcamo.errors import GradcamoError
from gradcamo.files.landing import refuse_unwritable
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.progress import TrainingProgress, Watch
from gradcamo.settings import TrainSettings
from gradcamo.training.report import report_text, write_report
from gradcamo.training.train import train


def train_and_save(
    plate_csv: str | Path,
    out: str | Path,
    settings: TrainSettings | None = None,
    say: Callable[[str], Any] = print,
    progress: Callable[[TrainingProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    resume: bool = False,
) -> Checkpoint:
    """`train`, then write the checkpoint and, beside it, its report and a donor bank.

    While the training runs, ``OUT.state`` holds what ``resume`` needs; it is removed at the end.
    """
    out = Path(out)
    refuse_unwritable(out, (".safetensors",), [plate_csv])
    state_file = out.with_name(out.name + ".state")
    checkpoint = train(plate_csv, settings, progress, stop, state_file, resume)
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return checkpoint  # of several processes that train together one writes
    try:
        checkpoint.save(out)
    except GradcamoError as error:
        kept = f". The training itself is kept in {state_file}: --resume goes on from there"
        raise GradcamoError(f"{error}{kept}") from error
    write_report(checkpoint.recipe, out)
    if checkpoint.recipe["ended"] != "stopped":
        state_file.unlink(missing_ok=True)
    say(report_text(checkpoint.recipe))
    _keep_donors(plate_csv, checkpoint, out, say, Watch(progress, stop))
    return checkpoint


def _keep_donors(
    plate_csv: str | Path,
    checkpoint: Checkpoint,
    out: Path,
    say: Callable[[str], Any],
    watch: Watch,
) -> None:
    """The donor bank beside a checkpoint; a training is not lost for want of it."""
    from gradcamo.causal.bank_file import bank_beside
    from gradcamo.training.plate_donors import plate_donors

    later = "'gradcamo donors' makes a donor bank for it"
    if checkpoint.recipe["ended"] == "stopped":
        say(f"stopped: {later}")
        return
    try:
        bank = plate_donors(plate_csv, checkpoint, progress=watch.stage("donors"))
        bank.save(bank_beside(out))
    except GradcamoError as error:
        say(f"Note: no donor bank was written ({error}); {later}")
    else:
        say(f"{bank}, written to {bank_beside(out)}")
