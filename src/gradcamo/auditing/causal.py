"""An audit's cells asked causally too: columns beside those of the maps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcamo.columns import CAUSAL_COLUMNS, ONLY_COLUMNS
from gradcamo.settings import AuditSettings, CausalSettings, SwapSettings

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.causal.attention import CausalBatch
    from gradcamo.causal.bank import DonorBank
    from gradcamo.cells.crops import CellCrops
    from gradcamo.datatypes import ZStack
    from gradcamo.networks.checkpoint import Checkpoint

NOT_DRAWN = "it was not asked"


def causal_settings(swap: SwapSettings, audit: AuditSettings) -> CausalSettings:
    """How an audit swaps: target, seed and device are its own."""
    return CausalSettings(
        draws=swap.draws,
        reference=swap.reference,
        target=audit.target,
        seed=audit.seed,
        batch_size=audit.batch_size,
        device=audit.device,
    )


def refuse_unasked(
    stack: ZStack, checkpoint: Checkpoint, bank: DonorBank, settings: CausalSettings
) -> None:
    """Refuse, before any work, what causal attention would refuse of network, bank and stack.

    Raises
    ------
    GradcamoError
        If target or reference are none of the network's classes, or the donors do not fit.
    """
    from gradcamo.causal.question import question

    asks = question(checkpoint, settings)
    bank.check_fits(checkpoint, asks.classes, checkpoint.crop.window(stack.shape[1]))


def called_with_one_region(
    crops: CellCrops,
    checkpoint: Checkpoint,
    bank: DonorBank,
    settings: CausalSettings,
    only: Collection[int] | None = None,
    plate: str | None = None,
    well: str | None = None,
) -> pd.DataFrame:
    """What whole cells of a stack are called with one region real: `ONLY_COLUMNS`, by label."""
    import pandas as pd

    from gradcamo.causal.attention import place_of
    from gradcamo.causal.donors import donors_for
    from gradcamo.causal.game import Asked
    from gradcamo.causal.question import question
    from gradcamo.causal.regions import raw_cells
    from gradcamo.causal.uses import calls

    asks = question(checkpoint, settings)
    donors = donors_for(bank, asks, settings)
    place = place_of(crops, bank, plate, well)
    chosen = crops.rows_of(only)
    cells = (Asked(cell, place) for cell in raw_cells(crops, chosen[crops.scorable[chosen]]))
    found = list(calls(cells, donors, asks, settings))
    index = pd.Index([called.label for called in found], dtype="int64", name="label")
    return pd.DataFrame([called.names for called in found], index, list(ONLY_COLUMNS), dtype="str")


def passes(draws: int) -> int:
    """Forward passes of a cell that has all three regions."""
    return 1 + 2 * draws * 7 + (2 * draws if draws > 1 else 0)


def with_causal(table: pd.DataFrame, causal: pd.DataFrame) -> pd.DataFrame:
    """An audit's table with the causal columns of its cells; the others say that they lack them.

    Parameters
    ----------
    table : DataFrame of an audit, with ``label``
    causal : DataFrame of `causal_attention`, of all its cells or some
    """
    columns = causal.set_index("label")[list(CAUSAL_COLUMNS)]
    joined = table.join(columns, on="label")
    left_out = ~joined["label"].isin(columns.index)
    joined.loc[left_out, "causal_reason"] = NOT_DRAWN
    for name, column in CAUSAL_COLUMNS.items():
        if column.text:
            joined[name] = joined[name].fillna("").astype("str")
    joined["causal_draws"] = joined["causal_draws"].fillna(0).astype("int64")
    joined.attrs = table.attrs
    return joined


class CausalResult(NamedTuple):
    """Causal columns of a stack's cells, and how they were made."""

    table: pd.DataFrame
    recipe: dict[str, Any]


def ask_causally(
    crops: CellCrops,
    checkpoint: Checkpoint,
    bank: DonorBank,
    settings: CausalSettings,
    only: Collection[int] | None = None,
    plate: str | None = None,
    well: str | None = None,
    track: Callable[[Iterator[CausalBatch]], Iterator[CausalBatch]] = iter,
) -> CausalResult:
    """`gc.causal_attention` of crops that an audit found.

    The recipe also says the median intensity of each channel over the cells that were asked.

    Parameters
    ----------
    track : what to pass the batches through
    """
    from gradcamo.causal.attention import causal_batches, causal_recipe, gather

    medians: list[np.ndarray] = []

    def noted(batches: Iterable[CausalBatch]) -> Iterator[CausalBatch]:
        for batch in batches:
            for game in batch.games:
                intensities = game.cell.image[:, game.cell.kinds > 0]
                medians.append(np.median(intensities[:, ::7], axis=1))
            yield batch

    batches = track(causal_batches(crops, checkpoint, bank, settings, only, plate, well))
    table = gather(noted(batches), causal_recipe(checkpoint, bank, settings))
    table.attrs["recipe"]["medians"] = np.median(medians, axis=0).tolist() if medians else None
    return CausalResult(table, table.attrs["recipe"])


def drawn_cells(crops: CellCrops, n: int | None, *seed: int | str) -> list[int] | None:
    """Labels of n whole cells of a stack, by lot; None for all."""
    if n is None:
        return None
    whole = crops.table["label"].to_numpy()[crops.scorable]
    numbers = [part if isinstance(part, int) else int.from_bytes(part.encode()) for part in seed]
    order = np.random.default_rng(numbers).permutation(len(whole))
    return sorted(whole[order[:n]].tolist())


def find_bank(
    donors: str | Path | None,
    checkpoint_file: str | Path,
    bundled: Callable[[], DonorBank] | None = None,
) -> DonorBank:
    """The bank that is named, the bundled network's, or the one beside a checkpoint.

    Raises
    ------
    GradcamoError
        If there is none.
    """
    from gradcamo.causal.bank import DonorBank
    from gradcamo.causal.bank_file import bank_beside
    from gradcamo.networks.bundled import BUNDLED, checkpoint_path
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.networks.resolve import is_bundled

    if donors is not None:
        return DonorBank.load(donors)
    path = checkpoint_path(checkpoint_file)
    beside = bank_beside(path)
    if bundled is not None and (
        path == BUNDLED
        or (path.is_file() and not beside.is_file() and is_bundled(Checkpoint.load(path)))
    ):
        return bundled()
    return DonorBank.load(beside)
