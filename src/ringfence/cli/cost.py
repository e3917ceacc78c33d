"""`ringfence cost`: what calls cost, what they would cost elsewhere, and pictures of both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(help="What calls cost: today, this month, by whom; what-if; reports.")

By = Literal["key", "profile", "agent", "model", "target", "provider", "day", "outcome"]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="2026-11-01 (by the clocks of money.zone), or 45m, 24h, 7d, 8w.")
]
AssumptionsOption = Annotated[
    Path | None, typer.Option("--assumptions", help="Prices, sites and scenarios: a file as whatif prints it.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@app.callback(invoke_without_command=True)
def cost(
    context: typer.Context,
    since: SinceOption = None,
    by: Annotated[By | None, typer.Option("--by", help="Who or what had how much of it.")] = None,
    period: Annotated[
        Literal["today", "week", "month"],
        typer.Option("--period", help="What --by is about; a week is told besides."),
    ] = "month",
    assumptions: AssumptionsOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is spent and held, today and this month; who answered; what was saved."""
    if context.invoked_subcommand is not None:
        return
    from ringfence.cli.asking import told
    from ringfence.cli.show_cost import cost_page
    from ringfence.cli.spent import spent

    told(spent(config, since, by, period, assumptions), as_json, cost_page)


@app.command()
def whatif(
    since: SinceOption = None,
    tokens_per_day: Annotated[
        str | None, typer.Option("--tokens-per-day", help="Not the ledger, but so many, such as 2M or 500K.")
    ] = None,
    output_share: Annotated[
        float | None, typer.Option("--output-share", min=0, max=1, help="How much of them are output, such as 0.5.")
    ] = None,
    scenario: Annotated[list[str] | None, typer.Option("--scenario", help="This one only; may be given again.")] = None,
    assumptions: AssumptionsOption = None,
    print_assumptions: Annotated[
        bool, typer.Option("--print-assumptions", help="Show the file of what is supposed, and end.")
    ] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write a report.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the same calls, or stated ones, would cost by other rules and at other sites; and where that turns."""
    from ringfence.cli.asking import told
    from ringfence.cli.show_cost import whatif_page
    from ringfence.cli.what_if import printed, supposed, write_whatif
    from ringfence.costs.whatif import as_json as in_json

    if print_assumptions:
        typer.echo(printed(config, assumptions), nl=False)
        return
    found, laid_over = supposed(config, assumptions, since, tokens_per_day, output_share, scenario or [])
    if html is not None:
        write_whatif(html, found, laid_over, printed(config, assumptions))
    told(in_json(found, laid_over), as_json, lambda _: whatif_page(found, laid_over))


@app.command()
def report(
    html: Annotated[Path, typer.Option("--html", help="Where to; one that stands there is written over.")],
    since: SinceOption = None,
    assumptions: AssumptionsOption = None,
    config: ConfigOption = None,
) -> None:
    """Write what was spent, saved and used, day by day, with pictures, to one file of HTML."""
    from ringfence.cli.spent import write_report

    write_report(html, config, since, assumptions)
