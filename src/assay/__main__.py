"""`python -m assay` is the command line."""

import sys
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[:1] == [str(Path.cwd())]:
        del sys.path[0]  # that of `-m`: no file beside the data is imported in place of a library

    from assay.cli import main

    main()
