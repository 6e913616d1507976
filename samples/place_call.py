"""Call a number, talk for some seconds, hang up, and say how good it was: the same as `ringline call`.

    python samples/place_call.py +12025550101 --profile alice.profile --play question.wav --record answer.wav

What it does stands in ringline/place_call.py, in the order in which it happens.
"""

import sys

import _checkout  # noqa: F401  (finds the checkout)

from ringline.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["call", *sys.argv[1:]]))
