"""The journal: what happened, in order, hash-chained, on disk before it has an effect."""
