"""The durable store: one LMDB environment, one writer thread, short readers.

`schema` says what every table holds, `admission` is the one transaction that makes an instance exist, `queue` the one
place where an instance moves forward. Nothing outside this folder imports lmdb. No transaction crosses an `await`.
"""
