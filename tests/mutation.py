"""Would a test notice if a sum or a comparison in rudp/core were another? Mutation testing says.

    pip install -e '.[test,quality]'
    python tests/mutation.py                          # all of it
    python tests/mutation.py rtt congestion.prr       # these modules
    python tests/mutation.py --sample 600 --seed 1    # some, drawn over all modules
    python tests/mutation.py --again                  # those that survived last time

The mutants are mutmut's: it puts another operator in the place of each that does arithmetic or
compares (`+` and `-`, `<` and `<=`, `is` and `is not` ...), turns `a += b` into `a = b`, and with
--numbers adds 1 to each number. It writes them beside the original into a copy of the package.
Properties and constants it leaves out.

What is done here, since it decides whether this takes minutes or a day, is the running. The tests
are collected once and run once, to see which functions each of them meets. Then each mutant has a
process, forked, in which its code takes the place of the original's, and the tests of that function
run: those of its module first, then the quickest, until one fails or --budget seconds of them have
passed. Then it has survived: so some may be said to survive that a test left out would have killed.
The other way round it cannot be, because the same tests have to pass in a process without a mutant.

Needs a system that forks. The copy, and what came of each mutant (results.jsonl), are in
build/mutation.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst as cst
import pytest
from mutmut.mutation import file_mutation, mutators, trampoline

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "mutation"
RESULTS = WORK / "results.jsonl"
TESTS = ("tests/core", "tests/wire")

ARITHMETIC = (cst.BinaryOperation, cst.UnaryOperation, cst.AugAssign)
IDENTITY = (cst.Is, cst.IsNot, cst.In, cst.NotIn)
OPERATORS = (
    *((node, mutators.operator_swap_op) for node in (*ARITHMETIC, cst.ComparisonTarget)),
    *((node, mutators.operator_keywords) for node in IDENTITY),
    (cst.AugAssign, mutators.operator_augmented_assignment),
)
NUMBERS = ((cst.BaseNumber, mutators.operator_number),)

MEMORY = 4 << 30
"""Bytes of address space: this ends a mutant that grows without end."""
LATE = 3
"""Seconds of CPU over three times the budget: this ends one that never comes to an end."""


@dataclass
class Mutant:
    """One change of one function."""

    module: str
    function: str  # as mutmut calls it
    name: str  # of the function in its place
    kind: str
    diff: list[str]
    outcome: str = ""
    by: str = ""


# -- making them ---------------------------------------------------------------------------------


def make(modules: list[str], numbers: bool) -> list[Mutant]:
    """Copy what is needed to WORK, with every mutant of these modules of the core written in it."""
    shutil.rmtree(WORK, ignore_errors=True)
    for top in ("rudp", "tests"):
        shutil.copytree(ROOT / top, WORK / top, ignore=shutil.ignore_patterns("*.pyc", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", WORK)
    file_mutation.mutation_operators = OPERATORS + (NUMBERS if numbers else ())
    mutants: list[Mutant] = []
    for path in sorted((WORK / "rudp" / "core").rglob("*.py")):
        where = path.relative_to(WORK).with_suffix("").as_posix().replace("/", ".")
        if modules and where.removeprefix("rudp.core.") not in modules:
            continue
        source = path.read_text(encoding="utf-8")
        module, mutations, *_ = file_mutation.create_mutations(str(path), source)
        combined = file_mutation.combine_mutations_to_source(module, mutations).code
        path.write_text(with_marks(where, combined), encoding="utf-8")
        mutants += described(where, module, mutations)
    return mutants


def with_marks(where: str, source: str) -> str:
    """The source with a call put first in each function that has mutants: it was met."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for mark in getattr(node, "decorator_list", ()):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "_mutmut_mutated":
                function = ast.unparse(mark.args[0]).removeprefix("mutants_")
                call = f"_mutmut_mutated.met.add({f'{where}.{function}'!r})"
                node.body[:0] = ast.parse(call).body
    return ast.unparse(tree)


