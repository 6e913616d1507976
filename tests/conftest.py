"""For all tests."""

from hypothesis import settings

# How long an example takes on a busy machine says nothing; the time limit of a whole test still holds.
settings.register_profile("ringline", deadline=None, max_examples=10)
settings.register_profile("thorough", deadline=None, max_examples=100)  # make test-long
settings.load_profile("ringline")
