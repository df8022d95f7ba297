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
    scored = table.loc[~table["touches_border"], "grad_camo"]
    if scored.empty:
        return f"{len(table)} cells, all at the border of the image: none could be scored"
    empty = int(scored.isna().sum())
    passing = int((scored >= cutoff).sum())
    lines = [
        f"{len(table)} cells: {len(scored)} scored, {len(table) - len(scored)} partial (at the "
        "border of the image, not scored)",
        "no cell has positive evidence: the maps are empty; train longer or explain another layer"
        if empty == len(scored)
        else f"Grad-CAMO {scored.mean():.2f} ± {scored.std(ddof=0):.2f} (a flat map would score "
        f"{table['chance'].mean():.2f}, the best on this layer {table['ceiling'].mean():.2f})",
        f"{passing} of {len(scored)} cells score {cutoff:g} or more",
    ]
    if 0 < empty < len(scored):
        lines.append(f"{empty} cells have no positive evidence: no score, and they do not pass")
    return "\n".join(lines)
