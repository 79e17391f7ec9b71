"""REST API: schemas, routes, errors, OpenAPI.

It reads the NB database and the control plane's status, and writes the NB database only.
"""
