"""`mypyc_attr`, which mypyc looks for on the classes that users may subclass.

    @mypyc_attr(allow_interpreted_subclasses=True)

Where nothing is compiled it has no effect, and needs no mypy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**_options):
        """Leave the class as it is."""
        return lambda cls: cls
