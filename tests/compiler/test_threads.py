"""Many threads, forked workers and autograd's own threads: right results, and no deadlock within the time limit."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from gatework.nn import LSTM

pytestmark = pytest.mark.timeout(120)
T, B, I, H = 12, 9, 8, 40  # noqa: E741


@pytest.fixture(autouse=True)
def two_threads():
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def work(layer: LSTM, x: torch.Tensor) -> list[torch.Tensor]:
    """Outputs and gradients of one forward and backward."""
    x = x.clone().requires_grad_()
    y, (h, c) = layer(x)
    return [y.detach(), *torch.autograd.grad(y.square().sum() + h.sum() + c.sum(), [x, *layer.parameters()])]


def close(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.allclose(p, q, rtol=1e-4, atol=1e-5) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("batch", [B, 2], ids=["rows-split", "units-split"])
def test_one_layer_in_many_threads(batch: int):
    layer = LSTM(I, H, backend="cpp")
    inputs = [torch.randn(T + k, batch, I) for k in range(8)]
    expected = [work(layer, x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = list(pool.map(lambda x: work(layer, x), inputs))
            assert all(close(a, b) for a, b in zip(expected, found, strict=True))


def test_backward_in_another_thread_than_forward():
    layer, x = LSTM(I, H, backend="cpp"), torch.randn(T, B, I)
    expected = work(layer, x)
    y, (h, c) = layer(x)
    total = y.square().sum() + h.sum() + c.sum()
    found: list[torch.Tensor] = []
    thread = threading.Thread(target=lambda: found.extend(torch.autograd.grad(total, list(layer.parameters()))))
    thread.start()
    thread.join(60)
    assert not thread.is_alive() and close(expected[2:], found)


def test_the_first_use_of_a_cell_by_many_threads_at_once():
    """Each thread has a layer and cell of its own, none of which has been asked for a kernel."""
    layers = [LSTM(I, H, backend="cpp") for _ in range(8)]
    x, start = torch.randn(T, B, I), threading.Barrier(8)

    def first(layer: LSTM) -> list[torch.Tensor]:
        start.wait(30)
        return work(layer, x)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(first, layers))
    assert all(close(work(layer, x), result) for layer, result in zip(layers, found, strict=True))


class Encoded(Dataset):
    """Items that are a layer's outputs, computed where the item is fetched."""

    def __init__(self, layer: LSTM, x: torch.Tensor) -> None:
        self.layer, self.x = layer, x

    def __len__(self) -> int:
        return self.x.shape[1]

    def __getitem__(self, b: int) -> torch.Tensor:
        with torch.no_grad():
            return self.layer(self.x[:, b : b + 1].expand(-1, B, -1))[0][:, 0]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core
def test_workers_of_a_data_loader():
    layer, x = LSTM(I, H, backend="cpp"), torch.randn(T, 6, I)
    expected = layer(x)[0].detach()
    work(layer, x)  # the parent has run on two threads before it forks
    loader = DataLoader(Encoded(layer, x), batch_size=2, num_workers=2, timeout=60, multiprocessing_context="fork")
    assert torch.allclose(torch.cat(list(loader)).transpose(0, 1), expected, atol=1e-6)


def test_a_forked_child_of_a_parent_with_threads():
    layer, x = LSTM(I, H, backend="cpp"), torch.randn(T, B, I)
    expected = work(layer, x)
    child = os.fork()
    if child == 0:
        os._exit(0 if close(work(layer, x), expected) else 3)
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended[0] == child, "the child hangs"
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert close(work(layer, x), expected), "and the parent goes on"


def test_results_do_not_depend_on_the_number_of_threads():
    layer = LSTM(I, 130, backend="cpp")
    for batch in (1, 3, 9, 40):
        x = torch.randn(T, batch, I)
        results = []
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            results.append(work(layer, x))
        assert all(close(results[0], other) for other in results[1:])
        assert all(torch.equal(a, b) for a, b in zip(results[-1], work(layer, x), strict=True)), "the same every time"
