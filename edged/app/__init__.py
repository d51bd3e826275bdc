"""The composition root: one box from its settings, its nurseries and its shutdown order, and systemd.

Only this folder sees every part. Nested nurseries are the shutdown order: stop accepting and drain, then cancel what
works in the background, then close the store.
"""
