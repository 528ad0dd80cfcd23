"""`python -m assay` and the script `assay` are the command line."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109
    del sys.path[0]  # that of `-m`: no file beside the data is imported in place of a library, nor `pathlib.py`
if "" in (places := os.environ.get("PYTHONPATH", "").split(os.pathsep)) and places[1:]:  # the working folder
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    sys.path[:] = [place for place in sys.path if place != os.getcwd() or place in places]  # noqa: PTH109


def start() -> None:
    """Run the command line. Ctrl-C while it is imported ends it as Ctrl-C later does."""
    try:
        from assay.cli import main
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    main()


if __name__ == "__main__":
    start()
