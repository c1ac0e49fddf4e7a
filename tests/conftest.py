"""The same examples in every run: a red test is a change's doing, never a new example's."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
