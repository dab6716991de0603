"""Counts in sentences: 1 node, 2 nodes, 1 node is, 2 nodes are."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: ``1 run``, ``1,200 runs``, ``2 entries``.

    Parameters
    ----------
    noun
        In the singular; may be followed by words that stay as they are once `plural` is given.
    plural
        Where it is not the singular with an ``s`` (or ``ies`` for ``y`` after a consonant).
    """
    return f"{count:,} {choose(count, noun, plural or plural_of(noun))}"


def choose(count: int, one: str, many: str) -> str:
    """Return the form of a verb or noun that agrees with a number."""
    return one if count == 1 else many


def plural_of(noun: str) -> str:
    """Return the regular plural of an English noun."""
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"
