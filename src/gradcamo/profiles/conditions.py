"""Conditions on the columns of a table, as a user types them: read, never run as Python."""

from __future__ import annotations

import ast
import difflib
import operator
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError

LONGEST = 2000  # characters; nobody types more
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_RECKON: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
}
_ANSWER, _NUMBER, _TEXT = "yes or no", "numbers", "text"


def rows_where(table: pd.DataFrame, condition: str) -> np.ndarray:
    """Whether each row meets a condition such as ``grad_camo < 0.25 and well == "D03"``.

    Understood are columns (in backticks where a name has spaces), numbers, quoted text,
    ``< <= > >= == !=``, ``and or not``, ``+ - * /``, ``well in ("D02", "D03")``,
    ``"mitosis" in note`` and ``grad_camo is None`` (missing).

    Parameters
    ----------
    table : DataFrame, one row per cell
    condition : str

    Returns
    -------
    bool array, (rows,)

    Raises
    ------
    GradcamoError
        If the condition cannot be understood, in plain words.
    """
    quoted: list[str] = []

    def stand_in(found: re.Match[str]) -> str:
        quoted.append(found[1])
        return f"_column_{len(quoted) - 1}_"

    if len(condition) > LONGEST:
        raise GradcamoError(f"this is too long: a condition has at most {LONGEST:,} characters")
    text = re.sub(r"`([^`]*)`", stand_in, condition.strip())
    reader = _Reader(table, {f"_column_{i}_": name for i, name in enumerate(quoted)})
    try:
        value = reader.read(_parsed(text))
    except (RecursionError, MemoryError) as error:
        raise GradcamoError("this has too many brackets to be understood") from error
    if _kind(value) != _ANSWER:
        raise GradcamoError(f"this says nothing about a cell: compare it, as in {_example(table)}")
    return np.broadcast_to(np.asarray(value, bool), len(table)).copy()


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise GradcamoError(_incomplete(text)) from error


class _Reader:
    """Works a parsed condition out, column by column; whatever it does not know it refuses."""

    def __init__(self, table: pd.DataFrame, quoted: dict[str, str]) -> None:
        self._table, self._quoted = table, quoted
        # the parser turns µ into μ and the like
        self._composed = {unicodedata.normalize("NFKC", str(name)): str(name) for name in table}

    def read(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return float(value) if isinstance(value, int) and abs(value) > 2**53 else value
            case ast.Name(id=name):
                return self._column(name)
            case ast.BoolOp(op=op, values=parts):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return self._join(join, parts)
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):
                join = np.logical_and if isinstance(op, ast.BitAnd) else np.logical_or
                return self._join(join, [left, right])
            case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=inner):
                return np.logical_not(self._answer(inner))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return np.negative(self._number(inner))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _RECKON:
                with np.errstate(all="ignore"):
                    return _RECKON[type(op)](self._number(left), self._number(right))
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [left, *others]
                pairs = zip(sides, ops, others, strict=False)
                return np.logical_and.reduce([self._compare(*pair) for pair in pairs])
        raise GradcamoError(
            f"'{self._shown(node)}' is not understood here: use columns, numbers, text in quotes, "
            "comparisons, and, or, not"
        )

    def _column(self, name: str) -> Any:
        name = self._quoted.get(name) or self._composed.get(name, name)
        if name not in self._table:
            if name in ("true", "false"):
                return name == "true"
            near = difflib.get_close_matches(name, map(str, self._table.columns), 1)
            hint = f"did you mean {near[0]}?" if near else f'text needs quotes, as in "{name}"'
            raise GradcamoError(f"there is no column '{name}': {hint}")
        values = self._table[name]
        if values.dtype.kind in "uifb":
            return values.to_numpy()
        if pd.api.types.is_bool_dtype(values):
            return values.fillna(False).to_numpy(bool)
        if pd.api.types.is_numeric_dtype(values):
            return values.to_numpy(float, na_value=np.nan)
        return values.astype(object).mask(values.isna(), None).to_numpy(object)

    def _join(self, join: Any, parts: list[ast.expr]) -> Any:
        return join.reduce(np.broadcast_arrays(*(self._answer(part) for part in parts)))

    def _answer(self, node: ast.expr) -> Any:
        value = self.read(node)
        if _kind(value) != _ANSWER:
            raise GradcamoError(
                f"'{self._shown(node)}' is neither yes nor no: compare it with something (and put "
                "brackets around comparisons that are joined by & or |)"
            )
        return value

    def _number(self, node: ast.expr) -> Any:
        value = self.read(node)
        if _kind(value) != _NUMBER:
            raise GradcamoError(f"'{self._shown(node)}' is no number: + - * / work on numbers only")
        return value

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, (ast.Is, ast.IsNot)):
            if not isinstance(right, ast.Constant) or right.value is not None:
                raise GradcamoError("'is' asks for missing values only, as in grad_camo is None")
            missing = pd.isna(self.read(left))
            return missing if isinstance(op, ast.Is) else np.logical_not(missing)
        if isinstance(op, (ast.In, ast.NotIn)):
            found = self._contained(left, right)
            return found if isinstance(op, ast.In) else np.logical_not(found)
        return self._compared(left, type(op), right)

    def _compared(self, left: ast.expr, op: type[ast.cmpop], right: ast.expr) -> Any:
        a, b = self.read(left), self.read(right)
        if (kinds := (_kind(a), _kind(b))) != (kinds[0],) * 2 and _TEXT in kinds:
            of_text = left if kinds[0] == _TEXT else right
            raise GradcamoError(
                f"'{self._shown(of_text)}' is text and '"
                f"{self._shown(right if of_text is left else left)}' is not: text is compared "
                'with text in quotes, as in well == "D03"'
            )
        if kinds[0] == _TEXT and op not in (ast.Eq, ast.NotEq):
            a, b = ("" if v is None else np.where(v == None, "", v) for v in (a, b))  # noqa: E711
        return _COMPARE[op](a, b)

    def _contained(self, left: ast.expr, right: ast.expr) -> Any:
        if isinstance(right, (ast.Tuple, ast.List, ast.Set)):
            each = [self._compared(left, ast.Eq, one) for one in right.elts]
            return np.logical_or.reduce(each) if each else np.zeros(len(self._table), bool)
        piece, text = self.read(left), self.read(right)
        if not isinstance(piece, str) or _kind(text) != _TEXT:
            raise GradcamoError(
                '\'in\' looks for one of several values, as in well in ("D02", "D03"), or for text '
                'in a column, as in "mitosis" in note'
            )
        series = pd.Series(np.broadcast_to(np.asarray(text, object), len(self._table)))
        return series.str.contains(piece, case=False, regex=False).fillna(False).to_numpy(bool)

    def _shown(self, node: ast.AST) -> str:
        shown = ast.unparse(node)
        for stand_in, name in self._quoted.items():
            shown = shown.replace(stand_in, name)
        return shown


def _kind(value: Any) -> str:
    kind = np.asarray(value).dtype.kind
    return _ANSWER if kind == "b" else _NUMBER if kind in "uif" else _TEXT


def _incomplete(text: str) -> str:
    if re.search(r"(?<![<>=!])=(?!=)", text):
        return "one = is not enough: == compares"
    if text.count('"') % 2 or text.count("'") % 2:
        return "a quotation mark is not closed yet"
    if text.count("(") != text.count(")"):
        return "a bracket is not closed yet"
    return "this is not complete yet: compare columns with values, and join with and, or, not"


def _example(table: pd.DataFrame) -> str:
    return "grad_camo < 0.25" if "grad_camo" in table else "label > 10"
