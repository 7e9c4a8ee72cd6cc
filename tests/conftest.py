"""What every test may use: the data folder, memory that shows when it is read uninitialised, and a quiet matplotlib.

torch is left one thread, here and in processes that tests start: several workers on as many cores would spend much of
their time waiting for one another. Tests of threads set their number themselves.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples every time, and none too slow: a busy machine is no fault of theirs.
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")
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


_PAINTED: set[str] = set()  # titles of pictures


@pytest.fixture
def painted() -> None:
    """For tests that look at pictures, or draw odd data, in a file of which the others use `painted_once`."""


@pytest.fixture
def painted_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are drawn, but only the first of each title is painted: that is most of what a small fit costs."""
    from gatework.tasks import plots

    if "painted" in request.fixturenames:
        return
    png = plots.png

    def first(figure) -> bytes:
        title = figure.get_suptitle()
        if title in _PAINTED:
            return b"\x89PNG, not painted"
        _PAINTED.add(title)
        return png(figure)

    monkeypatch.setattr(plots, "png", first)


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
