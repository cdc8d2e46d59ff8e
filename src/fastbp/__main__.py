"""Makes `python -m fastbp` the same as the command `fastbp`."""

import sys

from fastbp.cli import main

sys.exit(main())
