"""Fed-Meta-Align (Macharla & Pal): tour the devices, train in parallel, each round a step that can be resumed.

Its rounds and its device's steps are the paper's phases; see `phases`.
"""

from fedmetaalign.methods._method import Method
from fedmetaalign.phases.parallel import local_update
from fedmetaalign.phases.schedule import federation
from fedmetaalign.phases.serial import visit

METHOD = Method(federation, local=local_update, hop=visit)
