"""Random forest (Breiman, 2001) of all members' samples in one place; see `forest_alone` and `pooled`."""

from fedmetaalign.methods._trees import forest, pooled

METHOD = pooled("forest_pooled", forest)
