"""What an audit found, in a few lines of plain language."""

from __future__ import annotations

import pandas as pd

from gradcamo.auditing.verdict import causal_verdict
from gradcamo.cells.table import asked_causally, passes, scored, told_causally, whole
from gradcamo.words import counted


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


def summarise_causal(table: pd.DataFrame, uses: pd.DataFrame | None = None) -> str:
    """How many cells are answered, and what that comes to.

    Parameters
    ----------
    table : DataFrame with the columns of `gradcamo.causal_attention`
    uses : DataFrame of `gradcamo.causal.uses.uses_table`, where there is one
    """
    asked, told = asked_causally(table), told_causally(table)
    called = int((whole(table) & table["causal_effect"].notna()).sum())
    line = f"causally, {int(told.sum()):,} of {counted(int(asked.sum()), 'cell')} are answered"
    if called > asked.sum():
        line += f" ({called - int(asked.sum()):,} more are not called what they are)"
    return "\n".join([line, *causal_verdict(table, uses)])
