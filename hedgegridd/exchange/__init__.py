"""The paper exchange: a venue on loopback. Never imported by the daemon."""
