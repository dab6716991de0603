"""The text format of protocol buffers, without a schema: every field is kept, under its name, in order.

Written from the published text format specification, for messages whose fields are numbers, strings, names and
nested messages: ``name: value``, ``name { ... }``, ``name: < ... >``, lists in brackets, adjacent strings, comments,
optional commas and semicolons, extension names in brackets. What a value means is the caller's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, Union

from framework.errors import UserError
from framework.input_files import LIMIT_VARIABLE, check_deadline, size_limit

Value: TypeAlias = Union[str, "Message"]

MAX_DEPTH = 100
"""Nesting that the protocol buffer libraries allow by default, too."""

_TOKEN = re.compile(
    r"""[A-Za-z_]\w*                                        # a name
      | -?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[fF]?
      | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*'
      | \#[^\n]*                                            # a comment
      | \S                                                  # punctuation, or an error""",
    re.VERBOSE,
)
_LOOK_EVERY = 1 << 12
"""Tokens between two looks at the clock."""
_BLOCK = 1 << 20
_BYTES_PER_TOKEN = 64
_CLOSING = {"{": "}", "<": ">"}
_QUOTES = frozenset("\"'")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Message:
    """A parsed message.

    Attributes
    ----------
    token
        Position of its first token; `Document.place` makes a line number of it.
    fields
        For each field name its occurrences: the position of the value's token, and the value: raw text as in
        the file (a number, a name, a quoted string), or a nested message.
    """

    token: int
    fields: dict[str, list[tuple[int, Value]]]


