"""Whether two connections are the same: field by field, all the way down."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterator
from typing import Any

from rudp.core.congestion import CongestionControl
from rudp.core.dormant import _ARGUMENTS, _fields


def difference(
    a: Any, b: Any, path: str = "connection", pairs: dict[int, int] | None = None
) -> str:
    """Where `b` differs from `a`, and how; "" if they are the same.

    What is one object in `a`, at two places, has to be one object in `b`.
    """
    pairs = {} if pairs is None else pairs
    if type(a) is not type(b):
        return f"{path}: {a!r} and {b!r}"
    names = _fields(type(a))[0]
    mutable = names or isinstance(a, list | deque | dict | set)
    if mutable and pairs.setdefault(id(a), id(b)) != id(b):
        return f"{path} is another object"
    for name in names:
        if found := difference(getattr(a, name), getattr(b, name), f"{path}.{name}", pairs):
            return found
    if isinstance(a, list | tuple | deque):
        if len(a) != len(b):
            return f"{path}: {a!r} and {b!r}"
        for i, both in enumerate(zip(a, b, strict=True)):
            if found := difference(*both, f"{path}[{i}]", pairs):
                return found
        return ""
    return "" if names or a == b else f"{path}: {a!r} and {b!r}"


def cannot_be_made(connection: object) -> set[str]:
    """Classes of what is in `connection` whose `__init__` needs other arguments than `dormant` has
    for them. Python would do without; what mypyc has compiled would not."""
    return {
        cls.__name__
        for cls in map(type, parts(connection))
        # mypyc leaves out __init__ where others may inherit.
        if not issubclass(cls, CongestionControl)
        and len(_ARGUMENTS.get(cls, ())) != len(_needed(cls))
    }


def parts(obj: Any) -> Iterator[Any]:
    """`obj` and all objects of the core that it holds."""
    if names := _fields(type(obj))[0]:
        yield obj
        for name in names:
            yield from parts(getattr(obj, name))
    elif isinstance(obj, list | tuple | deque):
        for each in obj:
            yield from parts(each)


def _needed(cls: type) -> list[str]:
    parameters = inspect.signature(cls).parameters.values()
    return [each.name for each in parameters if each.default is inspect.Parameter.empty]
