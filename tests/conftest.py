"""For all tests."""

from hypothesis import settings

# How long an example takes on a busy machine says nothing; the time limit of a whole test still holds.
settings.register_profile("ringline", deadline=None)
settings.load_profile("ringline")
