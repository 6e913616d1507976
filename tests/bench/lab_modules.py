"""Finds the measurement lab, which lies beside this checkout or nowhere."""

import sys
from pathlib import Path

LAB = Path(__file__).resolve().parents[3] / "shared" / "lab"


def use_lab() -> None:
    """From now on its modules are found by their plain names, `media` among them: before ours of that name.

    Ends the program, with a word, where there is no lab.
    """
    if not LAB.exists():
        print("the lab is not beside this checkout", file=sys.stderr)
        raise SystemExit(2)
    sys.path.insert(0, str(LAB))
