"""FedRep (Collins et al., 2021, "Exploiting Shared Representations for Personalized Federated Learning").

The network is a representation phi, which all share, and a head h_k, which never leaves its device:

    h_k    <-  argmin_h    L_k(phi, h)          with phi fixed
    phi_k  <-  argmin_phi  L_k(phi, h_k)        with h_k fixed
    phi    <-  sum_k  n_k / n  phi_k

phi is what phase 3 freezes, the first half of the layers, and all that travels. The steps of a round are
halved: the head and then the representation see half of the round's samples, the same ones. Phase 3 trains the
head once more. A newcomer trains the common start's head on the final representation.
"""

import numpy as np

from fedmetaalign.errors import RecipeError
from fedmetaalign.fleet.device import Device
from fedmetaalign.methods import lacking
from fedmetaalign.methods._federated import finish, personal, rounds
from fedmetaalign.methods._task import Outcome, Task


def fedrep(task: Task) -> Outcome:
    """Runs FedRep, then trains every device's head by phase 3.

    Raises:
        RecipeError: there is no representation to share.
    """
    cut = task.learner.cut(task.recipe.personalize.freeze)
    if not cut.body:
        raise RecipeError(lacking(task.recipe)["fedrep"])
    share = cut.parameters / len(task.start)
    heads: dict[str, np.ndarray] = {}

    def joined(body: np.ndarray, head: np.ndarray) -> np.ndarray:
        return np.concatenate([body[: cut.parameters], head[cut.parameters :]])

    def local(task: Task, device: Device, weights: np.ndarray, number: int) -> np.ndarray:
        samples = task.stream(device, number, share=0.5)
        begin = joined(weights, heads.get(device.name, task.start))
        heads[device.name] = task.train(begin, samples, "head", number, device.name, frozen=cut.body).weights
        end = task.train(heads[device.name], samples, "body", number, device.name, head=cut.head).weights
        return joined(end, weights)

    weights = finish(task, rounds(task, task.start, local=local, vectors=share), share)
    own = {d.name: joined(weights, heads.get(d.name, task.start)) for d in task.devices}
    return Outcome({d.name: personal(task, d, own[d.name]) for d in task.devices})
