"""What every command shares: the screen, the groups of commands, errors in one clear message."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

import minidl

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

app = typer.Typer(
    help="minidl: a deep-learning engine to learn from.", no_args_is_help=True, pretty_exceptions_enable=False
)
train = typer.Typer(help="Train a network.", no_args_is_help=True)


class FirstOrKernels(TyperGroup):
    """A group whose first word may be a subcommand or, as with ``minidl bench softmax``, what to measure."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["kernels", *args]
        return super().parse_args(ctx, args)


bench = typer.Typer(cls=FirstOrKernels, help="Measure how fast minidl is: minidl bench [KERNEL...], or a command.")
kernels = typer.Typer(help="Read and check the kernels.", no_args_is_help=True)
app.add_typer(train, name="train")
app.add_typer(bench, name="bench")
app.add_typer(kernels, name="kernels")

Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose errors are one clear message and exit code 1; with --debug, a traceback. Ctrl-C is code 130."""

    @functools.wraps(command)
    def run(*args: Any, debug: bool = False, **kwargs: Any) -> None:
        try:
            command(*args, debug=debug, **kwargs)
        except KeyboardInterrupt as stop:
            errors.print(str(stop) or "Stopped.", markup=False, soft_wrap=True)
            raise typer.Exit(130) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if debug:
                raise
            text = "\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", [])])
            errors.print("Error:", style="bold red", end=" ")
            errors.print(text, markup=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return run


def say(text: str) -> None:
    """A sentence on the screen."""
    console.print(text, markup=False, soft_wrap=True)


def end_as(ended: BaseException | None) -> None:
    """End a command as the script that it ran did: with its exit code and last words, or its exception."""
    if isinstance(ended, SystemExit):
        if isinstance(ended.code, (int, type(None))):
            raise typer.Exit(ended.code or 0)
        errors.print(str(ended.code), markup=False, soft_wrap=True)  # as Python does for sys.exit("a sentence")
        raise typer.Exit(1)
    if ended is not None:
        raise ended


def _version(asked: bool) -> None:
    if asked:
        console.print(f"minidl {minidl.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """minidl: a deep-learning engine to learn from."""
