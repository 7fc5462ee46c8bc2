"""Alerts, sent by the daemon itself.

rules     what is an alert: events and views of the daemon in, findings out        (pure)
book      which findings are told: repeats, recovery, acknowledging, escalation    (pure)
health    the daemon's health, debounced, no change of it lost                     (pure)
digest    the figures of a day                                                     (pure)
outbox    what waits for a channel: bounded, CRITICAL first, repeats folded        (pure)
pace      how soon a channel may be asked again: rate limits and back-off          (pure)
text      how an alert reads                                                       (pure)
sender    the one task of a channel that takes from its outbox and sends
channels/ one file each: how a service is spoken to
actor     joins them with the bus
"""
