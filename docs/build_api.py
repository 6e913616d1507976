"""`make docs`: the API reference of media and signaling, from their docstrings, as pages in build/api."""

from pathlib import Path

import pdoc
import pdoc.render

import signaling

OUT = Path(__file__).resolve().parents[1] / "build" / "api"

if __name__ == "__main__":
    # What is loaded when it is first used has to be there for pdoc.
    for name in signaling.__all__:
        setattr(signaling, name, getattr(signaling, name))
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc("media", "signaling", r"!media\..*", r"!signaling\..*", output_directory=OUT)
    print(f"wrote {OUT / 'index.html'}")
