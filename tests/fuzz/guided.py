"""The engine with coverage, one target in a process of its own: `python -m tests.fuzz.guided TARGET [libFuzzer's own]`.

What may live here: handing one target to atheris. Only this process imports it, and it has to be done before anything
of edged is imported, so that the code can be instrumented.
"""

import importlib
import logging
import sys

INSTRUMENTED = ["edged", "h11", "h2", "hpack", "hyperframe", "wsproto"]


def main() -> None:
    """Look for inputs until libFuzzer's arguments say that it is enough; an input that is found ends the process."""
    atheris = importlib.import_module("atheris")  # is not locked: nothing else may need it
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=INSTRUMENTED):
        table = importlib.import_module("tests.fuzz.table")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], table.TARGETS[sys.argv[1]].check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
