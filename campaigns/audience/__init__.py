"""Who may be addressed by a campaign as of an instant, who is kept out to measure it, why the others are left out."""

from campaigns.audience.people import Rows, rows_of
from campaigns.audience.selection import Audience, check_audience, eligible, meeting, select_audience
from campaigns.audience.steps import REASONS

__all__ = ["REASONS", "Audience", "Rows", "check_audience", "eligible", "meeting", "rows_of", "select_audience"]
