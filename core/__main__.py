"""Run the commands of `core.cli` as `python -m core`; a person's mistake becomes one line and an exit status."""

from __future__ import annotations

import io
import itertools
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from core.cli import app
from core.errors import UserError
from core.utils.formatting import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 if it went well, 2 with one line on standard error for a user's mistake, 130 stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # not app(): it turns Ctrl-C into a result
        _run(words)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "stopped", 130)
    except BrokenPipeError:
        # a reader such as `head` has closed the pipe; Python's own flush at exit must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        mistake = _user_mistake(error)
        if mistake is None:
            raise
        return _fail(f"error: {mistake}", 2)
    return 0


def _run(arguments: list[str]) -> None:
    command = typer.main.get_group(app)
    if not arguments:
        raise UserError(f"no command; choose one of {', '.join(command.commands)}, or see --help")
    if any("\0" in argument for argument in arguments):
        raise UserError("an argument holds a NUL character, which no name of a file can; leave it out")
    _check_repeats(command, arguments)
    with command.make_context("python -m core", arguments) as context:
        command.invoke(context)


def _check_repeats(group: Any, arguments: list[str]) -> None:
    """Refuse an option that is given twice, of which all but the last would be ignored."""
    command = group.commands.get(arguments[0])
    spellings = {spelling: option for option in getattr(command, "params", ()) for spelling in option.opts}
    seen: dict[str, str] = {}
    for word in itertools.takewhile(lambda word: word != "--", arguments[1:]):
        spelling = word.partition("=")[0]
        option = spellings.get(spelling) if spelling.startswith("--") else None
        if option is None or option.multiple:
            continue
        if option.name in seen:
            raise UserError(f"{seen[option.name]} is given twice{_as(spelling, seen[option.name])}; give it once")
        seen[option.name] = spelling


def _as(spelling: str, first: str) -> str:
    return f", the second time as {spelling}" if spelling != first else ""


def _user_mistake(error: Exception) -> str | None:
    """Describe a mistake in arguments, files or installation; None for an error of this program's own."""
    if isinstance(error, UserError):
        return str(error)
    if hasattr(error, "format_message"):  # the command line's own usage errors
        context = getattr(error, "ctx", None)
        return f"{error.format_message().rstrip('.')}; see {context.command_path if context else ''} --help"
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: {reason}" if error.filename else reason
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        return "this machine has too little memory for it; choose a smaller width or batch size"
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("core"):
        return f"the package {error.name} is not installed; install what requirements.txt names"
    return None


def _fail(text: str, status: int) -> int:
    """Print one line to standard error and return the exit status."""
    print(printable(text), file=sys.stderr)
    return status


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter still gets the rest
    sys.exit(main())
