"""PS3.18 as pure functions: what DICOMweb messages mean, without a byte of I/O.

What lives here turns requests and bodies into values and values into bodies: the resources, the
capabilities description, the reports of the Store and Storage Commitment transactions, event
reports. It knows no server, no store, no clock.
"""