def described(where: str, module: cst.Module, mutations: list[Any]) -> Iterator[Mutant]:
    """The mutants by the names that mutmut gives them, and what each changes."""
    classes = {
        method: statement.name.value
        for statement in module.body
        if isinstance(statement, cst.ClassDef)
        for method in statement.body.body
    }
    for function, changes in file_mutation.group_by_top_level_node(mutations).items():
        if not isinstance(function, cst.FunctionDef):
            continue  # an attribute of a class
        mangled = file_mutation.mangle_function_name(
            name=function.name.value, class_name=classes.get(function)
        )
        name = f"{mangled}__mutmut"
        before = module.code_for_node(function).splitlines()
        for number, change in enumerate(changes, 1):
            other = file_mutation.deep_replace(function, change.original_node, change.mutated_node)
            after = module.code_for_node(other).splitlines()
            lines = difflib.unified_diff(before, after, lineterm="", n=0)
            diff = [line for line in lines if line[:2] not in ("--", "++", "@@")]
            kind = kind_of(change.original_node)
            yield Mutant(where, f"{where}.{name}", f"{name}_{number}", kind, diff)


def kind_of(node: cst.CSTNode) -> str:
    if isinstance(node, cst.BaseNumber):
        return "number"
    return "arithmetic" if isinstance(node, ARITHMETIC) else "comparison"


class Switch:
    """What mutmut's mark on a function means here; mutmut's own calls one of many each time."""

    def __init__(self) -> None:
        self.met: set[str] = set()
        self._known: dict[str, tuple[Any, dict[str, Any]]] = {}

    def __call__(
        self, mutants: dict[str, Any], is_classmethod: bool = False
    ) -> Callable[[Any], Any]:
        def remember(function: Any) -> Any:
            # The dictionary is filled when the class is complete, and knows its own name then.
            self._known[f"{function.__module__}.{function.__qualname__}"] = function, mutants
            return function

        return remember

    def put_in(self, mutant: Mutant) -> None:
        """From now on, in this process, the mutant's code runs in place of the original's."""
        for function, mutants in self._known.values():
            other = mutants.get(mutant.name)
            if other is not None and function.__module__ == mutant.module:
                other = getattr(other, "__func__", other)  # a class method is bound
                function.__code__ = other.__code__
                function.__defaults__ = other.__defaults__
                function.__kwdefaults__ = other.__kwdefaults__
                return
        raise LookupError(mutant.name)


# -- running them --------------------------------------------------------------------------------


class Runner:
    """A plug-in of pytest: in place of its loop over the tests, the loop over the mutants."""

    def __init__(self, mutants: list[Mutant], switch: Switch, budget: float, jobs: int) -> None:
        self.mutants = mutants
        self.switch = switch
        self.budget = budget
        self.jobs = jobs
        self.failed = ""
        self.met_by: defaultdict[str, dict[pytest.Item, float]] = defaultdict(dict)
        self.running: dict[int, tuple[Mutant | None, int]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return False
        self.meet(session.items)
        checked = set()
        for count, mutant in enumerate(self.mutants, 1):
            if mutant.module not in checked:
                checked.add(mutant.module)
                self.start(None, self.chosen(mutant.module, self.all_of(mutant.module)))
            tests = self.met_by[mutant.function]
            if tests:
                self.start(mutant, self.chosen(mutant.module, tests))
            else:
                self.note(mutant, "no tests", "")
            if count % 50 == 0:
                say(f"{count} of {len(self.mutants)}")
        while self.running:
            self.wait()
        return True

    def meet(self, items: Iterable[pytest.Item]) -> None:
        """Run every test once, as it is."""
        for item in items:
            self.switch.met.clear()
            began = time.process_time()
            self.run(item)
            if self.failed:
                raise pytest.UsageError(f"{self.failed} fails without any mutant")
            for function in self.switch.met:
                self.met_by[function][item] = time.process_time() - began

    def run(self, item: pytest.Item) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)

    def all_of(self, module: str) -> dict[pytest.Item, float]:
        found: dict[pytest.Item, float] = {}
        for function, tests in self.met_by.items():
            if function.rpartition(".")[0] == module:
                found |= tests
        return found

    def chosen(self, module: str, tests: dict[pytest.Item, float]) -> list[pytest.Item]:
        """The tests to run, in this order: those of the module, then the quickest."""
        own = module.rpartition(".")[2].split("_")[0]
        left, chosen = self.budget, []
        for item in sorted(tests, key=lambda item: (own not in item.path.stem, tests[item])):
            left -= tests[item]
            if left < 0.0 and chosen:
                break
            chosen.append(item)
        return chosen

    def start(self, mutant: Mutant | None, items: list[pytest.Item]) -> None:
        """Run the tests in a process of their own, when there is room for it."""
        while len(self.running) >= self.jobs:
            self.wait()
        reading, writing = os.pipe()
        child = os.fork()
        if child:
            os.close(writing)
            self.running[child] = mutant, reading
            return
        status = 1
        with contextlib.suppress(BaseException):
            status = self.child(mutant, items, writing)
        os._exit(status)

    def child(self, mutant: Mutant | None, items: list[pytest.Item], writing: int) -> int:
        seconds = math.ceil(time.process_time() + 3 * self.budget + LATE)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if mutant is not None:
            self.switch.put_in(mutant)
        for item in items:
            self.run(item)
            if self.failed:
                os.write(writing, self.failed.encode())
                return 1
        return 0

    def wait(self) -> None:
        """One of the processes ends, and shows what became of its mutant."""
        child, status = os.wait()
        mutant, reading = self.running.pop(child)
        with open(reading, encoding="utf-8") as pipe:
            by = pipe.read()
        code = os.waitstatus_to_exitcode(status)
        if mutant is None:
            if code:
                raise pytest.UsageError(f"{by} fails without any mutant ({code})")
            return
        outcome = "killed" if code else "survived"
        if code == -signal.SIGXCPU:
            outcome = "late"
        self.note(mutant, outcome, by)

    def note(self, mutant: Mutant, outcome: str, by: str) -> None:
        mutant.outcome, mutant.by = outcome, by
        with RESULTS.open("a", encoding="utf-8") as results:
            results.write(json.dumps(vars(mutant)) + "\n")


