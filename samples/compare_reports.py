"""Lay two reports of calls side by side, a table and a page: the same as `ringline compare`.

python samples/compare_reports.py before/report.json after/report.json
python samples/compare_reports.py A B --html compare.html --fail-if 'mos_lq<-0.2' --fail-if 'delay_ms>+10%'
"""

import sys

import _checkout  # noqa: F401  (finds the checkout)

from ringline.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
