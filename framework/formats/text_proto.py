"""The text format of protocol buffers, without a schema: every field is kept, under its name, in order.

Written from the published text format specification, for messages whose fields are numbers, strings, names and
nested messages: ``name: value``, ``name { ... }``, ``name: < ... >``, lists in brackets, adjacent strings, comments,
optional commas and semicolons, extension names in brackets. What a value means is the caller's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias, Union

from framework.errors import UserError

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
_CLOSING = {"{": "}", "<": ">"}
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Message:
    """A parsed message.

    Attributes
    ----------
    token
        Position of its first token; `Document.line` makes a line number of it.
    fields
        For each field name its occurrences: the position of the value's token, and the value: raw text as in
        the file (a number, a name, a quoted string), or a nested message.
    """

    token: int
    fields: dict[str, list[tuple[int, Value]]]


class Document:
    """A whole text-format file.

    Parameters
    ----------
    text
        Its content.
    where
        The file, for errors.

    Raises
    ------
    UserError
        With the line, if the text breaks the grammar.
    """

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self.where = where
        self._tokens: list[str] = [token for token in _TOKEN.findall(text) if token[0] != "#"]
        fields, end = self._fields(0, "", 0)
        if end < len(self._tokens):
            raise self.error(end, f"unexpected {self._tokens[end]!r}", "remove it, or open what it closes")
        self.root = Message(0, fields)

    def line(self, token: int) -> int:
        """Return the line number of a token (the last line, past the end)."""
        starts = [match.start() for match in _TOKEN.finditer(self._text) if match[0][0] != "#"]
        return self._text.count("\n", 0, starts[token] if token < len(starts) else len(self._text.rstrip())) + 1

    def place(self, token: int) -> str:
        """Return the file and line of a token, as the place of an error."""
        return f"{self.where}, line {self.line(token)}"

    def error(self, token: int, what: str, mend: str) -> UserError:
        """Return an error that names the line of a token."""
        return UserError(what, where=self.place(token), mend=mend)

    def _fields(self, at: int, closing: str, depth: int) -> tuple[dict[str, list[tuple[int, Value]]], int]:
        """Parse fields up to `closing` (the end, if empty); return them and the position of what ended them."""
        if depth > MAX_DEPTH:
            raise self.error(at, f"messages are nested more than {MAX_DEPTH} deep", "this is no cost graph")
        tokens, end = self._tokens, len(self._tokens)
        fields: dict[str, list[tuple[int, Value]]] = {}
        while at < end:
            name = tokens[at]
            if name in ("}", ">"):
                break
            if name == "[":
                name, at = self._extension_name(at)
            elif not (name[0].isalpha() or name[0] == "_"):
                raise self.error(at, f"expected a field name, not {name!r}", "write 'name: value' or 'name { ... }'")
            at += 1
            colon = at < end and tokens[at] == ":"
            at += colon
            opener = tokens[at] if at < end else ""
            occurrences = fields.setdefault(name, [])
            if opener in _CLOSING:
                message, at = self._message(at, depth)
                occurrences.append((message.token, message))
            elif colon and opener == "[":
                at = self._list(at, depth, occurrences)
            elif colon:
                token = at
                value, at = self._scalar(at)
                occurrences.append((token, value))
            else:
                raise self.error(at, f"expected ':' or '{{' after {name!r}", "the file may be cut off")
            if at < end and tokens[at] in (",", ";"):
                at += 1
        if (tokens[at] if at < end else "") != closing:
            found = repr(tokens[at]) if at < end else "the end of the file"
            raise self.error(
                at, f"expected {closing!r}, not {found}" if closing else f"unexpected {found}", "balance the brackets"
            )
        return fields, at

    def _message(self, at: int, depth: int) -> tuple[Message, int]:
        fields, end = self._fields(at + 1, _CLOSING[self._tokens[at]], depth + 1)
        return Message(at, fields), end + 1

    def _list(self, at: int, depth: int, occurrences: list[tuple[int, Value]]) -> int:
        tokens = self._tokens
        at += 1
        first = True
        while at < len(tokens):
            if tokens[at] == "]":
                return at + 1
            if not first:
                if tokens[at] != ",":
                    raise self.error(at, f"expected ',' or ']', not {tokens[at]!r}", "separate the values of a list")
                at += 1
            first = False
            token = at
            value: Value
            if at < len(tokens) and tokens[at] in _CLOSING:
                value, at = self._message(at, depth)
            else:
                value, at = self._scalar(at)
            occurrences.append((token, value))
        raise self.error(at, "a list does not end", "close it with ']'")

    def _scalar(self, at: int) -> tuple[str, int]:
        tokens = self._tokens
        token = tokens[at] if at < len(tokens) else ""
        if token == "-" and at + 1 < len(tokens):
            return "-" + tokens[at + 1], at + 2
        if not token or not (token[0].isalnum() or token[0] in "_-." or (token[0] in "\"'" and len(token) > 1)):
            found = {"": "the end of the file", '"': "a string that does not end", "'": "a string that does not end"}
            raise self.error(at, f"expected a value, not {found.get(token, repr(token))}", "give a number or a string")
        at += 1
        if token[0] in "\"'":
            while at < len(tokens) and tokens[at][0] in "\"'" and len(tokens[at]) > 1:
                token += tokens[at]
                at += 1
        return token, at

    def _extension_name(self, at: int) -> tuple[str, int]:
        for end in range(at, len(self._tokens)):
            if self._tokens[end] == "]":
                return "".join(self._tokens[at : end + 1]), end
        raise self.error(at, "an extension name does not end", "close it with ']'")


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
