"""Fit every model at a cut in time, let the best at what was bought since serve, and refuse one that is no good."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.champion import Champion, discard_models, load_champion, publish_champion
from flows.guards import MOST_ORDERS, RefusedModel, check_against_serving, check_evaluation, check_matrix, check_model
from flows.instants import flow_instant
from flows.recipes import BASELINES, FACTORED, FITS, Material
from flows.recommend import publish_recommendations
from flows.redemptions import judge_redemptions, read_facts, with_redemptions
from flows.settings import Settings, Train, load_settings, window
from flows.workspace import Workspace, open_workspace, read_table, table_digest
from recsys.artifact import ArtifactError
from recsys.evaluation import Scorer, evaluate, hold_out, split_metric, translated
from recsys.foresight import judge_chances
from recsys.history import history
from recsys.interactions import InteractionMatrix, build_matrix
from recsys.models import ModelError, Recommender
from recsys.tables import InputError

log = logging.getLogger("larisma")

SERVING = "serving"  # the name of the model that serves, among those it is compared to
LEAST_CUSTOMERS = 20  # known before the cut who bought after it; fewer say nothing about which model is best
LEAST_ITEMS = 10


@dataclass(frozen=True, eq=False)
class Trial:
    """Every kind of model fitted at the cut, and how each ranked what was bought in [cut, as_of)."""

    material: Material
    models: dict[str, Recommender]
    evaluation: dict[str, Any]
    serving: Champion | None
    note: str | None  # why the model that serves was not compared, if it was not


def train_models(workspace: Workspace, settings: Settings, as_of: datetime) -> dict[str, Any]:
    """Fits, judges, checks and publishes a model of what was bought before as_of (whole seconds).

    Returns plain JSON values: {"id": the folder in models/, "champion": the kind that won, "as_of", "cut", "metric",
    "metrics": the winner's means over all, "evaluation": see recsys.evaluation, "compared_with": the ID of the model
    that served, "note": why it could not be compared, "customers", "items", "settings", "inputs", "code"}. inputs has
    "model" where the fit went on from an earlier one's factors: see train.warm_days.
    Models older than the newest train.keep_models are deleted. Raises InputError if there is too little to train on and
    RefusedModel if a check fails; nothing is then published.
    """
    as_of = _whole_seconds(as_of)
    cut = as_of - window(settings)
    log.info("reading purchases")
    purchases = read_table(workspace, "purchases", as_of=as_of)
    before = night_before(workspace, as_of, settings.train)
    trial = _try(workspace, settings, purchases, as_of, before)
    champion = trial.evaluation["best"]
    matrix = _matrix(purchases, as_of, settings.train)
    check_against_serving(matrix, trial.serving)
    check_evaluation(trial.evaluation, SERVING, trial.serving, settings.train.metric, settings.train.tolerance)
    material = replace(
        trial.material, matrix=matrix, as_of=as_of, earlier=trial.material, before=before.serving if before else None
    )
    model = _fit(champion, material)
    rows = [row for row in trial.evaluation["rows"] if (row["model"], row["slice"]) == (champion, "all")]
    manifest = {
        "champion": champion,
        "as_of": as_of.isoformat(),
        "cut": cut.isoformat(),
        "metric": settings.train.metric,
        "metrics": {row["metric"]: row["mean"] for row in rows},
        "evaluation": trial.evaluation,
        "compared_with": trial.serving.id if trial.serving else None,
        "note": trial.note,
        "customers": len(matrix.customers),
        "items": len(matrix.items),
        "settings": settings.train.model_dump(mode="json"),
        "inputs": {
            "purchases": {"rows": purchases.num_rows, "sha256": table_digest(purchases)},
            **({"model": {"id": before.id, "sha256": before.manifest["digests"]}} if before else {}),
        },
        "code": version("larisma"),
    }
    log.info("publishing")
    published = publish_champion(workspace, manifest, (model, matrix), (trial.models[champion], trial.material.matrix))
    discard_models(workspace, settings.train.keep_models)
    return {"id": published.id, **manifest}


def evaluate_models(workspace: Workspace, settings: Settings, as_of: datetime | None) -> dict[str, Any]:
    """How every model, and the one that serves, would have ranked the last window before as_of; changes nothing.

    as_of: None for just after the newest purchase, so that a window of purchases that are known is always judged.
    Returns what recsys.evaluation.evaluate does, and "propensity": how good chances of purchase learned before the
    window were, see recsys.foresight (null where too little was known); where past offers and their redemptions are
    known, with rows of how well these were ranked as well, see flows.redemptions. Raises InputError if there is too
    little to judge by.
    """
    as_of = _whole_seconds(as_of or _after_newest(workspace))
    purchases = read_table(workspace, "purchases", as_of=as_of)
    evaluation = _try(workspace, settings, purchases, as_of).evaluation
    log.info("judging chances of purchase")
    items = read_table(workspace, "items")
    known = history(purchases, as_of, items["item_id"].combine_chunks())
    evaluation["propensity"] = judge_chances(known, items, settings.train.window_days, settings.train.seed)
    log.info("judging past offers by who redeemed them")
    return with_redemptions(evaluation, judge_redemptions(read_facts(workspace, as_of), settings.train.seed))


def night_before(workspace: Workspace, as_of: datetime, train: Train) -> Champion | None:
    """The model that served before as_of, if it is young enough and of a kind and width to go on from."""
    if not train.warm_days:
        return None
    try:
        before = load_champion(workspace, as_of - timedelta(seconds=1))
    except InputError:  # none, or a damaged one: from scratch, then
        return None
    if as_of - before.as_of > timedelta(days=train.warm_days) or before.name not in FACTORED:
        return None
    widths = {part.model.arrays()["item_factors"].shape[1] for part in (before.serving, before.at_cut)}
    return before if widths == {train.factors} else None


def _try(
    workspace: Workspace, settings: Settings, purchases: pa.Table, as_of: datetime, before: Champion | None = None
) -> Trial:
    split_metric(settings.train.metric)
    cut = as_of - window(settings)
    _require_purchases(purchases, cut, as_of, settings.train)
    matrix = _matrix(purchases, cut, settings.train)
    if len(matrix.items) < LEAST_ITEMS:
        raise InputError(
            f"purchases: {len(matrix.items)} items were bought by at least {settings.train.min_item_buyers} customers "
            f"before {cut.isoformat()}, too few to train on (at least {LEAST_ITEMS}); {_more_items(settings.train)}"
        )
    held_out = hold_out(matrix, purchases, cut, as_of, seed=settings.train.seed)
    if len(held_out.rows) < LEAST_CUSTOMERS:
        raise InputError(
            f"purchases: {len(held_out.rows)} customers known before {cut.isoformat()} bought again by "
            f"{as_of.isoformat()}, too few to judge by (at least {LEAST_CUSTOMERS}); lengthen train.window_days"
        )
    items = read_table(workspace, "items", columns=["item_id", "category"])
    at_cut = before.at_cut if before else None
    days = window(settings) / timedelta(days=1)
    material = Material(matrix, purchases, items, cut, days, settings.train, before=at_cut)
    models = {name: _fit(name, material) for name in FITS}
    scorers: dict[str, Scorer] = {name: model.scores for name, model in models.items()}
    serving, note = _serving(workspace, cut, as_of)
    if serving:
        scorers[SERVING] = translated(serving.at_cut.model, serving.at_cut.matrix, matrix)
    log.info("judging by %d customers", len(held_out.rows))
    seed, metric = settings.train.seed, settings.train.metric
    evaluation = evaluate(scorers, held_out, seed=seed, metric=metric, contenders=list(FITS), baselines=BASELINES)
    return Trial(material, models, evaluation, serving, note)


def _more_items(train: Train) -> str:
    shorter = "shorten train.window_days, so that more is known before it"
    return shorter if train.min_item_buyers == 1 else f"lower train.min_item_buyers, or {shorter}"


def _matrix(purchases: pa.Table, as_of: datetime, train: Train) -> InteractionMatrix:
    least = train.min_item_buyers
    half_life = train.half_life_days
    matrix = build_matrix(purchases, as_of, half_life_days=half_life, min_item_buyers=least, cap=MOST_ORDERS)
    check_matrix(matrix)
    return matrix


def _fit(name: str, material: Material) -> Recommender:
    log.info("fitting %s", name)
    try:
        model = FITS[name](material)
    except ModelError as error:
        raise RefusedModel(f"{name} cannot be fitted", str(error)) from error
    check_model(model)
    return model


def _serving(workspace: Workspace, cut: datetime, as_of: datetime) -> tuple[Champion | None, str | None]:
    """The model that served as of then, or why comparing with it is not fair or not possible.

    It has itself seen part of this window; its twin at its own cut, which is compared, has not if that cut is no later.
    """
    try:
        serving = load_champion(workspace, as_of)
    except ArtifactError as error:  # training anew is the way to mend it
        return None, f"the model that served is damaged: {str(error).replace(f'{workspace.root}/', '')}"
    except InputError:
        return None, "no model served before"
    if serving.cut > cut:
        return None, f"{serving.id} was fitted on purchases up to {serving.cut.isoformat()}, after this cut"
    return serving, None


def _require_purchases(purchases: pa.Table, cut: datetime, as_of: datetime, train: Train) -> None:
    if not purchases.num_rows:
        raise InputError(f"purchases: none before {as_of.isoformat()}; ingest some, or choose a later as-of instant")
    first, last = pc.min_max(purchases["occurred_at"]).as_py().values()
    if not first < cut <= last:
        after, half = _just_after(last), (last - first).days // 2
        if half <= train.window_days:
            remedy = f"shorten train.window_days, to {half} at most" if half else "more days of them are needed"
        else:
            remedy = f"choose another as-of instant, such as --as-of {after.isoformat()}, just after the last of them"
        raise InputError(
            f"purchases: they run from {first.isoformat()} to {last.isoformat()}, which does not reach both sides of "
            f"{cut.isoformat()}, {train.window_days} days before {as_of.isoformat()}; {remedy}"
        )


def _after_newest(workspace: Workspace) -> datetime:
    newest = pc.max(read_table(workspace, "purchases", columns=["occurred_at"])["occurred_at"]).as_py()
    return _just_after(newest) if newest else datetime.fromtimestamp(0, UTC)


def _just_after(newest: datetime) -> datetime:
    return _whole_seconds(newest) + timedelta(seconds=1)


def _whole_seconds(as_of: datetime) -> datetime:
    if as_of.tzinfo is None:
        raise InputError(f"as-of instant {as_of}: expected a time zone, such as {as_of.isoformat()}+07:00")
    return as_of.astimezone(UTC).replace(microsecond=0)


# --- as a Prefect flow -----------------------------------------------------------------------------------------------


def _may_pass(_task: Any, _run: Any, state: State) -> bool:
    """Whether trying again can help: with disks and networks, not with wrong input or a refused model."""
    return isinstance(state.data, OSError)


@task(name="train models", retries=2, retry_delay_seconds=10, retry_condition_fn=_may_pass, cache_policy=NO_CACHE)
def _train(workspace: str, as_of: str) -> dict[str, Any]:
    place = open_workspace(Path(workspace))
    return train_models(place, load_settings(place), datetime.fromisoformat(as_of))


@flow(name="train")
def train(workspace: str, as_of: str | None = None) -> dict[str, Any]:
    """Trains and publishes; shows the evaluation and what was decided in Prefect's pages. See train_models.

    as_of: ISO 8601 with a time zone; null: when this run was to start.
    """
    instant = flow_instant(as_of)
    summary = _train(workspace, instant.isoformat())
    place = open_workspace(Path(workspace))
    if n := load_settings(place).train.recommendations:
        log.info("recommending items to everybody")
        summary["recommendations"] = publish_recommendations(place, load_champion(place, instant), n)["counts"]
    create_table_artifact(key="train-evaluation", table=summary["evaluation"]["rows"], description="95% intervals")
    create_markdown_artifact(key="train", markdown=describe(summary))
    return summary


def describe(summary: dict[str, Any]) -> str:
    """What training did, as Markdown."""
    evaluation, metric = summary["evaluation"], summary["metric"]
    lines = [
        f"**{summary['champion']}** serves as `{summary['id']}`: {summary['customers']:,} customers × "
        f"{summary['items']:,} items, purchases before {summary['as_of']}.",
        "",
        f"| model | {metric} | 95% interval |",
        "|---|---:|---|",
    ]
    rows = [row for row in evaluation["rows"] if (row["slice"], row["metric"]) == ("all", metric)]
    lines += [f"| {row['model']} | {row['mean']:.4f} | {row['low']:.4f} to {row['high']:.4f} |" for row in rows]
    compared = summary["compared_with"]
    lines += ["", f"Compared with `{compared}`." if compared else f"Not compared: {summary['note']}."]
    return "\n".join([*lines, f"Judged by {evaluation['customers']:,} customers since {summary['cut']}."])
