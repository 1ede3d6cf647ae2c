"""What pyproject.toml cannot say: RUDP_USE_MYPYC=1 compiles the hot path to C extensions.

mypyc makes them from the same source, so both forms behave the same. Without that variable nothing
here has an effect, and the build needs neither mypy nor a C compiler.
"""

import os
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

HOT = (
    "rudp/core/*.py",
    "rudp/core/congestion/*.py",
    "rudp/busy_poll.py",
    "rudp/channel.py",
    "rudp/chunks.py",
    "rudp/datagram_layer.py",
    "rudp/datagrams.py",
    "rudp/deadlines.py",
    "rudp/dormancy.py",
    "rudp/ecn.py",
    "rudp/engine.py",
    "rudp/local_addresses.py",
    "rudp/loop_datagrams.py",  # no hot path, but its base class is in one
    "rudp/strangers.py",
    "rudp/time_waits.py",
)
# Not these: they are dataclasses that users make, vary and print, where mypyc's differ from
# Python's; dormant.py has subclasses of pickle's classes. Nor rudp/transport.py: as mypyc lays
# objects out, a subclass of asyncio.Transport has its own fields where the base class has `_extra`.
INTERPRETED = ("__init__.py", "config.py", "dormant.py", "subclassing.py", "tcp_info.py")

MYPY = "mypy>=1.15"


class CompiledBuild(build_ext):
    """build_ext that has mypyc translate the modules to C first."""

    def finalize_options(self):
        check_compiler()
        try:
            from mypyc.build import mypycify
        except ModuleNotFoundError:
            raise SystemExit(f"RUDP_USE_MYPYC=1 needs {MYPY} where it builds") from None
        self.distribution.ext_modules = mypycify(modules(), opt_level="3", group_name="rudp")
        if os.name == "posix":
            for extension in self.distribution.ext_modules:
                # Its functions are nobody else's: they can call each other without a detour.
                hidden = [*extension.extra_compile_args, "-fvisibility=hidden"]
                extension.extra_compile_args = hidden
        super().finalize_options()

    def get_source_files(self):
        return []  # the C is made anew each time, and has no place in an sdist


def modules():
    paths = sorted(path for pattern in HOT for path in Path().glob(pattern))
    return [str(path) for path in paths if path.name not in INTERPRETED]


def check_compiler():
    """See that C can be compiled against this Python, before mypyc takes its time."""
    # From setuptools, which has its own by now: Python 3.12 and later have none.
    from distutils.ccompiler import new_compiler
    from distutils.sysconfig import customize_compiler, get_python_inc

    compiler = new_compiler()
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "empty.c")
        source.write_text("#include <Python.h>\n", encoding="utf-8")
        try:
            compiler.compile([str(source)], output_dir=scratch, include_dirs=[get_python_inc()])
        except CompileError as error:
            raise SystemExit(
                f"RUDP_USE_MYPYC=1 needs a C compiler and the headers of this Python: {error}\n"
                "Install them (on Debian: apt install gcc python3-dev), or build without that "
                "variable; pure Python behaves the same."
            ) from None


if os.environ.get("RUDP_USE_MYPYC") == "1":
    setup(
        setup_requires=[MYPY],
        cmdclass={"build_ext": CompiledBuild},
        # Stands for those to come: what is built is no longer pure.
        ext_modules=[Extension("rudp", [])],
    )
else:
    setup()
