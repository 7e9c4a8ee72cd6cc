"""The places where an operation of torch must live, and what gatework.nn.LSTM and torch.nn.LSTM do there.

docs/places.md is made from this table by docs/build.py; tests/places/test_table.py measures every entry again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from gatework.errors import InputError
from tests.places import checks

KERNEL = "kernel"
REFERENCE = "reference"
EACH = "kernel, sample after sample"
SECOND = "kernel; reference for the second derivative"


@dataclass(frozen=True)
class Place:
    """One place.

    Attributes:
        name: as docs say it.
        check: raises where a layer class does not work there, or returns something wrong.
        runs: what gatework runs there; "" where it does not work.
        theirs: what torch.nn.LSTM does there; "" where it works.
        error: what torch.nn.LSTM raises; or gatework, where `runs` is "".
        here: whether torch.nn.LSTM's failure can be seen on this machine.
    """

    name: str
    check: Callable[[Callable[..., nn.Module]], None]
    runs: str = KERNEL
    theirs: str = ""
    error: type[Exception] = Exception
    here: bool = True


_NO_RULE = "fails: no batching rule for aten::lstm"
_NO_FORWARD = "fails: forward mode is not implemented for its CPU kernel"
_NO_TRACE = "fails: dynamo does not trace it"
_LOOPS = "warns that it runs sample after sample"
_Unsupported = torch._dynamo.exc.Unsupported

PLACES = [
    Place("`torch.compile(fullgraph=True)`, forward and backward", checks.compiled, KERNEL, _NO_TRACE, _Unsupported),
    Place("the same with `dynamic=True`, at other sizes", checks.compiled_dynamic, KERNEL, _NO_TRACE, _Unsupported),
    Place("`torch.compile` of `torch.func.grad`", checks.compiled_transformation, REFERENCE, _NO_TRACE, _Unsupported),
    Place(
        "`torch.export` with dynamic batch and time, saved, loaded, trained at other sizes",
        checks.exported,
        KERNEL,
        "fails: time becomes a constant",
    ),
    Place("`vmap` over inputs", checks.vmap_inputs, KERNEL, _NO_RULE, RuntimeError),
    Place("`vmap` over parameters (an ensemble)", checks.vmap_parameters, EACH, _NO_RULE, RuntimeError),
    Place("`vmap` over both", checks.vmap_both, EACH, _NO_RULE, RuntimeError),
    Place("per-sample gradients, `vmap(grad(...))`", checks.per_sample, EACH, _LOOPS, UserWarning),
    Place("gradients of an ensemble", checks.gradients_of_ensemble, EACH, _LOOPS, UserWarning),
    Place("`jacrev`", checks.reverse_jacobian),
    Place("`jacfwd`", checks.forward_jacobian, REFERENCE, _NO_FORWARD, NotImplementedError),
    Place("`torch.func.jvp`", checks.forward_mode, REFERENCE, _NO_FORWARD, NotImplementedError),
    Place("`torch.autograd.forward_ad`", checks.forward_autograd, REFERENCE, _NO_FORWARD, NotImplementedError),
    Place(
        "Hessian-vector product, `jvp(grad(...))`",
        checks.forward_over_reverse,
        REFERENCE,
        _NO_FORWARD,
        NotImplementedError,
    ),
    Place("Hessian-vector product, `grad(grad(...))`", checks.reverse_over_reverse, SECOND),
    Place("gradient penalty, `create_graph=True`", checks.gradient_penalty, SECOND),
    Place("autocast to bfloat16", checks.cast(torch.bfloat16)),
    Place(
        "autocast to float16",
        checks.cast(torch.float16),
        KERNEL,
        "fails on a processor without float16 products",
        RuntimeError,
        not torch.ops.mkldnn._is_mkldnn_fp16_supported(),
    ),
    Place("`deepcopy`, `pickle`, `torch.save` of the layer", checks.copied),
    Place("`state_dict`, also torch.nn's, also `assign=True`", checks.state_dicts),
    Place("`parametrizations.spectral_norm`", checks.spectral_norm),
    Place("`parametrizations.weight_norm`", checks.weight_norm),
    Place("`parametrizations.orthogonal`", checks.orthogonal),
    Place("weights tied between layers", checks.tied),
    Place("a weight replaced by a computed tensor", checks.computed_weight),
    Place("`torch.utils.checkpoint`", checks.checkpointed),
    Place("eight threads, forward and backward", checks.threads),
    Place("`meta` tensors", checks.meta),
    Place("`FakeTensorMode`, forward and backward", checks.fake),
    Place("`with torch.device(...)`", checks.default_device),
    Place("`torch.jit.trace`, saved, loaded, trained at other sizes", checks.jit_trace, "", "", InputError),
    Place("`torch.fx.symbolic_trace`, which keeps torch.nn's layers whole", checks.symbolic_trace, "", "", InputError),
]
