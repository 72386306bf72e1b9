"""The conformance kit: plays a carrier and judges any bridge by its answers over the network.

Knows nothing of the bridge's inside; the twins are its hands, their records what it judges.
"""
