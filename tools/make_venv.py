"""Make a virtual environment with pip in it, with nothing but Python and PyPI.

Debian and Ubuntu split `ensurepip` off into python3-venv. Where it is missing, pip comes from PyPI: its wheel can
install itself. The package index is PyPI or what PIP_INDEX_URL names.

Usage: make_venv.py DIRECTORY
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from pathlib import Path

INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple")
WHEEL = re.compile(
    r'href="(?P<url>[^"#]*/(?P<name>pip-(?P<version>\d+(?:\.\d+)*)-py3-none-any\.whl))#sha256=(?P<hash>\w+)'
)


def main() -> None:
    """Make the environment, or say what is missing."""
    directory = Path(sys.argv[1])
    has_pip = importlib.util.find_spec("ensurepip") is not None
    venv.create(directory, with_pip=has_pip, clear=True, symlinks=True)
    if not has_pip:
        print("this Python has no ensurepip (Debian: python3-venv); fetching pip from PyPI", flush=True)
        install_pip(directory / "bin" / "python")


def install_pip(python: Path) -> None:
    """Fetch the newest pip, check it against the index, and let it install itself."""
    page_url = f"{INDEX.rstrip('/')}/pip/"
    page = fetch(page_url).decode()
    newest = max(WHEEL.finditer(page), key=lambda found: tuple(map(int, found["version"].split("."))))
    wheel = fetch(urllib.parse.urljoin(page_url, newest["url"]))
    if hashlib.sha256(wheel).hexdigest() != newest["hash"]:
        sys.exit(f"{newest['name']} is damaged: its checksum is not the index's")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / newest["name"]
        file.write_bytes(wheel)
        subprocess.run([python, file / "pip", "install", "--quiet", "--no-index", file], check=True)  # noqa: S603  our own


def fetch(url: str) -> bytes:
    """Read one URL of the index."""
    if not url.startswith("https://"):
        sys.exit(f"expected an https:// package index, got {url}")
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  https was checked
        body: bytes = answer.read()
    return body


if __name__ == "__main__":
    main()
