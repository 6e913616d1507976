"""Wait for calls and answer them, record, and say how good each call was: the same as `ringline answer`.

    python samples/answer_call.py --profile bob.profile --record heard.wav
    python samples/answer_call.py --profile bob.profile --echo --once
    python samples/answer_call.py --profile bob.profile --ring 3 --preconnect

What it does stands in ringline/answer_call.py, in the order in which it happens.
"""

import sys

import _checkout  # noqa: F401  (finds the checkout)

from ringline.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["answer", *sys.argv[1:]]))
