"""What cells answered when they were asked causally, all to one question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradcamo.columns import CAUSAL_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

QUESTION = ("target", "reference", "seed")  # of the settings of causal attention


class CausalAnswers:
    """What cells answered, by label, and how they were asked (``recipe``)."""

    def __init__(self) -> None:
        self.recipe: dict[str, Any] = {}
        self._answers: pd.DataFrame | None = None

    @classmethod
    def of_table(
        cls, table: pd.DataFrame, recipe: Mapping[str, Any] | None
    ) -> tuple[CausalAnswers, pd.DataFrame]:
        """Of a table that was kept: what cells answered causally, and the rest."""
        from gradcamo.auditing.causal import NOT_DRAWN

        answers = cls()
        answers.recipe = dict(recipe or {})
        there = [name for name in CAUSAL_COLUMNS if name in table]
        asked = table.loc[table["causal_reason"] != NOT_DRAWN, ["label", *there]].set_index("label")
        types = {name: "boolean" for name in ("causal_answered", "causal_flips") if name in there}
        answers._answers = asked.astype(types).reindex(columns=list(CAUSAL_COLUMNS))
        return answers, table.drop(columns=there)

    def add(self, table: pd.DataFrame, recipe: Mapping[str, Any]) -> None:
        """Take in a table of `causal_attention`; answers to another question are let go."""
        import pandas as pd

        before = self._answers
        if before is not None and _question(recipe) != _question(self.recipe):
            before = None
        said = [*(self.recipe.get("cautions", ()) if before is not None else ())]
        said += [one for one in recipe.get("cautions", ()) if one not in said]
        self.recipe = {**recipe, "cautions": said}
        asked = table.set_index("label")[list(CAUSAL_COLUMNS)]
        if before is not None:
            asked = pd.concat([before.drop(index=asked.index, errors="ignore"), asked])
        self._answers = asked

    def draws_of(self, label: int) -> int:
        """With how many draws a cell was asked causally, 0 where it was not."""
        asked = self._answers
        if asked is None or label not in asked.index:
            return 0
        draws: Any = asked.at[label, "causal_draws"]
        return int(draws)

    def forget(self, labels: set[int]) -> bool:
        """Let go what these cells answered; whether there is anything of which to let go."""
        if self._answers is None or not labels:
            return False
        self._answers = self._answers.drop(index=list(labels), errors="ignore")
        return True

    def asked_like(self, audit: Mapping[str, Any]) -> bool:
        """Whether cells were asked of the network, target and channels of an audit."""
        recipe = self.recipe
        return (
            self._answers is not None
            and recipe.get("checkpoint") == audit["checkpoint"]
            and recipe.get("stack_channels", audit["channels"]) == audit["channels"]
            and recipe.get("settings", {}).get("target") == audit["settings"].get("target")
        )

    def joined_to(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of all audits, with what their cells answered beside."""
        if self._answers is None:
            return table
        from gradcamo.auditing.causal import with_causal

        return with_causal(table, self._answers.reset_index())


def _question(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What makes answers comparable; more draws only make them sharper."""
    of = {name: recipe.get(name) for name in ("checkpoint", "bank")}
    of["channels"] = recipe.get("stack_channels", recipe.get("channels"))
    settings = {k: v for k, v in recipe.get("settings", {}).items() if k in QUESTION}
    return {**of, **settings}
