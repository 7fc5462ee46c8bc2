"""The channels: one file each, strangers to each other; `base` is what they have in common."""
