"""The DICOMweb origin server as a plain ASGI application: each route is a transaction of PS3.18.

It knows requests and answers, and the services that do the work; it knows no server, so that tests drive it in process.
"""
