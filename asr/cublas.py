"""NVIDIA's cuBLAS from its Python package, which CTranslate2 looks for by name alone.

The extra `gpu` installs it into site-packages, where the dynamic linker does not look. A library that is loaded
already is found by its name, so it is loaded first; LD_LIBRARY_PATH is not needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
from pathlib import Path

PACKAGE = "nvidia.cublas"
LIBRARIES = ("libcublasLt.so.12", "libcublas.so.12")
"""In their order: the second needs the first."""


def preload_cublas(package: str = PACKAGE) -> list[Path]:
    """Load cuBLAS if its package is installed; tell what was loaded. What cannot be, CTranslate2 will miss and name."""
    loaded = []
    with contextlib.suppress(OSError):
        for path in (directory / "lib" / name for directory in _places(package) for name in LIBRARIES):
            if path.is_file():
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
                loaded.append(path)
    return loaded


def _places(package: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # of the package it lies in
        return []
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
