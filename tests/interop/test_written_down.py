"""The list of pairs in docs/interop.md is the list of pairs that pass. Runs last."""

import pytest

from tests.interop.pairs import RECORD, written


def test_the_document_says_what_passes(request: pytest.FixtureRequest) -> None:
    record = request.config.stash[RECORD]
    table = [line for line in record.table().splitlines() if line]
    if request.config.option.write_docs:
        pytest.skip("it is being written")
    if not record.is_whole() or len(table) < len(written()):
        pytest.skip("not all of the tier ran and passed")
    assert written() == table, "run `pytest tests/interop --write-docs`"
