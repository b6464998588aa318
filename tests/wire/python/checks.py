"""A runner in a few lines: every function decorated with @check runs in order and prints its name as a sentence."""

import os
import sys
import traceback

EDGE = os.environ["EDGE"]

_checks = []


def check(function):
    _checks.append(function)
    return function


def run():
    """Runs all checks, also after a failed one; leaves with 1 if one failed."""
    failed = 0
    for function in _checks:
        sentence = function.__name__.replace("_", " ")
        try:
            function()
        except Exception as error:  # noqa: BLE001, because whatever it is, it is this check's failure
            failed += 1
            print(f"FAIL {sentence}: {type(error).__name__}: {first_line(error)}", flush=True)
            traceback.print_exc()
        else:
            print(f"ok {sentence}", flush=True)
    sys.exit(1 if failed else 0)


def first_line(error):
    return (str(error).strip() or "no message").splitlines()[0]


def equal(actual, wanted):
    assert actual == wanted, f"{actual!r} is not {wanted!r}"
