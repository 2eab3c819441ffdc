"""``minidl backends`` and ``minidl doctor``: what this machine has."""

from __future__ import annotations

from minidl.cli.common import Debug, app, console, one_line_errors, say


@app.command("backends")
@one_line_errors
def backends_table(debug: Debug = False) -> None:
    """Which backends run here, on what, and what the others need."""
    from rich.markup import escape
    from rich.table import Table

    from minidl import backends

    table = Table("backend", "here", "version", "device", "how it is emulated")
    rows = backends.table()
    for row in rows:
        table.add_row(row.name, row.state, row.version, escape(row.device), row.how)
    console.print(table)
    for row in rows:
        if row.remedy:
            say(f"{row.name}: {row.missing}; to mend it: {row.remedy}")
    say(f"In use: {backends.get_backend()} (choose with minidl.use_backend(name) or MINIDL_BACKEND=name).")


@app.command("doctor")
@one_line_errors
def doctor(debug: Debug = False) -> None:
    """What this machine has and can do, and what to change."""
    from minidl import doctor as physician

    physician.main()
