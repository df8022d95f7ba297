"""Imports run one way and are declared, those in functions and for type checking included."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import gradcamo

SRC = Path(gradcamo.__file__).parents[1]
FILES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SRC.glob("gradcamo/**/*.py"))
}


def imported(path: Path) -> set[str]:
    """The full names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports are not used here"
            names.add(str(node.module))
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def graph(files: dict[str, Path]) -> dict[str, set[str]]:
    """Who imports whom; `from package import module` is an import of the module."""
    found = {}
    for name, path in files.items():
        there = imported(path) & files.keys()
        parents = {m for m in there if any(other.startswith(f"{m}.") for other in there)}
        found[name] = there - parents - {name}
    return found


def circle(of: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(of).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_file_imports_itself_by_way_of_others():
    assert circle(graph(FILES)) == []


@pytest.mark.parametrize(
    "text",
    [
        "import gradcamo.a",
        "from gradcamo import a",
        "def f():\n    from gradcamo.a import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from gradcamo.a import Thing",
    ],
)
def test_a_circle_is_found_wherever_its_import_stands(tmp_path, text):
    a, b = tmp_path / "a.py", tmp_path / "b.py"
    a.write_text("from gradcamo.b import other")
    b.write_text(text)
    assert set(circle(graph({"gradcamo.a": a, "gradcamo.b": b}))) == {"gradcamo.a", "gradcamo.b"}


def test_what_is_worked_on_knows_no_widget():
    below = ("gradcamo.docks.state", "gradcamo.docks.parts.worker")
    for name, path in FILES.items():
        if name.startswith(below):
            widgets = {n for n in imported(path) if n.startswith(("qtpy.QtWidgets", "qtpy.QtGui"))}
            assert not widgets, f"{name} imports {widgets}"


OFFERED = {"bioio", "bioio_base"}  # used where they are installed
UNSEEN = {"cryptography": "with which Dask makes the certificates of a run"}


def declared() -> set[str]:
    """The distributions that an installation brings."""
    lines = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    return {distribution(line) for line in lines["project"]["dependencies"]}


def distribution(text: str) -> str:
    """The normal form of a distribution's name, which stands first."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", text)[0]).lower()


def used(files: dict[str, Path]) -> dict[str, set[str]]:
    """Which distributions have a package of each name that is imported from elsewhere."""
    names = {name.split(".")[0] for path in files.values() for name in imported(path)}
    others = names - sys.stdlib_module_names - {"gradcamo"} - OFFERED
    found = packages_distributions()
    return {name: {distribution(text) for text in found.get(name, [name])} for name in others}


def test_what_is_imported_is_declared():
    told = declared()
    assert sorted(name for name, homes in used(FILES).items() if not homes & told) == []


def test_what_is_declared_is_imported():
    assert sorted(declared() - set().union(*used(FILES).values()) - UNSEEN.keys()) == []


@pytest.mark.parametrize("folder", ["scripts", "benchmarks"])
def test_what_nobody_runs_every_day_imports_what_is_there(folder):
    for path in sorted((Path(__file__).parents[1] / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("gradcamo"):
                module = importlib.import_module(node.module)
                lacking = [a.name for a in node.names if not hasattr(module, a.name)]
                places = [f"{node.module}.{name}" for name in lacking]
                assert set(places) <= set(FILES), f"{path.name} imports {places}"


def test_no_two_test_files_share_a_name():
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert not {name for name in names if names.count(name) > 1}, "pytest collects one of them"


def test_the_manifest_at_the_top_is_the_one_of_the_package():
    top = SRC.parent / "napari.yaml"
    if not top.exists():
        pytest.skip("an installed package has one alone")
    assert top.read_text("utf-8") == (SRC / "gradcamo" / "napari.yaml").read_text("utf-8")
