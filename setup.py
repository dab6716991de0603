"""What the package says of itself on an index: README.md, in which links lead to the address of the repository.

On an index there is no file beside the description. PIPEBOUND_ADDRESS names where the files can be read, such as
``https://HOST/OWNER/pipebound/blob/vX.Y.Z``; without it, the words of links into the repository stay, and pictures go.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from setuptools import setup

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")


def description(text: str, address: str) -> str:
    """Return the text with links of the repository made absolute, or without them where there is no address."""

    def link(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        if address:
            return f"{picture}[{words}]({address.rstrip('/')}/{target})"
        return "" if picture else words

    return _LINK.sub(link, text)


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(
        long_description=description(readme, os.environ.get("PIPEBOUND_ADDRESS", "")),
        long_description_content_type="text/markdown",
    )