class Document:
    """A text-format file, parsed as it is iterated over: no more than one top-level field is held at a time.

    Parameters
    ----------
    text
        Its content.
    where
        The file, for errors.
    """

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self.where = where
        self._tokens = _tokens(text, where)
        # A sentinel spares every look at the next token a look at the length.
        self._end = len(self._tokens)
        self._tokens += ["", ""]
        self._at = 0
        self._look = 0

    def __iter__(self) -> Iterator[tuple[str, int, Value]]:
        """Iterate over the top-level fields: name, position of the value's token, value.

        Raises
        ------
        UserError
            With the line, where the text breaks the grammar.
        """
        self._at = self._look = 0
        while self._at < self._end:
            field: dict[str, list[tuple[int, Value]]] = {}
            self._field(field, 0)
            for name, occurrences in field.items():
                for token, value in occurrences:
                    yield name, token, value

    def place(self, token: int) -> str:
        """Return the file and line of a token (of the last line, past the end), as the place of an error."""
        start, seen = len(self._text.rstrip()), 0
        for match in _TOKEN.finditer(self._text):
            if match[0][0] == "#":
                continue
            if seen == token:
                start = match.start()
                break
            seen += 1
            if seen % _LOOK_EVERY == 0:
                check_deadline(self.where)
        line = self._text.count("\n", 0, start) + 1
        return f"{self.where}, line {line}"

    def error(self, token: int, what: str, hint: str) -> UserError:
        """Return an error that names the line of a token."""
        return UserError(what, where=self.place(token), hint=hint)

    def _unexpected(self, expected: str, hint: str) -> UserError:
        found = self._tokens[self._at]
        if found in ('"', "'"):
            return self.error(self._at, "a string does not end", "close it on the same line")
        said = repr(found) if found else "the end of the file"
        return self.error(self._at, f"expected {expected}, not {said}", hint)

    def _field(self, fields: dict[str, list[tuple[int, Value]]], depth: int) -> None:
        tokens, at = self._tokens, self._at
        if at >= self._look:
            self._look = at + _LOOK_EVERY
            check_deadline(self.where)
        name = tokens[at]
        if name == "[":
            name = self._extension_name()
        elif not (name[:1].isalpha() or name[:1] == "_"):
            raise self._unexpected("a field name", "write 'name: value' or 'name { ... }'")
        else:
            self._at = at = at + 1
        at = self._at
        colon = tokens[at] == ":"
        if colon:
            self._at = at = at + 1
        occurrences = fields.setdefault(name, [])
        if tokens[at] in _CLOSING:
            occurrences.append((at, self._message(depth)))
        elif not colon:
            raise self._unexpected(f"':' or '{{' after {name!r}", "the file may be cut off")
        elif tokens[at] == "[":
            self._list(depth, occurrences)
        else:
            occurrences.append((at, self._scalar()))
        if tokens[self._at] in (",", ";"):
            self._at += 1

    def _message(self, depth: int) -> Message:
        tokens, start = self._tokens, self._at
        closing = _CLOSING[tokens[start]]
        if depth >= MAX_DEPTH:
            raise self.error(start, f"messages are nested more than {MAX_DEPTH} deep", "this is no cost graph")
        fields: dict[str, list[tuple[int, Value]]] = {}
        self._at = start + 1
        while tokens[self._at] != closing:
            if tokens[self._at] in ("", "}", ">", "]"):
                raise self._unexpected(f"a field or {closing!r}", "balance the brackets; the file may be cut off")
            self._field(fields, depth + 1)
        self._at += 1
        return Message(start, fields)

    def _list(self, depth: int, occurrences: list[tuple[int, Value]]) -> None:
        tokens = self._tokens
        self._at += 1
        if tokens[self._at] == "]":
            self._at += 1
            return
        while True:
            token = self._at
            if token >= self._look:
                self._look = token + _LOOK_EVERY
                check_deadline(self.where)
            value = self._message(depth) if tokens[token] in _CLOSING else self._scalar()
            occurrences.append((token, value))
            if tokens[self._at] not in (",", "]"):
                raise self._unexpected("',' or ']'", "separate the values of a list")
            self._at += 1
            if tokens[self._at - 1] == "]":
                return

    def _scalar(self) -> str:
        tokens = self._tokens
        token = tokens[self._at]
        first = token[:1]
        if first in _QUOTES and len(token) > 1:
            while tokens[self._at + 1][:1] in _QUOTES and len(tokens[self._at + 1]) > 1:
                self._at += 1
                token += tokens[self._at]
        elif token == "-":
            self._at += 1
            token += tokens[self._at]
        elif not (first.isalnum() or (first and first in "_-." and len(token) > 1)):
            raise self._unexpected("a value", "give a number or a string")
        self._at += 1
        return token

    def _extension_name(self) -> str:
        start = self._at
        while self._tokens[self._at] not in ("]", ""):
            self._at += 1
        if not self._tokens[self._at]:
            raise self._unexpected("']'", "close the extension name")
        self._at += 1
        return "".join(self._tokens[start : self._at])


def _tokens(text: str, where: str) -> list[str]:
    """Cut a text into tokens, block by block of whole lines: no token holds the end of a line."""
    tokens: list[str] = []
    start = 0
    while start < len(text):
        end = text.find("\n", min(start + _BLOCK, len(text))) + 1 or len(text)
        found = _TOKEN.findall(text, start, end)
        tokens += [token for token in found if token[0] != "#"] if "#" in text[start:end] else found
        start = end
        check_deadline(where)
        if len(tokens) * _BYTES_PER_TOKEN > size_limit():
            raise UserError(
                f"more than {len(tokens)} tokens are too many to hold in memory",
                where=where,
                hint=f"if they are meant: `{LIMIT_VARIABLE}={-(-2 * len(tokens) * _BYTES_PER_TOKEN // 10**9)}GB`",
            )
    return tokens


def unquote(text: str) -> str | None:
    """Return the string a value spells (adjacent ones joined, escapes resolved); None if it is no string."""
    if text[0] not in "\"'":
        return None
    parts = [token[1:-1] for token in _TOKEN.findall(text)]
    return _ESCAPE.sub(_escaped, "".join(parts))


def _escaped(match: re.Match[str]) -> str:
    octal, short, unicode4, unicode8, letter = match.groups()
    if octal:
        return chr(int(octal, 8))
    digits = short or unicode4 or unicode8
    if digits:
        return chr(min(int(digits, 16), 0x10FFFF))
    return _LETTERS.get(letter, letter)
