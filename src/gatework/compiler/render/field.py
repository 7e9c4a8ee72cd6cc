"""C++ for a cell over a field of positions: the cell's pointwise graph, set into `native/field.h`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from gatework.compiler.plan import Plan
from gatework.compiler.render.cpp import THREADS, call_struct, cell_source, skeleton

# Fields of the struct that a launch fills: name and how many (0: one number, else an array for each of these).
FIELD: tuple[tuple[str, str], ...] = (
    *((name, "") for name in ("images", "places", "C", "threads", "vector_places")),
    *((name, "") for name in ("gate", "saved", "gy", "d_gate", "d_vectors")),
    *((name, "PRODUCTS") for name in ("sum", "sum_row", "d_sum")),
    ("vectors", "VECTORS"),
    *((name, "STATES") for name in ("old", "fresh", "carry", "link", "linked")),
)


@dataclass(frozen=True)
class FieldFacts:
    """What a launch must know of a cell's kernel over a field.

    Attributes:
        products: declaration, name and operand's state of each recurrent product; products of one operand are adjacent.
        vectors: declaration and name of each learned vector.
        saved: values of each position and channel that forward leaves for backward.
        shared: gradients of input products and of recurrent products are the same, in the same order.
    """

    products: tuple[tuple[str, str, int], ...]
    vectors: tuple[tuple[str, str], ...]
    saved: int
    shared: bool

    @classmethod
    def of(cls, plan: Plan) -> FieldFacts:
        """The facts of a plan."""
        products = tuple((p.key, p.name, p.operand) for p in plan.products)
        same = all(s.gate == s.product for s in plan.slots) and len({p.operand for p in plan.products}) == 1
        return cls(products, plan.vectors, len(plan.saved), same)

    @classmethod
    def from_json(cls, text: str) -> FieldFacts:
        """Read what `to_json` wrote."""
        value = json.loads(text)
        products, vectors = (tuple(tuple(row) for row in value[key]) for key in ("products", "vectors"))
        return cls(products, vectors, value["saved"], value["shared"])

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @property
    def operands(self) -> tuple[tuple[int, int, int], ...]:
        """Groups of products that one convolution makes: (state, first product, count)."""
        states = [operand for _, _, operand in self.products]
        return tuple((s, states.index(s), states.count(s)) for s in dict.fromkeys(states))


def render_field(plan: Plan) -> str:
    """The source of a plan's kernel over a field, its facts included as the text that `gatework_facts` returns."""
    files = skeleton()
    facts = json.dumps(FieldFacts.of(plan).to_json())
    return "\n".join(
        [
            files["vector.h"],
            cell_source(plan),
            call_struct(FIELD, "Field"),
            files["threads.h"],
            files["field.h"],
            f'extern "C" const char* gatework_facts() {{ return {facts}; }}',
            THREADS,
        ]
    )