# -- which, and what came of it ------------------------------------------------------------------


def say(text: str) -> None:
    os.write(SAYINGS, f"{text}\n".encode())


def survivors() -> set[str]:
    """Of the last run, before its copy makes room for the next; what has changed is left out."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    return {key(each) for each in map(json.loads, lines) if each["outcome"] == "survived"}


def key(mutant: dict[str, Any]) -> str:
    return json.dumps([mutant["function"], mutant["name"], mutant["diff"]])


def report(mutants: list[Mutant]) -> None:
    """What survived, and how many in each module."""
    for mutant in mutants:
        if mutant.outcome not in ("killed", "late"):
            say(f"{mutant.outcome}: {mutant.module}: {mutant.name}")
            say("\n".join(mutant.diff))
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for mutant in mutants:
        for row in (mutant.module, f"all {mutant.kind}", "all"):
            rows[row][mutant.outcome] += 1
    say(f"\n{'':32} mutants  killed  (late)  survived")
    for row, outcomes in sorted(rows.items(), key=lambda each: (each[0].startswith("all"), each)):
        total, late = outcomes.total(), outcomes["late"]
        killed = outcomes["killed"] + late
        say(f"{row:32} {total:7} {killed:7} {late:7} {total - killed:9} {killed / total:7.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutation testing of rudp/core.")
    parser.add_argument("modules", nargs="*", help="such as rtt or congestion.prr; all by default")
    parser.add_argument("--numbers", action="store_true", help="change numbers, too")
    parser.add_argument("--again", action="store_true", help="only what survived last time")
    parser.add_argument("--sample", type=int, default=0, help="only so many, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=4.0, help="seconds of tests for a mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    os.chdir(ROOT)  # where mutmut finds its settings
    wanted = survivors() if asked.again else None
    mutants = make(asked.modules, asked.numbers)
    if wanted is not None:
        mutants = [mutant for mutant in mutants if key(vars(mutant)) in wanted]
    if 0 < asked.sample < len(mutants):
        mutants = random.Random(asked.seed).sample(mutants, asked.sample)
    say(f"{len(mutants)} mutants")
    switch = trampoline.wrap_in_trampoline = Switch()
    os.chdir(WORK)
    sys.path[0] = str(WORK)
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=0"]
    runner = Runner(mutants, switch, asked.budget, asked.jobs)
    status = pytest.main([*options, "--rootdir", ".", *TESTS], plugins=[runner])
    if not all(mutant.outcome for mutant in mutants):
        sys.exit(status or 1)
    report(mutants)


if __name__ == "__main__":
    SAYINGS = os.dup(1)
    main()
