"""What the pages quote, run and point to is there."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import gradcamo
from gradcamo.cli.commands import main
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_plate

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_errors_that_the_page_of_questions_quotes_are_those_of_the_program():
    page = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"^### (.*)$", page, re.M))
    said = "\n".join(texts())
    quoted = re.findall(r'"(.*?)"', headings)
    assert len(quoted) > 20
    for quote in quoted:
        pattern = ".*".join(map(re.escape, re.split(r"\s*…\s*", quote)))
        assert re.search(pattern, said), quote


def texts():
    """Every text in the code, … where an f-string has a value."""
    for path in Path(gradcamo.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                )
                yield "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def commands():
    """Every line of a page that runs gradcamo."""
    for page in PAGES:
        fences = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
        shell = "".join(block for kind, block in fences if kind in ("", "sh", "console"))
        for line in shell.replace("\\\n", " ").splitlines():
            if line.startswith(("gradcamo ", "$ gradcamo ")):
                yield pytest.param(line.removeprefix("$ "), id=f"{page.stem}: {line[:40]}")


@pytest.mark.parametrize("line", commands())
def test_the_commands_on_the_pages_are_understood(line):
    name, *arguments = shlex.split(line, comments=True)[1:]
    command = main.commands[name]
    try:
        command.make_parser(click.Context(command)).parse_args(arguments)
    except click.UsageError as error:
        pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.slow
def test_the_first_numbers_of_the_readme_are_those_of_the_command_above_them(tmp_path, monkeypatch):
    blocks = re.findall(r"^```\n(.*?)^```", PAGES[0].read_text(encoding="utf-8"), re.M | re.S)
    i, line = next((i, b) for i, b in enumerate(blocks) if "demo/plate" in b)
    make_plate(tmp_path / "demo/plate", PlateDesign(rows=("E",), columns=("02",), sites=1))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, shlex.split(line)[1:])
    assert blocks[i + 1] in result.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_files_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
