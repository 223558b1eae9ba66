"""The command line: `python -m core`; what each command does is in `core.cli`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import typer

from core.cli import app
from core.errors import UserError
from core.utils.formatting import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 if it went well, 2 with one line on standard error for a user's mistake, 130 stopped."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # not app(): it turns Ctrl-C into a result
        _run(given)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except KeyboardInterrupt as stop:
        return _say(str(stop) or "stopped", 130)
    except BrokenPipeError:
        # whoever read has what they wanted, as `head` has; Python's own flush at exit must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        told = _user_mistake(error)
        if told is None:
            raise
        return _say(f"error: {told}", 2)
    return 0


def _run(arguments: list[str]) -> None:
    command = typer.main.get_group(app)
    if not arguments:
        raise UserError(f"no command; choose one of {', '.join(command.commands)}, or see --help")
    if any("\0" in argument for argument in arguments):
        raise UserError("an argument holds a NUL character, which no name of a file can; leave it out")
    with command.make_context("python -m core", arguments) as context:
        command.invoke(context)


def _user_mistake(error: Exception) -> str | None:
    """What to tell of a mistake in what was asked, given or installed; None for one of this program's own."""
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


def _say(text: str, status: int) -> int:
    print(printable(text), file=sys.stderr)
    return status


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter still gets the rest
    sys.exit(main())
