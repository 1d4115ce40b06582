"""A small library of knowledge, so that what these tests see does not depend on which pages there are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kernelevolve.knowledge import Library

sys.path.append(str(Path(__file__).parent))  # `context_requests`, for the tests beside it

PAGES = {
    "constraints/one-grid": """---
title: Every program handles its own remainder
kind: constraint
sources: [https://example.org/]
---
No program may rely on sizes being multiples of its block.
""",
    "guidance/memory-bound": """---
title: Move each byte once when memory is the limit
kind: guidance
bottleneck: [memory-bound]
sources: [https://example.org/]
---
Fuse passes over the same row; keep it in registers.
""",
    "languages/triton-masks": """---
title: Masks in Triton
kind: language
languages: [triton]
sources: [https://example.org/]
---
Give every masked load a neutral `other`.
""",
}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("knowledge")
    for name, text in PAGES.items():
        path: Path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Library.load([folder], builtin=False, environment=False)
