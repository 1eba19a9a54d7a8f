"""Parts of Fed-Meta-Align for programs that are written for Flower."""
