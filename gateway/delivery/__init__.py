"""From a stored event to a receiver: the event store, signatures, retries and the sender."""
