"""LSTM whose weights are scaled, row by row, by a smaller LSTM."""

from torch import nn, sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, vector
from gatework.cells.rows import layer_norm

GATES = ("i", "f", "g", "o")
SCALES = tuple(f"{side}_{gate}" for side in "hx" for gate in GATES)


class HyperLSTM(Cell):
    """A small LSTM (hh, hc) sees [x, h]; `embedding` numbers of it scale the rows of U and W and make the biases.

    The new hh is used, as in the first author's code. Every gate and cell is layer normalised.

    Source: Ha, Dai & Le, arXiv:1609.09106 (2016), section 3.2 and appendix A.2.
    """

    state = "h", "c", "hh", "hc"
    gates = GATES  # of the small LSTM
    sizes = {f"x.{gate}": "hyper" for gate in GATES} | {"s.hh": "hyper", "s.hc": "hyper"}
    U, W = matrix(*GATES, bias=False), matrix(*GATES, columns="I", bias=False)
    S, V = matrix(*GATES, rows="hyper"), matrix(*GATES, rows="hyper", columns="hyper", bias=False)
    A, Ab = (
        matrix(*SCALES, rows="embedding", columns="hyper"),
        matrix(*GATES, rows="embedding", columns="hyper", bias=False),
    )
    D, Db = matrix(*SCALES, columns="embedding", bias=False), matrix(*GATES, columns="embedding")
    small, gain = vector(*GATES, "c", size="hyper", start=1.0), vector(*GATES, "c", start=1.0)
    hyper: int = 32
    embedding: int = 8

    def initialise(self, parameters, hidden_size, input_size):
        starts = {"A.": 0.0, "bias.A.": 1.0, "D.": 0.1 / self.embedding, "Db.": 0.0, "bias.Db.": 0.0}
        for name, parameter in parameters.items():
            for start in (value for key, value in starts.items() if name.startswith(key)):
                parameter.fill_(start)
            if name.startswith("Ab."):
                nn.init.normal_(parameter, 0, 0.01)

    def step(self, x, s, U, W, S, V, A, Ab, D, Db, small, gain):
        i, f, g, o = (layer_norm(x[k] + S[k] @ s.h + V[k] @ s.hh, small[k]) for k in GATES)
        hc = sigmoid(f + 1) * s.hc + sigmoid(i) * tanh(g)
        hh = sigmoid(o) * tanh(layer_norm(hc, small.c))

        def gate(k):
            scale = {side: D[f"{side}_{k}"] @ (A[f"{side}_{k}"] @ hh) for side in "hx"}
            return layer_norm(scale["h"] * (U[k] @ s.h) + scale["x"] * (W[k] @ x.raw) + Db[k] @ (Ab[k] @ hh), gain[k])

        c = sigmoid(gate("f") + 1) * s.c + sigmoid(gate("i")) * self.drop(tanh(gate("g")))
        return sigmoid(gate("o")) * tanh(layer_norm(c, gain.c)), c, hh, hc
