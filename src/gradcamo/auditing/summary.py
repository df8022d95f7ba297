"""What an audit found, in a few lines of plain language."""

from __future__ import annotations

import pandas as pd


def summarise(table: pd.DataFrame, cutoff: float) -> str:
    """Counts, the mean score between chance and ceiling, and how many cells pass.

    Parameters
    ----------
    table : DataFrame of `gradcamo.audit`
    cutoff : Grad-CAMO score from which cells pass
    """
    border = table["touches_border"].astype(bool)
    outside = ~border & (table["cell_in_crop"] == 0)
    scored = table[table["grad_camo"].notna()]
    whole, empty = int((~border).sum()), len(table) - len(scored) - int((border | outside).sum())
    kinds = {
        "scored": len(scored),
        "partial (at the border of the image, not scored)": int(border.sum()),
        "in pieces outside their own crops (not scored)": int(outside.sum()),
        "without positive evidence (no score, they do not pass)": empty,
    }
    found = ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)
    lines = [f"{len(table)} cells: {found}"]
    if len(scored):
        own, chance, ceiling = (scored[name] for name in ("grad_camo", "chance", "ceiling"))
        lines.append(
            f"Grad-CAMO {own.mean():.2f} ± {own.std(ddof=0):.2f} (a flat map would score "
            f"{chance.mean():.2f}, the best on this layer {ceiling.mean():.2f})"
        )
    elif empty:
        lines.append("the maps are empty: train longer or explain another layer")
    if whole:
        passing = int((scored["grad_camo"] >= cutoff).sum())
        lines.append(f"{passing} of {whole} whole cells score {cutoff:g} or more")
    return "\n".join(lines)
