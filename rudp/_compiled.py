"""Which form of rudp runs: pure Python, or with its hot path compiled (setup.py)."""

from typing import Final

from rudp import engine

COMPILED: Final = not str(engine.__file__).endswith(".py")

FORM: Final = "compiled" if COMPILED else "pure Python"
