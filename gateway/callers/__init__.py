"""Calls for trying a gateway: files played into it exactly as each kind of telephone system would play them."""
