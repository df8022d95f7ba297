"""Which cells of a table are whole, scored and passing: one answer for whoever asks.

Hand-made flags are a verdict of their own (the column ``flagged``) and no part of passing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import pandas as pd


def whole(table: pd.DataFrame) -> pd.Series:
    """Cells that touch neither the y nor the x border; all of them where nobody looked.

    Parameters
    ----------
    table : DataFrame
        With ``touches_border``, where it is known.

    Returns
    -------
    bool Series on the table's index. Shares of passing cells are always of these.
    """
    import pandas as pd  # half a second, which a window that opens empty need not wait

    if "touches_border" not in table:
        return pd.Series(True, table.index)
    return ~table["touches_border"].astype(bool)


def scored(table: pd.DataFrame) -> pd.Series:
    """Whole cells that have a score, as a bool Series.

    Parameters
    ----------
    table : DataFrame
        With ``grad_camo``, and ``touches_border`` where it is known.
    """
    return whole(table) & table["grad_camo"].notna()


def passes(table: pd.DataFrame, cutoff: float) -> pd.Series:
    """Scored cells that reach the cut-off, as a bool Series.

    Parameters
    ----------
    table : DataFrame
        With ``grad_camo``, and ``touches_border`` where it is known.
    cutoff : Grad-CAMO score from which cells pass

    Examples
    --------
    >>> import pandas as pd
    >>> cells = pd.DataFrame(
    ...     {"grad_camo": [0.4, 0.1, None, None], "touches_border": [False, False, False, True]}
    ... )
    >>> int(passes(cells, 0.25).sum()), int(whole(cells).sum())
    (1, 3)
    """
    return scored(table) & (table["grad_camo"] >= cutoff)


def checked(table: pd.DataFrame, numbers: Sequence[str], names: Sequence[str] = ()) -> pd.DataFrame:
    """A table whose columns are numbers and names, as whoever reads them expects.

    Parameters
    ----------
    table : DataFrame
    numbers : columns to be read as floats
    names : columns to be read as text, "" where it is missing

    Raises
    ------
    GradcamoError
        If one of them is not there, or holds something else.
    """
    import pandas as pd

    if lacking := [name for name in (*numbers, *names) if name not in table]:
        raise GradcamoError(
            f"the table lacks {', '.join(lacking)}: expected all columns of gc.causal_attention, "
            "as an audit with --causal writes them"
        )
    read = {name: named(table[name]) for name in names}
    for name in numbers:
        try:
            read[name] = pd.to_numeric(table[name]).astype("float64")
        except (TypeError, ValueError) as error:
            raise GradcamoError(
                f"the column {name} holds something that is no number ({error}): expected numbers, "
                "and nothing where a cell has none"
            ) from error
    return table.assign(**read)


def named(column: pd.Series) -> pd.Series:
    """A column of names as text, "" where there is none, categories or not.

    Raises
    ------
    GradcamoError
        If it holds something else than text.
    """
    from pandas.api.types import infer_dtype

    names = column.astype(object)
    names[names.isna()] = ""
    if (kind := infer_dtype(names, skipna=False)) not in ("string", "empty"):
        raise GradcamoError(
            f"the column {column.name} holds names that are no text ({kind}): expected those of "
            f"treatments, as the network calls them; make them text, as by "
            f"table[{column.name!r}].astype(str)"
        )
    return names


def asked_causally(table: pd.DataFrame) -> pd.Series:
    """Whole cells that have a causal effect and, where their treatment is known, are called so.

    Parameters
    ----------
    table : DataFrame
        With ``causal_effect`` and ``predicted``; ``treatment`` and ``touches_border`` where known.

    Returns
    -------
    bool Series on the table's index.

    Raises
    ------
    GradcamoError
        If treatments, or what cells are called, are no text.
    """
    asked = whole(table) & table["causal_effect"].notna()
    if "treatment" in table:
        treatment = named(table["treatment"])
        asked &= (treatment == "") | (treatment == named(table["predicted"]))
    return asked


def told_causally(table: pd.DataFrame) -> pd.Series:
    """Those of `asked_causally` that have an answer, or of one draw a preview of it: causal shares
    are aggregated over these alone. A bool Series."""
    return asked_causally(table) & table["causal_own"].notna()


def fails(table: pd.DataFrame, cutoff: float) -> pd.Series:
    """Whole cells that do not pass: what the column ``flagged`` starts from, as a bool Series.

    An empty map is no evidence for its cell, so a whole cell without a score fails at any cut-off.
    """
    return whole(table) & ~passes(table, cutoff)
