"""A character of a scalar's value is found again in the file, however the scalar is written."""

import pytest

from catalog.compose import compose
from catalog.nodes import Mapping, Scalar
from catalog.places import locate, offset_in

STYLES = {
    "plain": "key: alpha beta !\n",
    "plain over lines": "key: alpha\n   beta\n\n   gamma !\nnext: 1\n",
    "single": "key: 'it''s a ''word'' !'\n",
    "double": 'key: "tab\\t \\"quoted\\" \\u00e9\\x41 new\\nline !"\n',
    "double over lines": 'key: "alpha \\\n    beta\n\n    gamma !"\n',
    "literal": "key: |\n  alpha\n\n    beta !\n",
    "literal with indicator": "key: |2-\n    alpha\n  beta !\n",
    "folded": "key: >\n  alpha\n  beta\n\n  gamma !\n",
    "anchored": "key: &name |\n  alpha !\n",
    "in a flow": "outer: [{key: 'a !'}]\nkey: {a: b, c: alpha ! }\n",
}


@pytest.mark.parametrize("text", STYLES.values(), ids=STYLES.keys())
def test_the_exclamation_mark_is_found(text: str) -> None:
    root, diagnostics = compose("file", text)
    assert diagnostics == []
    assert isinstance(root, Mapping)
    node = root.entries["key"].node
    scalar = node.entries["c"].node if isinstance(node, Mapping) else node
    assert isinstance(scalar, Scalar)
    mark = locate(text, scalar, scalar.text.index("!"))
    assert text.splitlines()[mark.line - 1][mark.column - 1] == "!"


def test_positions_beyond_the_text_stay_inside_it() -> None:
    assert offset_in("ab\ncd", 2, 2) == 4
    assert offset_in("ab\ncd", 9, 9) == 5
    assert offset_in("ab\ncd", 0, 0) == 0
