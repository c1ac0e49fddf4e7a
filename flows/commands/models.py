"""Models and what they recommend."""

from pathlib import Path
from typing import Annotated

import typer

from flows import console
from flows.commands.options import HERE, AsJson, AsOf, Folder, Language, at_work, instant, opened, spoken


def train(workspace: Folder = HERE, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Fit the models, let the best by held-out purchases serve, refuse one that is worse than what serves."""
    _, settings = opened(workspace)
    at = instant(as_of, settings.timezone)
    from flows import views
    from flows.train import train as flow

    with at_work("train", as_json):
        summary = flow(str(workspace), at.isoformat())
    if as_json:
        return console.print_json(summary)
    views.show_evaluation(summary["evaluation"])
    console.finish(
        f"{summary['champion']} serves: {workspace / 'models' / summary['id']}",
        [f"larisma campaign list --workspace {workspace}"],
    )


def evaluate(workspace: Folder = HERE, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Every model on purchases held out in time, with 95% intervals; changes nothing.

    Without --as-of, the last window of the purchases known is held out.
    """
    from flows import views
    from flows.train import evaluate_models

    place, settings = opened(workspace)
    with at_work("evaluate", as_json):
        result = evaluate_models(place, settings, instant(as_of, settings.timezone) if as_of else None)
    if as_json:
        return console.print_json(result)
    views.show_evaluation(result)
    views.show_propensity(result["propensity"])
    console.finish("nothing was changed", [f"larisma train --workspace {workspace}"])


def recommend(
    customer: str,
    workspace: Folder = HERE,
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many items.")] = 10,
    discover: Annotated[bool, typer.Option("--discover", help="Only items never bought.")] = False,
    language: Language = None,
    as_json: AsJson = False,
) -> None:
    """The best items for one customer, with the reason for each."""
    from flows.recommend import recommend_items

    place, settings = opened(workspace)
    result = recommend_items(place, settings, customer, n, discover=discover, language=spoken(language, settings))
    if as_json:
        return console.print_json(result)
    header = ("", "item", "title", "score", "reason")
    rows = [(row["position"], row["item_id"], row["title"], row["score"], row["reason"]) for row in result]
    console.show(f"For {customer}", header, rows)
    console.finish("nothing was changed", [f"larisma score --customers FILE --out FILE --workspace {workspace}"])


def score(
    customers: Annotated[Path, typer.Option(help="CSV or Parquet with a column customer_id.")],
    out: Annotated[Path, typer.Option(help="Where the recommendations go: .csv or .parquet.")],
    workspace: Folder = HERE,
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many items for each.")] = 10,
    as_json: AsJson = False,
) -> None:
    """The best items for a list of customers, as a file."""
    from flows.recommend import score_customers

    place, _ = opened(workspace)
    result = score_customers(place, customers, out, n)
    if as_json:
        return console.print_json(result)
    console.finish(
        f"wrote {out}: {console.number(result['rows'])} rows for {console.number(result['customers'])} customers, "
        f"{console.number(result['without_history'])} of them without history (popular items)"
    )
