"""The seeded simulation: the daemon's machines and gateway under virtual time against a venue that lies."""
