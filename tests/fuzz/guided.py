"""Coverage-guided fuzzing by Atheris, for as long as one likes.

    python -m tests.fuzz.guided codec --seconds 1800
    python -m tests.fuzz.guided endpoint --seconds 1800 [--keep DIRECTORY]

It needs the extra `fuzz`, and pure Python: Atheris does not see into compiled modules. It begins
with the committed corpus, prints what libFuzzer prints (executions a second, and at the end their
number), and writes an input that breaks a promise into a file `crash-...`. `--keep` names a
directory for the inputs that reached something new. What is fuzzed stands in `fuzz_codec` and
`fuzz_endpoint`; without Atheris, `test_corpus` plays the corpus through both.
"""

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

HARNESSES = ("codec", "endpoint")
CORPUS = Path(__file__).parent / "corpus"
LONGEST = 4096  # bytes of an input; what matters is reached with far less


def options(harness: str, seconds: int, keep: str) -> list[str]:
    """libFuzzer's command line: what is new goes to the first directory of the two."""
    return [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        "-print_final_stats=1",
        keep,
        str(CORPUS / harness),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz rudp, guided by coverage.")
    parser.add_argument("harness", choices=HARNESSES)
    parser.add_argument("--seconds", type=int, default=60, help="how long (default 60)")
    parser.add_argument("--keep", metavar="DIRECTORY", help="where new inputs go")
    arguments = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit(
            "Atheris is not installed. It is in the extra `fuzz`, on Linux and for the Pythons "
            "that it has wheels for. Without it: python -m tests.fuzz.fuzz_codec"
        )
    with atheris.instrument_imports(include=["rudp"]):
        harness = importlib.import_module(f"tests.fuzz.fuzz_{arguments.harness}")
    from rudp._compiled import COMPILED

    if COMPILED:
        sys.exit("Atheris does not see into the compiled form: run this with pure Python.")
    with tempfile.TemporaryDirectory() as scratch:
        keep = arguments.keep or scratch
        Path(keep).mkdir(exist_ok=True)
        atheris.Setup(options(arguments.harness, arguments.seconds, keep), harness.test_one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
