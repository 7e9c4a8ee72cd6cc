"""Cells that do not fit the rules: each is refused with what is wrong with it and how to mend it."""

from __future__ import annotations

import pytest
import torch
from torch import tanh

from gatework.cells import Cell, find, matrix, vector
from gatework.compiler.explain import explain
from gatework.errors import CellError
from gatework.nn import Recurrent


def plain(self, x, s, U):
    return tanh(x.a + U.a @ s.h)


def define(**parts: object) -> type[Cell]:
    """A class `Mine` of a state h, a gate a and a proper step, with some parts replaced; None removes one."""
    parts = {"state": "h", "gates": ("a",), "step": plain} | parts
    return type("Mine", (Cell,), {key: part for key, part in parts.items() if part is not None})


def takes(names: str, body: object = plain):
    """A step with other argument names."""
    scope: dict[str, object] = {}
    exec(f"def step({names}): return None", scope)
    return scope["step"]


DEFINITIONS = {
    "no state": ({"state": None}, r'no state\. Name at least one: state = "h"'),
    "empty state": ({"state": ()}, "no state"),
    "no step": ({"step": None}, r"no `step`\. Write: def step\(self, x, s, U\): \.\.\. return h"),
    "a state twice": ({"state": ("h", "h")}, r"a name stands twice in state = \('h', 'h'\)"),
    "a gate twice": ({"gates": ("i", "f", "i")}, "a name stands twice in gates"),
    "a state that is no name": ({"state": ("h", "the cell")}, "'the cell' in state is not a Python name"),
    "a gate that is no name": ({"gates": ("1",)}, "'1' in gates is not a Python name"),
    "a gate that is a number": ({"gates": (1,)}, "1 in gates is not a Python name"),
    "unknown forget gate": ({"forget_gate": "f"}, r"'f' is named as a gate's role, but the gates are \('a',\)"),
    "unknown input gate": ({"input_gate": "i"}, "'i' is named as a gate's role"),
    "step without x": ({"step": takes("self, s, U")}, r"must begin with \(self, x, s\)"),
    "step without self": ({"step": takes("x, s, U")}, r"must begin with \(self, x, s\)"),
    "undeclared argument": (
        {"step": takes("self, x, s, U, q")},
        r"takes 'q', declared are: U\. Declare it: q = vector",
    ),
    "misspelt argument": (
        {"peep": vector("i"), "step": takes("self, x, s, U, peeps")},
        r"takes 'peeps', declared are: peep, U\. Did you mean 'peep'\?",
    ),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definition(name: str):
    parts, message = DEFINITIONS[name]
    with pytest.raises(CellError, match=message) as caught:
        define(**parts)
    assert "Mine" in str(caught.value), "the message names the cell"


def two(self, x, s, U):
    return plain(self, x, s, U), s.h


STEPS = {
    "too many states": (two, r"returned 2 states; declared are 1: h"),
    "nothing": (lambda self, x, s, U: None, r"must return 1 tensor\(s\) \(h\), not None"),
    "a number": (lambda self, x, s, U: 0.5, r"must return 1 tensor\(s\)"),
    "a list of numbers": (lambda self, x, s, U: [0.5], r"must return 1 tensor\(s\)"),
    "a generator": (lambda self, x, s, U: (v for v in (s.h,)), r"must return 1 tensor\(s\)"),
    "another shape": (
        lambda self, x, s, U: (U.a @ s.h)[:, :1],
        r"returned h of shape \(\d+, 1\); expected \(\d+, \d+\) = \[B, H\]",
    ),
    "a sum over units": (lambda self, x, s, U: (U.a @ s.h).sum(-1), r"returned h of shape"),
    "unknown gate": (lambda self, x, s, U: x.b + U.a @ s.h, r"`x\.b` is used in `step`, but x has only: a"),
    "unknown state": (lambda self, x, s, U: x.a + U.a @ s.c, r"`s\.c` is used in `step`, but s has only: h"),
    "unknown matrix": (lambda self, x, s, U: x.a + U.b @ s.h, r"`U\.b` is used in `step`, but U has only: a"),
    "matrix as a tensor": (lambda self, x, s, U: x.a + U.a.t() @ s.h, r"`\.t` of a matrix is used in `step`"),
    "matrix on the right": (
        lambda self, x, s, U: s.h @ U.a,
        r"a matrix stands on the right of @ in `step`; write U\.i @ s\.h",
    ),
}


@pytest.mark.parametrize("backend", ["auto", "cpp", "reference"])
@pytest.mark.parametrize("name", STEPS)
def test_step(name: str, backend: str):
    step, message = STEPS[name]
    layer = Recurrent(define(step=step), 4, 7, backend=backend)
    with pytest.raises(CellError, match=message):
        layer(torch.zeros(2, 3, 4))


@pytest.mark.parametrize("backend", ["auto", "cpp", "reference"])
@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (lambda self, x, s, U: x.a.t() + U.a @ s.h, RuntimeError),
        (lambda self, x, s, U: x.a.squash() + U.a @ s.h, AttributeError),
        (lambda self, x, s, U: torch.tanh(x.a, s.h) + U.a @ s.h, TypeError),
    ],
)
def test_errors_of_torch_keep_their_place_and_gain_the_shapes(step, kind: type[Exception], backend: str):
    layer = Recurrent(define(step=step), 4, 7, backend=backend)
    with pytest.raises(kind) as caught:
        layer(torch.zeros(2, 3, 4))
    assert any("in `step` of cell mine" in note and "[B, H]" in note for note in caught.value.__notes__)


def test_too_few_states():
    layer = Recurrent(define(state=("h", "c")), 4, 7)
    with pytest.raises(CellError, match=r"returned 1 states; declared are 2: h, c"):
        layer(torch.zeros(2, 3, 4))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lsmt", r"no cell is called 'lsmt'\. Did you mean 'lstm'\?"),
        ("LSTM", r"Did you mean 'lstm'\?"),
        ("peephole_lstm", r"Did you mean 'peephole-lstm'\?"),
        ("transformer", r"no cell is called 'transformer'.*There are: .*gru.*lstm"),
        ("", "no cell is called ''"),
    ],
)
def test_unknown_name(name: str, message: str):
    with pytest.raises(CellError, match=message):
        find(name)


@pytest.mark.parametrize("what", [3, None, torch.nn.LSTM, object(), Cell.__init__])
def test_not_a_cell(what: object):
    with pytest.raises(CellError, match="cell must be a name, a Cell class or a Cell"):
        Recurrent(what, 3, 5)


def test_the_base_class_is_no_cell():
    with pytest.raises(CellError):
        Recurrent(Cell, 3, 5)(torch.zeros(1, 1, 3))


def test_options():
    with pytest.raises(CellError, match=r"cell janet has no option 'bta'; it has: beta\. Did you mean 'beta'\?"):
        find("janet", bta=1.0)
    with pytest.raises(CellError, match=r"cell lstm has no option 'beta'; it has: none"):
        find("lstm", beta=1.0)
    with pytest.raises(CellError, match=r"nonlinearity is 'gelu'; expected 'tanh' or 'relu'"):
        find("rnn", nonlinearity="gelu")
    with pytest.raises(CellError, match="came with a finished JANET"):
        find(find("janet"), beta=1.0)


def test_explaining_what_is_no_cell():
    with pytest.raises(CellError):
        explain(torch.nn.Linear(2, 2))


def test_a_declared_matrix_that_no_step_takes_has_no_parameters():
    layer = Recurrent(define(V=matrix("a"), q=vector("a")), 4, 7)
    assert set(dict(layer.named_parameters())) == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
