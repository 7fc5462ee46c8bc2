"""Bus, mailboxes, actors, clock: how messages travel."""
