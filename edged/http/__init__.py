"""HTTP as pure functions: RFC 9110 and its neighbours.

What lives here takes header values and bytes and returns values: media types, negotiation,
multipart, conditional requests, status reports. Nothing here knows DICOM, does I/O, or reads a
clock; times are arguments. Each parser raises one error type of its own, a ValueError, and nothing
else leaves it.
"""
