"""What a cell may declare beside square matrices: widths, heads, structured matrices, inputs of each step, noise."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, sigmoid, tanh
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatework.cells import Cell, find, matrix, noise, per_step, vector
from gatework.cells.declarations import Extra, Matrix, Noise, Vector
from gatework.cells.rows import cumax, group_norm, layer_norm, rms_norm, straight_through
from gatework.cells.sizes import evaluate
from gatework.compiler.weights import views
from gatework.errors import CellError, InputError
from gatework.nn import LSTM, Recurrent

T, B, I = 6, 4, 3  # noqa: E741


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(20_26)


def shapes(layer: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in layer.named_parameters()}


@pytest.mark.parametrize(
    ("expression", "width"),
    [("H", 12), ("I", 5), (7, 7), ("7", 7), ("H // chunk", 4), ("2 * H + I - 1", 28), ("(H + I) * chunk", 51)],
)
def test_sizes(expression: str | int, width: int):
    assert evaluate(expression, {"H": 12, "I": 5, "chunk": 3}, "here") == width


@pytest.mark.parametrize(
    ("expression", "error", "message"),
    [
        ("H // 5", InputError, r"here: H // 5 does not divide evenly with H=12"),
        ("I - I", InputError, r"here: size I - I is 0 with I=5; expected >= 1"),
        ("I // zero", InputError, "does not divide evenly"),
        ("H / 2", CellError, r"only whole numbers, names and \+ - \* //"),
        ("H *", CellError, "cannot be read"),
        ("min(H, 3)", CellError, "only whole numbers"),
        ("1.5", CellError, "only whole numbers"),
        ("W", CellError, "names 'W'; known are H, I"),
        ("text", CellError, "needs a whole number as text, not 'x'"),
    ],
)
def test_sizes_that_do_not_come_out(expression: str, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        evaluate(expression, {"H": 12, "I": 5, "zero": 0, "text": "x"}, "here")


class Projected(Cell):
    """States of two widths, two matrices, raw inputs."""

    state = "h", "c"
    gates = "f", "z"
    sizes = {"s.h": "P", "x.z": 1}
    P: int = 2
    U = matrix("f", columns="P")
    V = matrix("out", rows="P", bias=False, parameter="hr")
    W = matrix("in_", columns="I")

    def step(self, x, s, U, V, W):
        c = sigmoid(x.f + U.f @ s.h) * s.c + sigmoid(x.z) * tanh(W.in_ @ x.raw)
        return V.out @ tanh(c), c


def test_names_and_shapes_of_parameters():
    layer = Recurrent(Projected(P=3), I, 8, num_layers=2, bidirectional=True, backend="reference")
    first = {name.removesuffix("_l0"): shape for name, shape in shapes(layer).items() if name.endswith("_l0")}
    assert list(first.items()) == [
        ("weight_ih", (9, I)),
        ("weight_hh", (8, 3)),
        ("bias_ih", (9,)),
        ("bias_hh", (8,)),
        ("weight_hr", (3, 8)),
        ("weight_W", (8, I)),
        ("bias_W", (8,)),
    ]
    assert shapes(layer)["weight_ih_l1"] == (9, 6), "the next layer reads what both directions give"
    y, (h, c) = layer(torch.randn(T, B, I))
    assert y.shape == (T, B, 6) and h.shape == (4, B, 3) and c.shape == (4, B, 8)
    assert layer.state_sizes == (3, 8) and layer.output_size == 3
    with pytest.raises(InputError, match=r"state h has shape \(4, 4, 8\); expected \(4, 4, 3\) = .* B, P\]"):
        layer(torch.randn(T, B, I), (torch.zeros(4, B, 8), torch.zeros(4, B, 8)))


def test_a_step_of_other_widths_by_hand():
    torch.manual_seed(0)
    layer, x = Recurrent(Projected, I, 5, backend="reference"), torch.randn(1, B, I)
    h0, c0 = torch.randn(1, B, 2), torch.randn(1, B, 5)
    y, (_, c) = layer(x, (h0, c0))
    f, z = (x[0] @ layer.weight_ih_l0.T + layer.bias_ih_l0).split([5, 1], 1)
    f = sigmoid(f + h0[0] @ layer.weight_hh_l0.T + layer.bias_hh_l0)
    expected = f * c0[0] + sigmoid(z) * tanh(x[0] @ layer.weight_W_l0.T + layer.bias_W_l0)
    torch.testing.assert_close(c[0], expected)
    torch.testing.assert_close(y[0], tanh(expected) @ layer.weight_hr_l0.T)


def test_ragged_forms_agree_for_other_widths():
    layer, x, lengths = (
        Recurrent(Projected, I, 5, backend="reference", bidirectional=True),
        torch.randn(T, B, I),
        [3, 6, 1, 4],
    )
    y, (h, c) = layer(x, lengths=lengths)
    packed, finals = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    torch.testing.assert_close(pad_packed_sequence(packed)[0], y)
    torch.testing.assert_close(finals, (h, c))
    for b, n in enumerate(lengths):
        torch.testing.assert_close(layer(x[:n, b])[0], y[:n, b])


class Options(Cell):
    """Declarations that follow from options."""

    state = "h"
    gates = ("a",)
    rounds: int = 2
    shifted: bool = False

    def declare(self):
        return {
            "Q": matrix(*(f"q{k}" for k in range(self.rounds)), bias=False),
            "p": vector("shift", start=0.5) if self.shifted else None,
        }

    def step(self, x, s, U, Q, p):
        h = s.h
        for k in range(self.rounds):
            h = tanh(Q[f"q{k}"] @ h)
        return tanh(x["a"] + U.a @ h) + (p.shift if self.shifted else 0.0)


def test_declarations_follow_options():
    assert shapes(Recurrent(Options(rounds=3), I, 4))["weight_Q_l0"] == (12, 4)
    assert "p_l0" not in shapes(Recurrent(Options(), I, 4))
    layer = Recurrent(Options(rounds=1, shifted=True), I, 4, backend="reference")
    assert (layer.p_l0 == 0.5).all() and layer(torch.zeros(T, I))[0].shape == (T, 4)
    assert Options().arguments == ("U", "Q") and Options(shifted=True).arguments == ("U", "Q", "p")


def test_an_option_without_a_default_must_be_given():
    class Needs(Options):
        width: int

    with pytest.raises(CellError, match="needs its option 'width'; give width="):
        Needs()
    assert Needs(width=3).width == 3


def test_heads_are_a_block_diagonal_matrix():
    torch.manual_seed(0)
    layer, whole = LSTM(I, 8, heads=4, backend="reference"), LSTM(I, 8, backend="reference")
    assert layer.weight_hh_l0.shape == (32, 2)
    with torch.no_grad():
        for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(whole, name).copy_(getattr(layer, name))
        gates = [torch.block_diag(*gate.split(2)) for gate in layer.weight_hh_l0.split(8)]
        whole.weight_hh_l0.copy_(torch.cat(gates))
    x = torch.randn(T, B, I)
    torch.testing.assert_close(layer(x)[0], whole(x)[0])


class Structured(Cell):
    state = "h"
    gates = ()
    form: str = "dense"

    def declare(self):
        return {"U": matrix("u", form=self.form, bias=False), "W": matrix("w", columns="I", bias=False)}

    def step(self, x, s, U, W):
        return U.u @ s.h + W.w @ x.raw


def structured(form: str, H: int = 8) -> tuple[Tensor, Tensor]:
    """The parameter and the dense matrix of a form, seen through one step."""
    layer = Recurrent(Structured(form=form), 2, H, backend="reference", dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight_W_l0)
    y, _ = layer(torch.zeros(1, H, 2, dtype=torch.float64), torch.eye(H, dtype=torch.float64)[None])
    return layer.weight_hh_l0.detach(), y[0].T.detach()


def test_forms():
    weight, dense = structured("antisymmetric")
    torch.testing.assert_close(dense, weight - weight.T)
    weight, dense = structured("upper")
    torch.testing.assert_close(dense, weight.triu())
    weight, dense = structured("upper:4")
    blocks = torch.ones(4, 4, dtype=torch.float64).triu().kron(torch.ones(2, 2, dtype=torch.float64))
    torch.testing.assert_close(dense, weight * blocks)
    _, dense = structured("stochastic")
    torch.testing.assert_close(dense.sum(0), torch.ones(8, dtype=torch.float64))
    assert (dense > 0).all()


def test_quaternions_multiply_as_hamilton_wrote():
    weight, dense = structured("quaternion", 4)
    assert weight.shape == (4, 1)
    a, b, c, d = weight[:, 0]
    p, q, r, s = v = torch.randn(4, dtype=torch.float64)
    product = [
        a * p - b * q - c * r - d * s,
        a * q + b * p + c * s - d * r,
        a * r - b * s + c * p + d * q,
        a * s + b * r - c * q + d * p,
    ]
    torch.testing.assert_close(dense @ v, torch.stack(product))


class Gapped(Cell):
    """A state that takes up further inputs: their sums by kind."""

    state = "h", "place"
    gates = ()
    sizes = {"s.place": 1}
    e = per_step("gap")
    m = per_step("mask", size="I", default=1.0)
    q = per_step("position", default="position")

    def step(self, x, s, e, m, q):
        return s.h + e.gap + (x.raw * m.mask).sum(-1, keepdim=True), s.place + q.position


def test_inputs_of_each_step_in_every_layout():
    x, gap, mask = torch.randn(T, B, I), torch.rand(T, B), torch.randint(2, (T, B, I)).bool()
    layer, first = (
        Recurrent(Gapped, I, 2, backend="reference"),
        Recurrent(Gapped, I, 2, batch_first=True, backend="reference"),
    )
    expected = (gap + (x * mask).sum(-1)).cumsum(0)[..., None].expand(T, B, 2)
    y, (_, place) = layer(x, extra={"gap": gap, "mask": mask})
    torch.testing.assert_close(y, expected)
    assert (place == T * (T - 1) / 2).all()
    flipped = {"e.gap": gap.T[..., None], "m.mask": mask.transpose(0, 1)}
    torch.testing.assert_close(first(x.transpose(0, 1), extra=flipped)[0].transpose(0, 1), expected)
    torch.testing.assert_close(layer(x[:, 1], extra={"gap": gap[:, 1], "mask": mask[:, 1]})[0], expected[:, 1])
    torch.testing.assert_close(layer(x, extra={"gap": gap})[0], (gap + x.sum(-1)).cumsum(0)[..., None].expand(T, B, 2))
    lengths = [2, 6, 5, 1]
    y, (_, place) = layer(x, lengths=lengths, extra={"gap": gap, "mask": mask})
    assert place.flatten().tolist() == [n * (n - 1) / 2 for n in lengths]
    packed = [pack_padded_sequence(v, lengths, enforce_sorted=False) for v in (x, gap[..., None], mask.float())]
    z, (_, other) = layer(packed[0], extra={"gap": packed[1], "mask": packed[2].data})
    torch.testing.assert_close(pad_packed_sequence(z)[0], y)
    assert torch.equal(place, other)


def test_gradients_of_inputs_of_each_step():
    layer, gap = Recurrent(Gapped, I, 2, backend="reference"), torch.rand(T, B, requires_grad=True)
    y, _ = layer(torch.randn(T, B, I), extra={"gap": gap})
    y[-1].sum().backward()
    torch.testing.assert_close(gap.grad, torch.full((T, B), 2.0))


GAP = torch.ones(T, B)
EXTRAS = {
    "missing": (None, r"needs its input 'gap' at each step; give extra=\{'gap'"),
    "misspelt": ({"gab": GAP}, "extra has 'gab', which is not one of them; cell gapped takes at each step: gap, mask"),
    "features": ({"gap": torch.ones(T, B, 2)}, r"extra 'gap' has shape \(6, 4, 2\); expected \(6, 4, 1\)"),
    "layout": ({"gap": GAP.T}, r"extra 'gap' has shape \(4, 6\)"),
    "dtype": ({"gap": GAP.double()}, "extra 'gap' is torch.float64, the input torch.float32"),
    "complex": ({"gap": GAP.to(torch.complex64)}, "extra 'gap' is torch.complex64"),
    "list": ({"gap": [1.0]}, "extra 'gap' is list"),
    "device": ({"gap": GAP.to("meta")}, "extra 'gap' is on meta"),
}


@pytest.mark.parametrize("name", EXTRAS)
def test_inputs_of_each_step_that_do_not_fit(name: str):
    extra, message = EXTRAS[name]
    with pytest.raises(InputError, match=message):
        Recurrent(Gapped, I, 2, backend="reference")(torch.ones(T, B, I), extra=extra)


def test_inputs_of_each_step_for_a_cell_without():
    with pytest.raises(InputError, match=r"extra has 'gap', which is not one of them; cell lstm takes .*: none"):
        LSTM(I, 2)(torch.ones(T, B, I), extra={"gap": GAP})
    with pytest.raises(InputError, match=r"extra 'gap' is \(4,\); one sequence has 6 steps"):
        Recurrent(Gapped, I, 2, backend="reference")(torch.ones(T, I), extra={"gap": torch.ones(4)})


def test_widths_that_change_from_layer_to_layer_are_refused():
    with pytest.raises(InputError, match="counts a state or an input of each step from I, which is 2 in layer 1 and 3"):
        Recurrent(Gapped, I, 2, num_layers=2)


class Started(Cell):
    """Fixed matrices and starts of its own."""

    state = "h"
    gates = "f", "a"
    U = matrix("a")
    R = matrix("r", learned=False, bias=False)
    p = vector("decay", learned=False)

    def initialise(self, parameters: Mapping[str, Tensor], hidden_size: int, input_size: int) -> None:
        parameters["R.r"].copy_(torch.eye(hidden_size))
        parameters["p.decay"].fill_(0.5)
        parameters["x.f"].fill_(float(input_size))
        if "bias.f" in parameters:
            parameters["bias.f"].fill_(2.0)
            parameters["bias.U.a"].zero_()

    def step(self, x, s, U, R, p):
        return sigmoid(x.f) * p.decay * (R.r @ s.h) + tanh(x.a + U.a @ s.h)


def test_starts_and_buffers():
    layer = Recurrent(Started, I, 4, num_layers=2, backend="reference")
    assert {name for name, _ in layer.named_buffers()} == {"weight_R_l0", "p_l0", "weight_R_l1", "p_l1"}
    assert torch.equal(layer.weight_R_l1, torch.eye(4)) and (layer.p_l0 == 0.5).all()
    assert (layer.weight_ih_l1[:4] == 4).all() and (layer.weight_ih_l0[4:].abs() <= 0.5).all()
    assert (layer.bias_ih_l0[:4] == 2).all() and (layer.bias_hh_l0 == 0).all()
    layer(torch.randn(T, B, I))[0].sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    assert set(views(Started(), layer.parameters_of(0), 4, I)) == {
        *("x.f", "x.a", "bias.f", "bias.a", "U.a", "bias.U.a", "R.r", "p.decay")
    }
    bare = Recurrent(Started, I, 4, bias=False)
    assert set(shapes(bare)) == {"weight_ih_l0", "weight_hh_l0"}


def test_entries():
    cell = Gapped()
    assert [(key, name) for key, name, _ in cell.entries(Extra)] == [("e", "gap"), ("m", "mask"), ("q", "position")]
    assert cell.entries(Matrix) == cell.entries(Vector) == cell.entries(Noise) == ()
    assert cell.measure(cell.expression("s", "place"), 7, 3) == 1 and cell.measure(cell.expression("s", "h"), 7, 3) == 7


def plain(self, x, s, U):
    return tanh(x.a + U.a @ s.h)


def extended(self, x, s, U, e):
    return tanh(x.a + U.a @ s.h)


CELLS = {
    "a size that is not read": ({"sizes": {"s.h": "H +"}, "state": ("c", "h")}, "size 'H \\+' cannot be read"),
    "a size of nothing": ({"sizes": {"s.q": "H"}}, r"sizes names 's\.q'; there are s\.h, x\.a"),
    "a size of an unknown option": ({"U": matrix("a", rows="K")}, "size 'K' of U's rows names 'K'; known are H, I"),
    "no state H wide": ({"sizes": {"s.h": 2}}, "no state is H wide"),
    "a gate called raw": ({"gates": ("raw",)}, "'raw' in gates is taken"),
    "an unknown form": (
        {"U": matrix("a", form="diagonal")},
        "U has form 'diagonal'; expected one of dense, quaternion",
    ),
    "a name twice": ({"U": matrix("a", "a")}, "a name stands twice in U"),
    "a name that is none": ({"U": matrix("1")}, "'1' in U is not a Python name"),
    "per_step without a name": ({"e": per_step(), "step": extended}, "e declares no name"),
    "an odd default": ({"e": per_step("t", default="time"), "step": extended}, "e has default 'time'; expected"),
    "noise of an odd kind": ({"e": noise("u", per="batch"), "step": extended}, "e is drawn per 'batch'; expected"),
}


@pytest.mark.parametrize("name", CELLS)
def test_declarations_that_cannot_be_meant(name: str):
    parts, message = CELLS[name]
    with pytest.raises(CellError, match=message):
        type("Mine", (Cell,), {"state": "h", "gates": ("a",), "step": plain} | parts)


def test_sizes_that_do_not_fit_a_layer():
    with pytest.raises(InputError, match=r"U \[6, 6\] does not divide into 4 heads"):
        LSTM(I, 6, heads=4)
    with pytest.raises(InputError, match="needs sizes that divide by 4"):
        Recurrent(Structured(form="quaternion"), I, 6)
    with pytest.raises(CellError, match="two declarations would be called weight_hh"):
        Recurrent(type("Two", (Projected,), {"V": matrix("out", rows="P", parameter="hh")}), I, 4)
    with pytest.raises(CellError, match="takes no recurrent matrices U, so heads=2"):
        Recurrent(Gapped, I, 4, heads=2)
    with pytest.raises(CellError, match="`declare` gave 'more'"):
        type("Odd", (Options,), {"declare": lambda self: {"more": 3}})()


def test_row_operations():
    v, gain = torch.randn(B, 12, dtype=torch.float64), torch.rand(12, dtype=torch.float64)
    normed = (v - v.mean(-1, keepdim=True)) / (v.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer_norm(v, gain, gain), normed * gain + gain)
    torch.testing.assert_close(rms_norm(v, gain), v / (v.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain)
    each = torch.cat([layer_norm(part) for part in v.split(4, -1)], -1)
    torch.testing.assert_close(group_norm(v, 3, gain), each * gain)
    rising = cumax(v)
    assert (rising.diff(dim=-1) >= 0).all() and torch.allclose(rising[:, -1], torch.ones(B, dtype=torch.float64))
    soft = torch.rand(5, requires_grad=True)
    hard = straight_through(soft.round(), soft)
    assert torch.equal(hard, soft.round())
    assert torch.equal(torch.autograd.grad(hard.sum(), soft)[0], torch.ones(5))


def test_a_projection_is_found_by_name():
    layer = Recurrent(find("lstmp", proj_size=2), I, 4, backend="reference")
    assert shapes(layer)["weight_hr_l0"] == (2, 4)
    with pytest.raises(CellError, match="proj_size is 0; expected a whole number >= 1"):
        find("lstmp", proj_size=0)
