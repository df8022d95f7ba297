"""What an audit found, in a few lines of plain language."""

from __future__ import annotations

import pandas as pd

from gradcamo.cells.table import passes, scored, whole


def summarise(table: pd.DataFrame, cutoff: float) -> str:
    """Counts, the mean score between chance and ceiling, and how many cells pass.

    Parameters
    ----------
    table : DataFrame of `gradcamo.audit`
    cutoff : Grad-CAMO score from which cells pass
    """
    inside, seen = whole(table), table[scored(table)]
    outside = inside & (table["cell_in_crop"] == 0)
    empty = int(inside.sum()) - len(seen) - int(outside.sum())
    kinds = {
        "scored": len(seen),
        "partial (at the border of the image, not scored)": int((~inside).sum()),
        "in pieces outside their own crops (not scored)": int(outside.sum()),
        "without positive evidence (no score, they do not pass)": empty,
    }
    found = ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)
    lines = [f"{len(table)} cells: {found}"]
    if len(seen):
        own, chance, ceiling = (seen[name] for name in ("grad_camo", "chance", "ceiling"))
        lines.append(
            f"Grad-CAMO {own.mean():.2f} ± {own.std(ddof=0):.2f} (a flat map would score "
            f"{chance.mean():.2f}, the best on this layer {ceiling.mean():.2f})"
        )
    elif empty:
        lines.append("the maps are empty: train longer or explain another layer")
    if inside.any():
        lines.append(
            f"{passes(table, cutoff).sum()} of {inside.sum()} whole cells score {cutoff:g} or more"
        )
    return "\n".join(lines)
