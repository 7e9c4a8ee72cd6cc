"""Every test here runs with the same random numbers, on poisoned memory, and leaves the number of threads as it was."""

import zlib

import pytest
import torch


@pytest.fixture(autouse=True)
def conditions(request: pytest.FixtureRequest, poisoned_empty: None):
    torch.manual_seed(zlib.crc32(request.node.nodeid.encode()))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
