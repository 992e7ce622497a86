"""What several wires share: codecs of their messages, and WebSockets as telephone systems use them."""
