"""A Consul as its documented HTTP API has it: /v1/health/service/:service and /v1/catalog/datacenters.

Its answers have the fields and headers of the pages "Health" and "Catalog" of Consul's API documentation.
"""
