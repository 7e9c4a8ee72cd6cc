"""What tests of many kernels share: a cache of their own, and a build that takes a third of the time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gatework.compiler import build


@pytest.fixture(scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels of random cells are nobody's to keep."""
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "cache_folder", lambda: folder)
        yield


@pytest.fixture
def unoptimised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are built without optimisation; their keys are others, since flags are part of a key."""
    command = build.command
    monkeypatch.setattr(build, "command", lambda *words: ["-O0" if w == "-O2" else w for w in command(*words)])


@pytest.fixture
def same_threads() -> Iterator[None]:
    """torch's number of threads is as before at the end."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
