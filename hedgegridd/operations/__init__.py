"""The operations: each module here (one file, one `Operation`) is found by itself; two with one name fail at import."""

import importlib
import pkgutil

from hedgegridd.control.operation import Operation, Registry


def _found() -> list[type[Operation]]:
    """The one operation that each module of this folder defines.

    Raises:
        ImportError: a module without an operation, or with several.
    """
    kinds: list[type[Operation]] = []
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda item: item.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        own = [
            item
            for item in vars(module).values()
            if isinstance(item, type) and issubclass(item, Operation) and item.__module__ == module.__name__
        ]
        if len(own) != 1:
            raise ImportError(f"{module.__name__} defines {len(own)} operations, not one")
        kinds += own
    return kinds


REGISTRY = Registry(_found())
