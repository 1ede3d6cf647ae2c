"""`python -m rudp.sim swarm`: see `rudp.sim.swarm.command`."""

import sys

from rudp.sim.swarm.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
