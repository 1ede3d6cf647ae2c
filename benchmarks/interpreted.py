"""Run a program with rudp as plain Python, also where its hot path is compiled.

    python benchmarks/interpreted.py PROGRAM [ARGUMENT]...

A compiled rudp has its source beside the extension modules. Here Python finds only the source, so
that both forms can be measured in one run.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType


class SourceFinder(MetaPathFinder):
    """Finds the modules within `rudp` that have a source, and no others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not fullname.startswith("rudp."):
            return None
        for directory in path:
            finder = FileFinder(directory, (SourceFileLoader, SOURCE_SUFFIXES))
            if (spec := finder.find_spec(fullname)) is not None:
                return spec
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, SourceFinder())
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
