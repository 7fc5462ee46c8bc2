"""Front ends: HTTP, unix socket, auth."""
