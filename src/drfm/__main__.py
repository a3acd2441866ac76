"""``python -m drfm``: the command line, as ``torchrun -m drfm`` starts it."""

import sys

from drfm.cli import main

sys.exit(main())
