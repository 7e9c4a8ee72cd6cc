"""Applications are fitted again and again here; few tests look at pictures, and say so (`painted`)."""

import pytest


@pytest.fixture(autouse=True)
def pictures(painted_once: None) -> None:
    """See `painted_once`."""
