"""`python -m sagd`, and so `torchrun -m sagd train ...`."""

import sys

from sagd.cli import main

sys.exit(main())
