"""The protocol without I/O: calls, segments and `now` in; segments, events, a deadline out."""
