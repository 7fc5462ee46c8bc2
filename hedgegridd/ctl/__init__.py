"""hedgegridctl: the client of the unix socket."""
