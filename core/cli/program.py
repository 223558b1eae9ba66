"""The program: its commands, offered in the order in which they are listed here."""

import typer

from core.cli.polishing import polish, refit
from core.cli.sizes import export, show
from core.cli.stores import archive, import_run, list_runs, pack, rename, restore
from core.cli.training import sweep, train

app = typer.Typer(
    name="core",
    help="One training, every size. Train a network once, then take any width of it as a plain, smaller model.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: python -m core train --out runs/digits",
)
app.command("train")(train)
app.command("sweep")(sweep)
app.command("show")(show)
app.command("export")(export)
app.command("polish")(polish)
app.command("refit")(refit)
app.command("list")(list_runs)
app.command("import")(import_run)
app.command("pack")(pack)
app.command("rename")(rename)
app.command("archive")(archive)
app.command("restore")(restore)
