"""`python3 -m rudp`: the command, also from a bare checkout with nothing installed."""

import sys

from rudp.cli import main

sys.exit(main())
