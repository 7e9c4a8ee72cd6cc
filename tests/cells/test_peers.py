"""The same weights in torchrecurrent's cells, where these follow the papers: the same states, step by step.

Not compared, because torchrecurrent 0.2.5 differs from the authors' formulas there: LEM (moves y by the old z), NAS (a
sum in place of a product), SCRN (an output layer within the cell), MCLSTM (another cell of that name).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from gatework.cells import find
from gatework.compiler.weights import views
from gatework.nn import Recurrent

torchrecurrent = pytest.importorskip("torchrecurrent")
T, B, I, H = 5, 3, 4, 6  # noqa: E741


@dataclass
class Peer:
    """A class of torchrecurrent and which of our entries stand in each of its parameters, in its order.

    Attributes:
        name: the class.
        inputs: our gates in the rows of weight_ih and bias_ih.
        products: our matrices U in the rows of weight_hh and bias_hh.
        more: further parameters: our entries by full name; none: zeros.
        options: of the peer's constructor.
        ours: options of our cell.
    """

    name: str
    inputs: str
    products: str = ""
    more: dict[str, str] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    ours: dict[str, object] = field(default_factory=dict)

    def entries(self, parameter: str) -> list[str]:
        if parameter in self.more:
            return self.more[parameter].split()
        kind, names = {
            "weight_ih": ("x.", self.inputs),
            "bias_ih": ("bias.", self.inputs),
            "weight_hh": ("U.", self.products),
            "bias_hh": ("bias.U.", self.products),
        }[parameter]
        return [kind + name for name in names.split()]


PEERS = {
    "lstm1997": Peer("OriginalLSTMCell", "i g o", "i g o"),
    "peephole-lstm": Peer("PeepholeLSTMCell", "i f g o", "i f g o", {"weight_ph": "p.i p.f p.o"}),
    "janet": Peer("JANETCell", "f g", "f g", {"beta": ""}, ours={"beta": 0.0}),
    "mgu": Peer("MGUCell", "f n", "f n"),
    "multiplicative-lstm": Peer(
        "MultiplicativeLSTMCell",
        "m i f g o",
        "m",
        {"weight_mh": "U.i U.f U.g U.o", "bias_mh": "bias.U.i bias.U.f bias.U.g bias.U.o"},
    ),
    "mut1": Peer("MUT1Cell", "z r n", "r n"),
    "mut2": Peer("MUT2Cell", "z r n", "z r n"),
    "mut3": Peer("MUT3Cell", "z r n", "z r n"),
    "ran": Peer("RANCell", "g i f", "i f", {"bias_ih": "bias.i bias.f"}),
    "minimal-rnn": Peer("MinimalRNNCell", "z", "h", {"weight_mm": "U.z"}),
    "li-gru": Peer("LiGRUCell", "z n", "z n"),
    "ugrnn": Peer("UGRNNCell", "c g", "c g"),
    "co-rnn": Peer(
        "coRNNCell",
        "a",
        "y",
        {"weight_ch": "U.z", "bias_ch": "bias.U.z"},
        {"dt": 0.042, "gamma": 2.7, "epsilon": 4.7},
    ),
    "star": Peer("STARCell", "z k", "k"),
    "cfn": Peer("CFNCell", "f i g", "f i"),
    "atr": Peer("ATRCell", "p", "p"),
    "brc": Peer("BRCell", "a c h", more={"weight_hh": "w.a w.c", "bias_hh": ""}),
    "nbrc": Peer("NBRCell", "a c h", "a c"),
    "ind-rnn": Peer("IndRNNCell", "a", more={"vector_u": "u.a", "bias_hh": ""}, options={"nonlinearity": "relu"}),
    "fast-rnn": Peer("FastRNNCell", "a", "a", {"alpha": "p.alpha", "beta": "p.beta"}, {"nonlinearity": "tanh"}),
    "fast-grnn": Peer(
        "FastGRNNCell",
        "a",
        "a",
        {"bias_ih": "b.z b.n", "bias_hh": "", "zeta": "p.zeta", "nu": "p.nu"},
        {"nonlinearity": "sigmoid"},
    ),
    "unicornn": Peer(
        "UnICORNNCell",
        "a",
        more={"weight_hh": "w.y", "bias_hh": "", "weight_ch": "c.dt"},
        options={"dt": 0.1, "alpha": 1.0},
    ),
    "antisymmetric-rnn": Peer("AntisymmetricRNNCell", "h", "h", options={"epsilon": 0.1, "gamma": 0.01}),
    "gated-antisymmetric-rnn": Peer(
        "GatedAntisymmetricRNNCell", "z h", "h", {"bias_hh": ""}, {"epsilon": 0.1, "gamma": 0.01}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PEERS)
def test_same_states(name: str):
    torch.manual_seed(0)
    peer = PEERS[name]
    layer = Recurrent(find(name, **peer.ours), I, H, backend="reference", dtype=torch.float64)
    given = {full.removesuffix("_l0"): value for full, value in layer.state_dict().items()}
    ours = views(layer.cell, given, H, I)
    theirs = getattr(torchrecurrent, peer.name)(I, H, dtype=torch.float64, **peer.options)
    used = set()
    with torch.no_grad():
        for parameter, value in theirs.named_parameters():
            entries = peer.entries(parameter)
            value.copy_(torch.cat([ours[entry] for entry in entries]).view_as(value) if entries else 0 * value)
            used |= set(entries)
        for entry in set(ours) - used:
            ours[entry].zero_()  # a bias that the peer lacks
    states = [torch.randn(1, B, width, dtype=torch.float64) for width in layer.state_sizes]
    x = torch.randn(T, B, I, dtype=torch.float64)
    y, _ = layer(x, states[0] if len(states) == 1 else tuple(states))
    state = [s[0] for s in states]
    for t in range(T):
        doubled = (state[0], state[0]) if name == "janet" else tuple(state)
        new = theirs(x[t], doubled if len(doubled) > 1 else doubled[0])
        state = [new] if isinstance(new, torch.Tensor) else list(new)
        torch.testing.assert_close(y[t], state[0])
