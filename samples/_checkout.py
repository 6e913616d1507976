"""Lets the samples run from a checkout, installed or not."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
