"""Widths as short expressions: "H", "I", a number, an option's name, or `+ - * //` of them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache

from gatework.errors import CellError, InputError

Size = str | int


@cache
def _parsed(expression: str) -> ast.expr:
    try:
        tree = ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise CellError(f'size {expression!r} cannot be read; write it as "H", "I", "H // heads", "4 * H".') from error
    for node in ast.walk(tree):
        allowed = (ast.BinOp, ast.Name, ast.Constant, ast.Load, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv)
        if not isinstance(node, allowed) or (isinstance(node, ast.Constant) and type(node.value) is not int):
            raise CellError(f"size {expression!r}: only whole numbers, names and + - * // are understood.")
    return tree


def names(expression: Size) -> set[str]:
    """The names that an expression reads.  Raises CellError when it is none."""
    return {node.id for node in ast.walk(_parsed(str(expression))) if isinstance(node, ast.Name)}


def evaluate(expression: Size, values: Mapping[str, int], where: str) -> int:
    """The width that an expression means.

    Args:
        expression: the size as declared.
        values: "H", "I" and the options by name.
        where: whose size it is, for messages.

    Raises CellError for an unknown name, InputError for a width below 1 or a division that leaves a rest.
    """

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant):
            return int(node.value)  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            if node.id not in values:
                raise CellError(f"{where}: size {expression!r} names {node.id!r}; known are {', '.join(values)}.")
            given = values[node.id]
            if type(given) is not int:
                raise CellError(f"{where}: size {expression!r} needs a whole number as {node.id}, not {given!r}.")
            return given
        assert isinstance(node, ast.BinOp)
        left, right = value(node.left), value(node.right)
        if isinstance(node.op, ast.FloorDiv):
            if right < 1 or left % right:
                known = ", ".join(f"{name}={values[name]}" for name in sorted(names(expression)))
                raise InputError(f"{where}: {expression} does not divide evenly with {known}; choose sizes that do.")
            return left // right
        return {ast.Add: left + right, ast.Sub: left - right, ast.Mult: left * right}[type(node.op)]

    width = value(_parsed(str(expression)))
    if width < 1:
        known = ", ".join(f"{name}={values[name]}" for name in sorted(names(expression)))
        raise InputError(f"{where}: size {expression} is {width}{f' with {known}' if known else ''}; expected >= 1.")
    return width


# As torch.compiler.assume_constant_result does, which would import all of dynamo: sizes are known while it traces.
evaluate._dynamo_marked_constant = True  # type: ignore[attr-defined]
