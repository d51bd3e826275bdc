"""The ways out: connections, the Store request, verdicts, retry, commitment and search as proof."""
