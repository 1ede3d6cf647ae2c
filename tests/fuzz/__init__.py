"""Fuzzers: they run for as long as asked, and for a moment in the test suite."""
