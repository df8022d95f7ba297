"""A layer audit as text, tables and a plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradcamo.auditing.agreement import ranks_otherwise
from gradcamo.auditing.layer_audit import LayerAudit
from gradcamo.files.landing import landing
from gradcamo.settings import CautionSettings
from gradcamo.words import beside


def layer_audit_text(audit: LayerAudit) -> str:
    """The summary as a table of plain text."""
    asked = "causal_rho" in audit.summary
    lines = [
        f"{'layer':<10}{'grid z y x':<12}{'Grad-CAMO':>13}{'attainable':>14}{'chance':>8}"
        f"{'ceiling':>9}{'empty':>7}{'probe':>7}" + "  with causal share" * asked
    ]
    for row in audit.summary.to_dict("records"):
        own, gained = (
            f"{row[name]:.2f} ± {row[f'{name}_sd']:.2f}" if np.isfinite(row[name]) else "–"
            for name in ("grad_camo", "attainable")
        )
        lines.append(
            f"{row['layer']:<10}{row['grid']:<12}{own:>13}{gained:>14}{row['chance']:>8.2f}"
            f"{row['ceiling']:>9.2f}{row['empty']:>7.0%}{row['probe_accuracy']:>7.0%}"
            + (f"  {rank_text(row['causal_rho'])}" if asked else "")
        )
    largest = audit.summary["largest_class"].iloc[0]
    lines += [
        f"{audit.summary['cells'].iloc[0]} held-out cells. probe: how many of them a linear "
        "classifier recognises from the layer's",
        f"profiles (always the commonest treatment: {largest:.0%}); empty: cells without positive "
        f"evidence; gradients {audit.summary['gradients'].iloc[0]}",
    ]
    if asked:
        lines.append(
            f"with causal share: Spearman's ρ of Grad-CAMO with causal_own, over up to "
            f"{audit.summary['causal_cells'].max():,} of these cells"
        )
    return "\n".join(lines)


def rank_text(rho: float) -> str:
    """A layer's ``causal_rho`` in its row, and whether it is too low; a dash where unknown."""
    if not np.isfinite(rho):
        return "–"
    limits = CautionSettings()
    low = f" (below {limits.agreement:g}: ranks cells otherwise)"
    return f"ρ {beside(rho, limits.agreement)}" + low * ranks_otherwise(rho, limits)


def save_layer_audit(
    audit: LayerAudit, folder: str | Path, explained: str | None = None
) -> list[Path]:
    """Write ``layers.parquet`` (cells), ``layer_summary.csv`` and ``layers.png``.

    In the folder of a plate, ``gradcamo report`` takes up the first.

    Parameters
    ----------
    explained : the layer that is marked in the plot
    """
    from gradcamo.figures import layer_audit as draw
    from gradcamo.files.store import write_table

    names = ("layers.parquet", "layer_summary.csv", "layers.png")
    cells, summary, picture = (Path(folder) / name for name in names)
    recipe = audit.cells.attrs["recipe"]
    write_table(audit.cells, cells, recipe)
    write_table(audit.summary, summary, recipe)
    with landing(picture) as scratch:
        draw(audit.summary, explained).savefig(scratch, dpi=150, format="png")
    return [cells, summary, picture]
