"""What each place asks of a layer: functions that raise where a layer does not do it, or returns something else.

Each is given a class with torch.nn.LSTM's arguments; what is right is the reference backend with the same numbers.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, vmap
from torch.nn.utils import parametrizations
from torch.utils._pytree import tree_map

import gatework.nn as gnn

T, B, I, H, V = 4, 3, 5, 7, 3  # noqa: E741
Make = Callable[..., nn.Module]
Params = dict[str, Tensor]


def reference(layer: nn.Module, **options: Any) -> nn.Module:
    """The same layer on the reference backend."""
    other = gnn.LSTM(I, H, backend="reference", dtype=next(layer.parameters()).dtype, **options)
    other.load_state_dict(layer.state_dict())
    return other


def pair(make: Make) -> tuple[nn.Module, nn.Module, Tensor]:
    """A layer, its reference, and inputs."""
    torch.manual_seed(0)
    layer = make(I, H)
    return layer, reference(layer), torch.randn(T, B, I)


def same(a: Any, b: Any) -> None:
    """Equal up to the rounding of some hundred operations in single precision."""
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def parameters(layer: nn.Module) -> Params:
    return {name: p.detach() for name, p in layer.named_parameters()}


def ensemble(layer: nn.Module) -> Params:
    return {name: torch.stack([p * (1 + k / 10) for k in range(V)]) for name, p in parameters(layer).items()}


def outputs(layer: nn.Module) -> Callable[[Params, Tensor], Tensor]:
    return lambda params, x: functional_call(layer, params, (x,))[0]


def loss(layer: nn.Module) -> Callable[[Params, Tensor], Tensor]:
    return lambda params, x: outputs(layer)(params, x).square().sum()


def gradients(function: Callable[[Tensor], Any], layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs, then gradients of x and all parameters."""
    x = x.clone().requires_grad_()
    y, (h, c) = function(x)
    return [y, *torch.autograd.grad(y.square().sum() + h.sum() + (c * c).sum(), [x, *layer.parameters()])]


def transformed(job: Callable[[nn.Module, Tensor], Any]) -> Callable[[Make], None]:
    """A check that a job gives on a layer what it gives on the reference."""

    def check(make: Make) -> None:
        layer, truth, x = pair(make)
        same(job(layer, x), job(truth, x))

    return check


vmap_inputs = transformed(lambda layer, x: vmap(outputs(layer), (None, 0))(parameters(layer), torch.stack([x] * V)))
vmap_parameters = transformed(lambda layer, x: vmap(outputs(layer), (0, None))(ensemble(layer), x))
vmap_both = transformed(lambda layer, x: vmap(outputs(layer))(ensemble(layer), torch.stack([x, -x, x + 1])))
per_sample = transformed(
    lambda layer, x: vmap(grad(loss(layer)), (None, 1))(parameters(layer), x.unsqueeze(2).expand(T, B, 1, I))
)
gradients_of_ensemble = transformed(lambda layer, x: vmap(grad(loss(layer)), (0, None))(ensemble(layer), x))
reverse_jacobian = transformed(lambda layer, x: jacrev(lambda x: outputs(layer)(parameters(layer), x)[-1])(x))
forward_jacobian = transformed(lambda layer, x: jacfwd(lambda x: outputs(layer)(parameters(layer), x))(x[:, :1]))
forward_mode = transformed(lambda layer, x: jvp(lambda x: outputs(layer)(parameters(layer), x), (x,), (x.cos(),)))
forward_over_reverse = transformed(
    lambda layer, x: jvp(grad(lambda x: loss(layer)(parameters(layer), x)), (x,), (x.cos(),))[1]
)
reverse_over_reverse = transformed(
    lambda layer, x: grad(lambda x: (grad(loss(layer), 1)(parameters(layer), x) * x.cos()).sum())(x)
)


