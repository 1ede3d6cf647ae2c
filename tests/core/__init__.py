"""Each module of rudp.core, tested alone."""
