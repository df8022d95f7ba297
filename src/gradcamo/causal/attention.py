"""Causal attention: what the prediction of each cell of a stack owes to its regions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gradcamo.causal.regions import raw_cells
from gradcamo.causal.shares import columns
from gradcamo.cells.crops import CellCrops, refuse_depth
from gradcamo.cells.windows import held
from gradcamo.columns import CAUSAL_COLUMNS, CAUSAL_KNOWN_AS, TEXT, VOLUME_SHARES
from gradcamo.datatypes import ZStack, refuse_no_stack
from gradcamo.errors import GradcamoError
from gradcamo.settings import CausalSettings

if TYPE_CHECKING:
    from gradcamo.causal.bank import DonorBank
    from gradcamo.causal.donors import Place
    from gradcamo.causal.game import Played
    from gradcamo.causal.question import Question
    from gradcamo.networks.checkpoint import Checkpoint

COLUMNS = ("image", "label", "predicted", *CAUSAL_COLUMNS)
"""Of the table of `causal_attention`."""


@dataclass(frozen=True, eq=False)
class CausalBatch:
    """Some cells of a stack.

    ``table`` has the columns `COLUMNS`, one row a cell; ``games`` are what the network said, row
    by row (empty for cells that have no game). ``done`` of ``total`` cells are there;
    ``cautions`` say what to know about the donors and the network.
    """

    table: pd.DataFrame
    games: list[Played]
    done: int
    total: int
    cautions: tuple[str, ...] = ()


def causal_attention(
    stack: ZStack,
    labels: Any,
    checkpoint: Checkpoint | str | Path,
    bank: DonorBank,
    settings: CausalSettings | None = None,
    only: Collection[int] | None = None,
    plate: str | None = None,
    well: str | None = None,
) -> pd.DataFrame:
    """What the prediction of every cell owes to itself, its neighbours and the background.

    Regions of a crop are swapped for the same regions of other cells, donors of a contrasting
    class and of the same one, and the network is asked what it says then; Shapley values over the
    three regions share the difference out. Forward passes only: any network will do.

    Parameters
    ----------
    stack : ZStack
        (C, Z, Y, X).
    labels : array of int
        (Z, Y, X), 0 outside cells.
    checkpoint : Checkpoint or path
        The network that is asked; ``"bundled"`` for the small one of this package.
    bank : DonorBank
        Of training wells, with the same crop, planes and channels.
    settings : CausalSettings, optional
        How often donors are drawn, and for which class.
    only : collection of int, optional
        Labels to ask about; all by default.
    plate, well : str, optional
        Where the stack comes from, so that donors of its own well are left out; by default the
        bank knows them if the stack is one of its own.

    Returns
    -------
    DataFrame
        One row a cell, in ascending label. ``causal_own``, ``causal_neighbour`` and
        ``causal_background`` sum to 1; they are NaN for cells that are not answered,
        ``causal_reason`` says why where there was no game. Effects are in logits.
        ``attrs["recipe"]`` says how it was made; its ``cautions`` what to know about the donors
        and the network.

    Raises
    ------
    GradcamoError
        If stack, labels, checkpoint and bank do not fit, target and reference are one, a plate is
        named without a well or a well without a plate, a channel holds NaN, the network is random
        in eval mode, or softmax is inside.

    Examples
    --------
    >>> import gradcamo as gc
    >>> stack = gc.read_stack("plate/images/E03_s1.ome.tif")
    >>> labels = gc.read_labels("plate/labels/E03_s1.ome.tif")
    >>> bank = gc.DonorBank.load("donors.npz")
    >>> network = gc.Checkpoint.load("bundled")
    >>> asked = gc.causal_attention(stack, labels, network, bank, gc.CausalSettings(draws=1))
    >>> len(asked), "causal_own" in asked
    (18, True)
    """
    from gradcamo.networks.resolve import as_checkpoint

    refuse_no_stack(stack, "causal attention")
    checkpoint = as_checkpoint(checkpoint, "causal attention")
    settings = settings or CausalSettings()
    crops = CellCrops(held(stack.select(checkpoint.channels)), labels, checkpoint.crop)
    batches = causal_batches(crops, checkpoint, bank, settings, only, plate, well)
    return gather(batches, causal_recipe(checkpoint, bank, settings))


def gather(batches: Iterable[CausalBatch], recipe: dict[str, Any]) -> pd.DataFrame:
    """Rows of all batches in ascending label, with the recipe; of their games nothing is kept."""
    tables: list[pd.DataFrame] = []
    said: dict[str, None] = {}
    for batch in batches:
        tables.append(batch.table)
        said |= dict.fromkeys(batch.cautions)
    table = pd.concat(tables, ignore_index=True)
    table = table.sort_values("label", kind="stable", ignore_index=True)
    table.attrs["recipe"] = recipe | {"cautions": list(said)}
    return table


def causal_recipe(
    checkpoint: Checkpoint, bank: DonorBank, settings: CausalSettings
) -> dict[str, Any]:
    """How causal columns were made."""
    return {
        "software": f"napari-gradcamo {version('napari-gradcamo')}",
        "checkpoint": checkpoint.hash,
        "bank": bank.hash,
        "bank_recipe": dict(bank.recipe),
        "control": bank.control,
        "channels": list(bank.channels),
        "bank_plates": sorted({origin.plate for origin in bank.stacks}),
        "bank_medians": bank.control_medians,
        "settings": settings.model_dump(),
        "known_as": dict(CAUSAL_KNOWN_AS),
    }


def causal_batches(
    crops: CellCrops,
    checkpoint: Checkpoint,
    bank: DonorBank,
    settings: CausalSettings | None = None,
    only: Collection[int] | None = None,
    plate: str | None = None,
    well: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    between: Callable[[], None] = lambda: None,
) -> Iterator[CausalBatch]:
    """The same as `causal_attention`, as cells are done, for crops found before.

    Parameters
    ----------
    progress : called with (donors asked, donors in all) while the network sees the bank
    between : called before each crop that passes the network; an exception that it raises cancels
    """
    from gradcamo.causal.question import question

    settings = settings or CausalSettings()
    asks = question(checkpoint, settings)
    refuse_depth(crops.stack, checkpoint.crop, checkpoint.input_size)
    bank.check_fits(checkpoint, asks.classes, crops.window)
    if (plate is None) != (well is None):
        raise GradcamoError(
            f"donors of the stack's own well are left out, but the {'plate' if well else 'well'} "
            "is not named: name both plate and well, or neither"
        )
    chosen = crops.rows_of(only)
    return _run(crops, asks, bank, settings, chosen, plate, well, progress, between)


def _run(
    crops: CellCrops,
    question: Question,
    bank: DonorBank,
    settings: CausalSettings,
    chosen: np.ndarray,
    plate: str | None,
    well: str | None,
    progress: Callable[[int, int], None],
    between: Callable[[], None],
) -> Iterator[CausalBatch]:
    from gradcamo.causal.donors import donors_for
    from gradcamo.causal.game import Asked, play

    scorable = crops.scorable[chosen]
    left_out, whole = chosen[~scorable], chosen[scorable]
    done, total = len(left_out), len(chosen)
    if done or not total:
        yield CausalBatch(_without_game(crops, left_out, settings), [], done, total)
    if not len(whole):
        return
    donors = donors_for(bank, question, settings, progress)
    place = place_of(crops, bank, plate, well)
    cells = (Asked(cell, place) for cell in raw_cells(crops, whole))
    trial = question.checkpoint.trial()
    for game in play(cells, donors, question, settings, between):
        done += 1
        row = _row(game, donors.classes, crops.stack.source, settings)
        said = (*donors.cautions, *(trial.cautions if trial else ()))
        yield CausalBatch(_table([row]), [game], done, total, said)


def place_of(crops: CellCrops, bank: DonorBank, plate: str | None, well: str | None) -> Place:
    """Where a stack comes from: as said, else as the bank knows it by its intensities.

    They are compared in the bank's type: a copy of a stack may be stored in another.
    """
    from gradcamo.causal.donors import Place
    from gradcamo.causal.lot import content_hash

    content = content_hash(crops.stack, bank.voxels.dtype)
    if plate is None or well is None:
        return Place(content, *(bank.well_of(content) or ()))
    return Place(content, str(plate), str(well))


def _row(
    game: Played, classes: Sequence[str], source: str, settings: CausalSettings
) -> dict[str, Any]:
    predicted = int(game.scores.argmax())
    row: dict[str, Any] = {
        "image": source,
        "label": game.cell.label,
        "predicted": classes[predicted],
        "causal_target": classes[game.k],
        "causal_reference": classes[game.r],
        "causal_draws": settings.draws,
        "causal_unfilled_own": game.unfilled_own,
        "causal_reason": game.reason,
        **dict(zip(VOLUME_SHARES, game.cell.volumes, strict=True)),
    }
    return row if game.margins is None else row | columns(game.margins, predicted == game.k)


def _without_game(crops: CellCrops, rows: np.ndarray, settings: CausalSettings) -> pd.DataFrame:
    partial = crops.table["touches_border"].to_numpy()[rows]
    return _table(
        [
            {
                "image": crops.stack.source,
                "label": label,
                "causal_draws": settings.draws,
                "causal_reason": "it touches the border" if cut else "its crop holds none of it",
            }
            for label, cut in zip(crops.table["label"].to_numpy()[rows], partial, strict=True)
        ]
    )


_ANSWERS = ("causal_answered", "causal_flips")


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    texts = [name for name in COLUMNS if name in TEXT]
    table[texts] = table[texts].fillna("")  # else they become the text "nan"
    kinds = dict.fromkeys(COLUMNS, "float64")
    kinds |= dict.fromkeys(texts, "str") | dict.fromkeys(_ANSWERS, "boolean")
    return table.astype(kinds | {"label": "int64", "causal_draws": "int64"})