def dual_numbers(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.autograd.forward_ad.dual_level():
        y, _ = layer(torch.autograd.forward_ad.make_dual(x, x.cos()))
        return torch.autograd.forward_ad.unpack_dual(y).tangent


forward_autograd = transformed(dual_numbers)


def penalised(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Gradients of a gradient penalty."""
    x = x.clone().requires_grad_()
    (inner,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
    return list(torch.autograd.grad(inner.square().sum(), [x, *layer.parameters()], materialize_grads=True))


gradient_penalty = transformed(penalised)


def compiled(make: Make, dynamic: bool | None = None) -> None:
    layer, truth, x = pair(make)
    torch._dynamo.reset()
    function = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for inputs in (x, torch.randn(T + 2, B - 1, I)) if dynamic else (x,):
        same(gradients(function, layer, inputs), gradients(truth, truth, inputs))


def compiled_dynamic(make: Make) -> None:
    compiled(make, dynamic=True)


def compiled_transformation(make: Make) -> None:
    layer, truth, x = pair(make)
    torch._dynamo.reset()
    function = torch.compile(grad(lambda x: layer(x)[0].square().sum()), fullgraph=True, backend="aot_eager")
    same(function(x), grad(lambda x: truth(x)[0].square().sum())(x))


def exported(make: Make) -> None:
    layer, truth, x = pair(make)
    sizes = {0: torch.export.Dim("time", min=1), 1: torch.export.Dim("batch", min=1)}
    program = torch.export.export(layer, (x,), dynamic_shapes=(sizes,))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    again = torch.export.load(file).module()
    for shape in ((T + 5, B - 1), (1, 1), (T, B)):
        inputs = torch.randn(*shape, I)
        same(gradients(again, again, inputs), gradients(truth, truth, inputs))


def cast(dtype: torch.dtype) -> Callable[[Make], None]:
    def check(make: Make) -> None:
        layer, truth, x = pair(make)
        with torch.autocast("cpu", dtype):
            found = gradients(layer, layer, x)
        for a, b in zip(found, gradients(truth, truth, x), strict=True):
            assert float((a.detach().float() - b.detach()).norm() / b.detach().norm()) < 0.03

    return check


def copied(make: Make) -> None:
    layer, truth, x = pair(make)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    others = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(file, weights_only=False)
    for other in others:
        same(gradients(other, other, x), gradients(truth, truth, x))
        next(other.parameters()).data.zero_()
    same(layer(x)[0], truth(x)[0])


def state_dicts(make: Make) -> None:
    layer, truth, x = pair(make)
    other = make(I, H)
    other.load_state_dict(layer.state_dict())
    same(other(x)[0], truth(x)[0])
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    other.load_state_dict(tree_map(torch.clone, nn.LSTM(I, H).state_dict()), assign=True)
    same(other(x)[0], reference(other)(x)[0])


def parametrised(register: Callable[[nn.Module, str], nn.Module]) -> Callable[[Make], None]:
    def check(make: Make) -> None:
        layer, _, x = pair(make)
        register(layer, "weight_hh_l0")
        truth = gnn.LSTM(I, H, backend="reference")
        names = ["weight_ih_l0", "bias_ih_l0", "bias_hh_l0", "weight_hh_l0"]
        values = {name: getattr(layer, name).detach().clone() for name in names}
        truth.load_state_dict(values)
        layer.eval()
        same(layer(x)[0], truth(x)[0])
        layer.train()
        before = layer.weight_hh_l0.detach().clone()
        layer(x)[0].square().sum().backward()
        with torch.no_grad():
            for p in layer.parameters():
                assert p.grad is not None
                p -= 0.1 * p.grad
        assert not torch.equal(layer.weight_hh_l0, before), "a step of learning reaches the weight"

    return check


spectral_norm = parametrised(parametrizations.spectral_norm)
weight_norm = parametrised(parametrizations.weight_norm)
orthogonal = parametrised(parametrizations.orthogonal)


def tied(make: Make) -> None:
    torch.manual_seed(0)
    first, second, x = make(H, H), make(H, H), torch.randn(T, B, H)
    second.weight_hh_l0 = first.weight_hh_l0
    truths = [gnn.LSTM(H, H, backend="reference") for _ in range(2)]
    for truth, layer in zip(truths, (first, second), strict=True):
        truth.load_state_dict(layer.state_dict())
    second(first(x)[0])[0].square().sum().backward()
    truths[1](truths[0](x)[0])[0].square().sum().backward()
    same(first.weight_hh_l0.grad, truths[0].weight_hh_l0.grad + truths[1].weight_hh_l0.grad)


def computed_weight(make: Make) -> None:
    layer, truth, x = pair(make)
    raw = layer.weight_hh_l0
    del layer.weight_hh_l0
    layer.weight_hh_l0 = 2 * raw
    with torch.no_grad():
        truth.weight_hh_l0 *= 2
    layer(x)[0].square().sum().backward()
    truth(x)[0].square().sum().backward()
    same(raw.grad, 2 * truth.weight_hh_l0.grad)


def threads(make: Make) -> None:
    layer, truth, x = pair(make)
    inputs = [x + k for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: gradients(layer, layer, x), inputs))
    for result, x in zip(found, inputs, strict=True):
        same(result, gradients(truth, truth, x))


def checkpointed(make: Make) -> None:
    layer, truth, x = pair(make)
    run = torch.utils.checkpoint.checkpoint
    same(gradients(lambda x: run(layer, x, use_reentrant=False), layer, x), gradients(truth, truth, x))


def meta(make: Make) -> None:
    y, (h, c) = make(I, H, num_layers=2, device="meta")(torch.empty(T, B, I, device="meta"))
    assert (y.shape, h.shape, c.shape) == ((T, B, H), (2, B, H), (2, B, H)) and y.device.type == "meta"


def fake(make: Make) -> None:
    with torch._subclasses.FakeTensorMode():
        layer = make(I, H)
        y, (h, c) = layer(torch.empty(T, B, I))
        y.sum().backward()
    assert (y.shape, h.shape, c.shape) == ((T, B, H), (1, B, H), (1, B, H))
    assert layer.weight_hh_l0.grad.shape == (4 * H, H)


def default_device(make: Make) -> None:
    with torch.device("meta"):
        layer = make(I, H)
        y, _ = layer(torch.empty(T, B, I))
    assert y.device.type == "meta"


def jit_trace(make: Make) -> None:
    layer, truth, x = pair(make)
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(layer, (x,)), file)
    file.seek(0)
    again, inputs = torch.jit.load(file), torch.randn(T + 5, B + 1, I)
    same(gradients(again, again, inputs), gradients(truth, truth, inputs))


def symbolic_trace(make: Make) -> None:
    layer, truth, x = pair(make)
    traced = torch.fx.symbolic_trace(nn.Sequential(layer))
    same(traced(x)[0], truth(x)[0])
