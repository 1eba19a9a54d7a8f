"""Local only: what a device reaches by itself, on its own samples, with the steps that the federation spends.

The paper's first baseline. It is what a device's owner has to give up to join, so it stands in every result.
"""

from typing import Any

from fedmetaalign.federation.messages import Last, Personal
from fedmetaalign.methods._method import Method
from fedmetaalign.phases.alone import train_alone
from fedmetaalign.phases.client import Client


def alone(client: Client, request: Last[Any]) -> Personal:
    """Trains the device by itself, from the common start."""
    return train_alone(client, request.weights, client.all_steps(request.devices))


METHOD = Method(personal=alone, federates=False, one_model=False)
