"""The command line: flags come from the settings, work from the library.

Each file beside this one holds the commands of a floor.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from gradcamo.cli.auditing import audit
from gradcamo.cli.files import convert, export, table
from gradcamo.cli.networks import import_, layers
from gradcamo.cli.plate import plate, report
from gradcamo.cli.segmentation import segment
from gradcamo.cli.start import demo, open_
from gradcamo.cli.terminal import forget_said, show_warning
from gradcamo.cli.training import donors, train
from gradcamo.errors import GradcamoError
from gradcamo.logs import log_warnings, logged_to, unforeseen

_GIVEN = "gradcamo.given"


class _Commands(click.Group):
    """Problems end in one line and exit code 1, never in a traceback, whoever foresaw them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_GIVEN] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        forget_said()
        log_warnings(show_warning)
        log = logging.getLogger("gradcamo.cli")
        try:
            return super().invoke(ctx)
        except GradcamoError as error:
            log.error("%s", error, exc_info=True)
            raise click.ClickException(str(error)) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:  # whoever read has enough
            raise
        except OSError as error:
            log.error("%s", error, exc_info=True)
            raise click.ClickException(_of_system(error, ctx)) from error
        except Exception as error:
            raise click.ClickException(unforeseen(error, _doing(ctx))) from error

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        command.params.append(
            click.Option(
                ["--log"],
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE",
                expose_value=False,
                callback=_open_log,
                help="add what is said, warned of or goes wrong to a file that can be sent",
            )
        )
        super().add_command(command, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of the work

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its whole first sentence, which click would cut to one line."""
        told = {name: self.commands[name] for name in self.list_commands(ctx)}
        whole = max(len(command.help or "") for command in told.values())
        with formatter.section("Commands"):
            formatter.write_dl([(name, told[name].get_short_help_str(whole)) for name in told])


def _of_system(error: OSError, ctx: click.Context) -> str:
    """Which file the system would not give, and why."""
    where = error.filename or _doing(ctx)
    return f"{where}: {error.strerror or error}: check the path, its permissions and free space"


def _doing(ctx: click.Context) -> str:
    """Command and files, as they were given."""
    given = [str(arg) for arg in ctx.meta.get(_GIVEN, ()) if not str(arg).startswith("-")]
    return " ".join(["gradcamo", *given[:4]]) + " …" * (len(given) > 4)


def _open_log(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None and not ctx.resilient_parsing:
        ctx.find_root().with_resource(logged_to(path))  # open until errors are in it


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="napari-gradcamo", prog_name="gradcamo")
def main() -> None:
    """Grad-CAMO: is the network looking at the cell?

    Segments single cells in 3D Cell Painting stacks, trains networks that tell treatments apart,
    and scores each cell by the share of its Grad-CAM that lies on the cell itself.
    """


for command in (
    demo,
    segment,
    train,
    donors,
    import_,
    audit,
    plate,
    table,
    convert,
    report,
    export,
    open_,
    layers,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
