from __future__ import annotations

from typing import Any

import onnx
import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import UserError
from framework.formats.text_proto import MAX_DEPTH, Document, Message, unquote


def plain(value: str | Message) -> Any:
    if isinstance(value, str):
        return value
    return {name: [plain(found) for _, found in occurrences] for name, occurrences in value.fields.items()}


def parsed(text: str) -> list[tuple[str, Any]]:
    return [(name, plain(value)) for name, _, value in Document(text, "f")]


def test_grammar() -> None:
    text = """# comment
    a: 1, b: -2; c: - 3 d: 0x1F e: 1.5e-3f f: NAME g: "x" 'y'  # "not a string
    m { n: 1 n: 2 } m: < n: 3 > l: [1, 2] l: [] k [{ z: 1 }]
    """
    with pytest.raises(UserError, match=r"line 3: expected ':' or '\{' after 'k'"):
        parsed(text)
    assert parsed(text.replace("k [", "k: [")) == [
        ("a", "1"),
        ("b", "-2"),
        ("c", "-3"),
        ("d", "0x1F"),
        ("e", "1.5e-3f"),
        ("f", "NAME"),
        ("g", "\"x\"'y'"),
        ("m", {"n": ["1", "2"]}),
        ("m", {"n": ["3"]}),
        ("l", "1"),
        ("l", "2"),
        ("k", {"z": ["1"]}),
    ]
    assert parsed("[a.b/c.D] { x: 1 } [e]: 5") == [("[a.b/c.D]", {"x": ["1"]}), ("[e]", "5")]
    assert parsed("") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb", "line 2: expected ':' or '{' after 'b', not the end of the file"),
        ("a: 1\nb:", "line 2: expected a value, not the end of the file"),
        ("a: 1\n\nb: }", "line 3: expected a value, not '}'"),
        ("a: 1\n5: 1", "line 2: expected a field name, not '5'"),
        ("a {\nb: 1", "line 2: expected a field or '}', not the end of the file"),
        ("a {\nb: 1 >", "line 2: expected a field or '}', not '>'"),
        ("a: [1\n2]", "line 2: expected ',' or ']', not '2'"),
        ("a: [1,\n]", "line 2: expected a value, not ']'"),
        ("a: [1", "line 1: expected ',' or ']', not the end of the file"),
        ('a: "x\n"', "line 1: a string does not end"),
        ("[a: 1", "line 1: expected ']', not the end of the file"),
        ("a: 1 ?", "line 1: expected a field name, not '?'"),
        ("a: 1 }", "line 1: expected a field name, not '}'"),
        ("x {" * 5000, f"line 1: messages are nested more than {MAX_DEPTH} deep"),
    ],
)
def test_errors_name_the_line(text: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        parsed(text)
    assert str(caught.value).startswith("f, ")
    assert expected in str(caught.value)


def test_strings() -> None:
    assert unquote('"a"') == "a"
    assert unquote('"a\\n\\"b\\"" \'\\x41\\102\\u00e9\'') == 'a\n"b"AB\u00e9'
    assert unquote("12") is None


@settings(derandomize=True, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.integers(-(2**63), 2**63 - 1))
def test_agrees_with_protobuf_on_what_it_prints(text: str, number: int) -> None:
    node = onnx.NodeProto(name=text, op_type="x")
    node.attribute.add(name="a", i=number)
    printed = text_format.MessageToString(node, as_utf8=True)
    fields = dict(parsed(printed))
    assert unquote(fields.get("name", '""')) == text
    assert fields.get("attribute", {"i": ["0"]}).get("i", ["0"]) == [str(number)]


def test_a_whole_model_as_protobuf_prints_it() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[2, 3] x) => (float[2, 3] z) { y = Relu(x)  z = LeakyRelu<alpha: float = 0.5>(y) }"""
    )
    fields = dict(parsed(text_format.MessageToString(model)))
    nodes = fields["graph"]["node"]
    assert [node["op_type"] for node in nodes] == [['"Relu"'], ['"LeakyRelu"']]
    assert nodes[1]["attribute"][0]["f"] == ["0.5"]
