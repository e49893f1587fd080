"""A Consul as its documented HTTP API has it: /v1/health/service/:service and /v1/catalog/datacenters.

