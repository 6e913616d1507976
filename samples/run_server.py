"""Start the signaling server: the same as `ringline serve`.

    python samples/run_server.py                    # http://127.0.0.1:8480, codes are printed here
    python samples/run_server.py --port 0 --sms file:sms.jsonl --data /var/lib/ringline
    python samples/run_server.py --turn turn:turn.example --turn-secret env:TURN_SECRET

Stop it with Ctrl-C.
"""

import sys

import _checkout  # noqa: F401  (finds the checkout)

from ringline.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
