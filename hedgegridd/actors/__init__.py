"""Actors: the loops that feed mailboxes to machines."""
