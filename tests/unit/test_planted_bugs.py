from __future__ import annotations

import pytest

from tests.simulation.planted import BUGS, Bug, source_of


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_what_a_planted_bug_replaces_is_there_once(bug: Bug) -> None:
    for module, right, _ in bug.changes:
        assert source_of(module).read_text().count(right) == 1, module
