"""Sparkplug B 3.0 without I/O: bytes and times in, messages and events out.

===================  ==============================================================================
``datatypes``        the data types, their numbers and ranges
``metrics``          what a payload is made of: metrics, properties, data sets, templates
``values``           does a value fit its data type
``topics``           topic ⇄ group, edge node, device, message type
``state``            the JSON of STATE messages
``codec``            bytes ⇄ payloads, and the hot paths past the objects
``messages``         what sessions give back: publications, wills, subscriptions
``edge_session``     an edge node
``host_tracker``     a host application's picture of all edge nodes
``host_state``       a host application's own STATE
``errors``           ours (the caller's mistake) and theirs (foreign bytes)
===================  ==============================================================================

Nothing here reads a clock, opens a socket or writes a log; times are integers, milliseconds since
the epoch in UTC, given by the caller and floored, never rounded.
"""
