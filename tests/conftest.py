"""What every test may use: the data folder, memory that shows when it is read uninitialised, and a quiet matplotlib."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """GATEWORK_DATA, or ../shared/data beside the repository; the test is skipped where neither is there."""
    folder = Path(os.environ.get("GATEWORK_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the data folder {folder}; set GATEWORK_DATA")
    return folder


@pytest.fixture
def poisoned_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.empty and its kin return NaN instead of whatever memory held, so that reading it shows in a result."""
    import torch
    from torch.utils._device import _device_constructors

    _device_constructors()  # torch keeps what it finds here for good: `with torch.device(...)` must know the real ones

    def poison(make):
        def poisoned(*args, **kwargs):
            tensor = make(*args, **kwargs)
            if (tensor.is_floating_point() or tensor.is_complex()) and tensor.device.type != "meta":
                with torch.no_grad():
                    tensor.fill_(float("nan"))
            return tensor

        return poisoned

    for name in ("empty", "empty_like", "empty_strided"):
        monkeypatch.setattr(torch, name, poison(getattr(torch, name)))
    for name in ("new_empty", "new_empty_strided"):
        monkeypatch.setattr(torch.Tensor, name, poison(getattr(torch.Tensor, name)))
