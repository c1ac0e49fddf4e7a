"""Who has read a campaign's texts as a speaker of their language. In Javanese and Sundanese a wrong register offends,
so nobody should get one that no speaker has read."""

from collections.abc import Iterator

from campaigns.spec import Campaign
from campaigns.words import languages, reviewer

REVIEWED = ("jv", "su")


def needs_reviewer(language: str) -> bool:
    """Whether texts in a language, or in one of its registers, are to be read by a speaker.

    >>> [needs_reviewer(language) for language in ("id", "jv", "su-loma")]
    [False, True, True]
    """
    return language.partition("-")[0] in REVIEWED


def unreviewed(campaign: Campaign) -> Iterator[str]:
    """A line for each text that no speaker is named for: the campaign's own, and the program's."""
    for language in filter(needs_reviewer, campaign.languages):
        if not campaign.content[language].reviewed_by:
            yield (
                f"content.{language}.reviewed_by: nobody is named who has read these texts as a speaker; "
                "have one read them, and write the name there"
            )
        if language in languages() and not reviewer(language):
            yield f"content.{language}: the program's own words in {language} have been read by no speaker yet"
